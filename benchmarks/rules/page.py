"""The results on the embedded model as a page, from the numbers in the JSON file beside it. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.rules.tables import accuracy_table, expectations, ordering_table, selection_table

_HEAD = """\
# The embedded model: rules with few shots and many

Made by `{command}`, which writes this page and [`rules.json`](rules.json) with every number. Nothing here
was edited by hand.

On a [real language model](text.md) Gaussian heads are ahead of the paper's rule, and heads that are ranked on examples
they have not seen are not behind it. Does the same order hold on the embedded model's {n_tasks} [tasks](embedded.md)?
All that can give {most} shots a class take part; left out: {left_out}. Tasks, prompts, rules and the expected
ordering are those of the other two pages, and were fixed before this was measured. Each cell is the accuracy in % over
{draws} draws of the shots with its 95 % interval (draws and test examples are resampled crosswise); all rules of a
cell had the same shots and the same test examples. The best of a row is bold. *sav* is the paper's rule with 20 of
{heads} heads; *sav-loo*, *hec*, *gda-loo* and *calm* are [other rules](../method.md) over the same heads, *calm* with
all of them as its authors have it. *Best head alone*, *all heads* and *20 random heads* vote as SAVs do.
"""


def render(results: Mapping[str, Any]) -> str:
    """The page, from what `rules.json` holds."""
    setting, means, cells = results["setting"], results["means"], results["cells"]
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    model, chances = setting["model"], results["chances"]
    words = {**setting, "n_tasks": len(chances) - 1, "left_out": ", ".join(setting["left_out"]) or "none"}
    return "\n\n".join(
        [
            _HEAD.format(**words).rstrip(),
            "## The mean of all tasks",
            accuracy_table(means, chances),
            ordering_table(means),
            "## What was expected",
            expectations(cells),
            ordering_table(cells),
            "## Accuracy, task by task",
            accuracy_table(cells, chances),
            "## The selection itself",
            selection_table(cells),
            "## How this was made",
            f"```\n{setting['command']}\n```",
            f"Model `{model['model']}` (revision `{model['revision']}`), {model['dtype']}, attention "
            f"`{model['attention']}`. Seeds {setting['seed']} to {setting['seed'] + setting['draws'] - 1} draw the "
            f"shots. {versions}.",
        ]
    ) + "\n"  # fmt: skip
