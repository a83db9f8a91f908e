"""Words for messages: the one that a mistyped one was probably meant to be, and long ones made short."""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word` in any case of letters, or None where none is like it.

    >>> closest("Harmfull", ["harmful", "safe"])
    'harmful'
    >>> closest("cat", ["harmful", "safe"]) is None
    True
    """
    spellings = {name.casefold(): name for name in reversed(list(known))}
    matches = get_close_matches(word.casefold(), spellings, n=1)
    return spellings[matches[0]] if matches else None


def listed(names: Iterable[object], most: int = 12) -> str:
    """Names parted by commas; of very many, the first.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    texts = [shortened(str(name)) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return (", ".join(texts[:most]) or "none") + more


def shortened(text: str, most: int = 150) -> str:
    """A text whose middle is left out where it is very long.

    >>> shortened("abcdefghi", most=6)
    'abcd...hi'
    """
    return text if len(text) <= most else f"{text[: most * 2 // 3]}...{text[-most // 3 :]}"
