"""Tables of rules against each other, from the cells that a JSON file holds. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.rules.measure import EXPECTED, RULES

_COUNTED = {"holds": "holds in", "open": "open in", "does not hold": "the other way round in"}

#: A `Cell` as JSON has it.
Told = Mapping[str, Any]


def accuracy_table(cells: Sequence[Told], chances: Mapping[str, float]) -> str:
    """Accuracy in %, a row a cell, the best of each in bold.

    Args:
        cells: as JSON has them.
        chances: accuracy of guessing, by task.
    """

    def row(cell: Told) -> list[str]:
        best = max(round(cell["accuracy"][rule]["value"], 3) for rule in RULES)
        shown = [_accuracy(cell["accuracy"][rule], best) for rule in RULES]
        return [cell["task"], str(cell["shots"]), f"{100 * chances[cell['task']]:.1f}", *shown]

    return table(["task", "shots", "chance", *RULES], map(row, cells))


def expectations(cells: Sequence[Told]) -> str:
    """How often each expected ordering held, in so many words."""
    lines = []
    for i, (better, worse) in enumerate(EXPECTED):
        verdicts = [cell["orderings"][i]["verdict"] for cell in cells]
        counted = (f"{words} {verdicts.count(verdict)}" for verdict, words in _COUNTED.items() if verdict in verdicts)
        lines.append(f"- *{better}* above *{worse}*: {', '.join(counted)} of {len(cells)} cells.")
    return "By intervals that leave out zero (*open*: the interval holds zero):\n\n" + "\n".join(lines)


def ordering_table(cells: Sequence[Told]) -> str:
    """How far apart the rules of each expected ordering are, a row a cell, and what the numbers are."""
    rows = ([cell["task"], str(cell["shots"]), *map(_points, cell["orderings"])] for cell in cells)
    said = "Points of accuracy, the first rule less the second, paired over draws and examples."
    return table(["task", "shots", *(f"{a} over {b}" for a, b in EXPECTED)], rows) + f"\n\n{said}"


def selection_table(cells: Sequence[Told]) -> str:
    """How much the choice of heads owes to ties and to the draw, and what the numbers are."""
    rows = (
        [cell["task"], str(cell["shots"]), f"{cell['tied']:.1f}", f"{100 * cell['shared']:.0f} %"] for cell in cells
    )
    said = (
        "*Tied at the edge*: heads whose score on the shots equals that of the twentieth, so that the rule for "
        "ties decides which of them are kept; one is no tie. *Kept by two draws*: share of the twenty heads that "
        "two draws of the shots have in common, on average."
    )
    return table(["task", "shots", "heads tied at the edge", "kept by two draws"], rows) + f"\n\n{said}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])


def _accuracy(interval: Mapping[str, float], best: float) -> str:
    value = f"{100 * interval['value']:.1f}"
    bold = f"**{value}**" if round(interval["value"], 3) == best else value
    return f"{bold} [{100 * interval['low']:.0f}, {100 * interval['high']:.0f}]"


def _points(ordering: Told) -> str:
    value, low, high = (100 * ordering["by"][name] for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.0f} to {high:+.0f}), {ordering['verdict']}"
