"""The heads of a classifier as a picture of characters: layers down, heads across, shaded by score.

Knows scores and ranks; computes nothing but where a character goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from savs.features import HeadId

#: From the lowest scores to the highest. The steps are even between the lowest and the highest score of all heads.
SHADES = "·░▒▓█"
#: A kept head bears its rank: as a number where cells are two or three wide, else as one of these.
_MARKS = "123456789abcdefghijklmnopqrstuvwxyz"
_BEYOND = "+"


def head_grid(scores: Mapping[HeadId, float], kept: Sequence[HeadId], *, width: int = 80) -> list[Text]:
    """Lines that fit in `width` columns: one a layer, the deepest last, in panels where there are too many heads.

    Args:
        scores: of every head.
        kept: the kept heads, best first.
        width: columns of the terminal.
    """
    layers = sorted({head.layer for head in scores})
    n_heads = max(head.head for head in scores) + 1
    label = len(f"L{layers[-1]} ")
    cell = next((size for size in (3, 2) if label + size * n_heads <= width and len(kept) < 100), 1)
    room = (width - label) // cell
    per_panel = n_heads if n_heads <= room else room // 4 * 4
    low, high = min(scores.values()), max(scores.values())
    rank = {head: i for i, head in enumerate(kept, start=1)}
    lines: list[Text] = []
    for first in range(0, n_heads, per_panel):
        columns = range(first, min(first + per_panel, n_heads))
        lines.append(Text(" " * label + _ruler(columns, cell), style="dim"))
        for layer in layers:
            line = Text(f"L{layer}".ljust(label), style="dim")
            for head in (HeadId(layer, column) for column in columns):
                line.append(*_cell(scores.get(head), rank.get(head), cell, low, high))
            lines.append(line)
    return [*lines, _legend(low, high)]


def _cell(score: float | None, rank: int | None, width: int, low: float, high: float) -> tuple[str, str]:
    """What stands for one head, and its style. Neighbours of two digits are told apart by colour where they touch."""
    if score is None:
        return " " * width, ""
    if rank is None:
        return (SHADES[_step(score, low, high)] * min(width, 2)).ljust(width), "not dim"
    mark = str(rank).rjust(2) if width > 1 else (_MARKS[rank - 1] if rank <= len(_MARKS) else _BEYOND)
    return mark.ljust(width), f"not dim bold {'green' if rank % 2 else 'cyan'}"


def _step(score: float, low: float, high: float) -> int:
    return min(int((score - low) / (high - low) * len(SHADES)), len(SHADES) - 1) if high > low else 0


def _ruler(columns: Sequence[int], cell: int) -> str:
    """The number of every fourth head above its column, where it fits."""
    names = "".join(f"H{column}".ljust(4 * cell) for column in columns[::4])
    fits = len(names.rstrip()) <= len(columns) * cell
    return names.rstrip() if fits else names.rstrip().rpartition(" ")[0].rstrip()


def _legend(low: float, high: float) -> Text:
    return Text("\nscore  " + "  ".join(_ranges(low, high)) + "\na number is the rank of a kept head", style="dim")


def _ranges(low: float, high: float) -> Iterator[str]:
    if high == low:
        yield f"{SHADES[0]} {low:.2f}"
        return
    for i, shade in enumerate(SHADES):
        start, end = (low + (high - low) * edge / len(SHADES) for edge in (i, i + 1))
        yield f"{shade} {start:.2f}-{end:.2f}"
