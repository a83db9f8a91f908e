"""Tables for a terminal of any width: what was fitted, which models and which tasks there are.

Knows rich and the shape of results; computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.columns import Columns
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from savs.backbones.families import Family
    from savs.data.tasks import Task
    from savs.features import HeadId
    from savs.model import SAVModel

#: Names in a list before the rest is counted.
_SHOWN_NAMES = 12


def table(*columns: str, title: str = "", right: Sequence[str] = ()) -> Table:
    """An open table whose numbers, in the columns `right`, stand at the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def facts(rows: Mapping[str, str]) -> Table:
    """Two columns without rules: what, and what it is."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows.items():
        made.add_row(name, Text(value))
    return made


def some_of(names: Sequence[str], most: int = _SHOWN_NAMES) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def rule_in_words(model: SAVModel) -> str:
    """How heads classify, are ranked and combine."""
    rule = model.classifier
    return (
        f"{rule.head_classifier} heads, ranked by {rule.ranking} on {rule.scored_on.replace('_', ' ')}, "
        f"combined by {rule.combination.replace('_', ' ')}"
    )


def model_facts(model: SAVModel) -> dict[str, str]:
    """What a classifier is, in the order a reader asks."""
    spec, summary = model.spec, model.summary
    counts = sorted(set(summary.shots.values()))
    each = f"{counts[0]} a class" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} a class"
    held_out = "not known: too few shots in a class"
    if summary.accuracy is not None:
        low, high = summary.accuracy.low, summary.accuracy.high
        held_out = f"{percent(summary.accuracy.value)} % ({percent(low)} to {percent(high)}) on held-out shots"
    return {
        "task": model.task.name,
        "classes": f"{len(model.classes)}: {some_of(model.classes)}",
        "shots": f"{sum(summary.shots.values())}, {each}",
        "backbone": f"{spec.model} at {spec.revision[:12]}, {spec.dtype}, {spec.attention}",
        "rule": rule_in_words(model),
        "heads": f"{len(model.selected_heads)} of {summary.n_heads} kept; scores on the shots "
        f"{summary.best_head_score:.3f} (best) to {summary.worst_kept_score:.3f}",
        "accuracy": held_out,
    }


def fit_summary(model: SAVModel, folder: Path, files: Mapping[str, int]) -> list[RenderableType]:
    """What a fit made, and what to do with it."""
    heads = " ".join(str(head) for head in model.selected_heads[:8])
    more = " ..." if len(model.selected_heads) > 8 else ""
    sizes = ", ".join(f"{name} ({size / 1000:.1f} kB)" for name, size in files.items())
    return [
        facts(
            {
                **model_facts(model),
                "best heads": heads + more,
                "files": f"{folder}/ with {sizes}",
                "next": f"savs evaluate {folder} TEST_DATA",
            }
        )
    ]


def kept_heads(heads: Sequence[HeadId], scores: Mapping[HeadId, float], *, most: int = 40) -> RenderableType:
    """The kept heads, best first, each with its score on the shots."""
    cells = [f"{rank:>2} {head!s:<7}{scores[head]:.3f}" for rank, head in enumerate(heads[:most], start=1)]
    more = [f"and {len(heads) - most} more; --json lists all"] if len(heads) > most else []
    return Columns([*cells, *more], padding=(0, 3), column_first=True)


def families_table(families: Sequence[Family]) -> list[RenderableType]:
    """The families of models, with one of each to try."""
    made = table("--model", "family", "takes", "note")
    for family in families:
        made.add_row(Text(family.hub_id, style="bold"), family.name, ", ".join(family.takes), family.note)
    return [made]


def tasks_table(tasks: Sequence[Task]) -> list[RenderableType]:
    """The built-in tasks, a line or two each."""
    made = table("task", "what it asks", "labels", "scored by")
    for task in tasks:
        labels = "told by the data" if task.labels is None else some_of(task.labels, most=4)
        made.add_row(Text(task.name, style="bold"), Text(task.description), labels, task.metric.replace("_", " "))
    return [made]


def percent(value: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * value:.1f}"
