"""The word that a mistyped one was probably meant to be. Knows only words."""

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
