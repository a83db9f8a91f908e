"""Tables for a terminal of any width: what was fitted, which models and which tasks there are.

Knows rich and the shape of results; computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from savs.backbones.families import Family
    from savs.data.benchmark_specs import BenchmarkSpec, Source
    from savs.data.tasks import Task
    from savs.features import HeadId
    from savs.model import SAVModel

#: Names in a list before the rest is counted.
_SHOWN_NAMES = 12


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An open table whose numbers, in the columns `right`, stand at the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        number = name in right
        made.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=number)
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


def fit_summary(model: SAVModel, folder: Path, files: Mapping[str, int], *, test: str | None) -> RenderableType:
    """What a fit made, and the command to judge it by."""
    heads = " ".join(str(head) for head in model.selected_heads[:8])
    more = " ..." if len(model.selected_heads) > 8 else ""
    sizes = ", ".join(f"{name} ({size / 1000:.1f} kB)" for name, size in files.items())
    return facts(
        {
            **model_facts(model),
            "best heads": heads + more,
            "files": f"{folder}/ with {sizes}",
            "next": f"savs evaluate {folder} {test or 'TEST_DATA'}",
        }
    )


def kept_heads(heads: Sequence[HeadId], scores: Mapping[HeadId, float], *, most: int = 40) -> RenderableType:
    """The kept heads, best first, each with its score on the shots."""
    cells = [f"{rank:>2} {head!s:<7}{scores[head]:.3f}" for rank, head in enumerate(heads[:most], start=1)]
    more = [f"and {len(heads) - most} more; --json lists all"] if len(heads) > most else []
    return Columns([*cells, *more], padding=(0, 3), column_first=True)


def entries(rows: Iterable[tuple[str, Text]]) -> RenderableType:
    """A line of short facts for each row, and beneath it, indented, what takes more room."""
    return Group(*(part for head, body in rows for part in (Text(head, style="bold"), Padding(body, (0, 0, 0, 2)))))


def families_table(families: Sequence[Family]) -> RenderableType:
    """The families of models, with one of each to try."""
    return entries(
        (
            f"{family.name:<18}{family.hub_id}",
            Text(f"{family.layers} layers x {family.heads} heads; {', '.join(family.takes)}\n").append(
                family.note, style="dim"
            ),
        )
        for family in families
    )


def tasks_table(tasks: Mapping[Task, BenchmarkSpec | None]) -> RenderableType:
    """The built-in tasks: what each asks, its labels, what it is scored by, and the benchmark it stands for."""
    return entries((task.name, _task_text(task, spec)) for task, spec in tasks.items())


def task_remarks(task: Task, spec: BenchmarkSpec | None) -> list[str]:
    """What stands above a task's file: the columns it reads, in each layout, and where its benchmark's data live."""
    remarks = [f"Columns that it reads: {', '.join(task.own_columns)}"]
    remarks += [f"or, {layout.name}: {', '.join(layout.signs.columns)}" for layout in task.layouts]
    if spec is not None:
        remarks += [
            f"Benchmark: {spec.title}, column {', '.join(spec.columns)}",
            f"Get it from {spec.address}",
            f"Licence: {spec.licence}",
            *filter(None, [spec.note]),
            *(f"{_place(spec, source)}: {some_of(source.patterns, most=2)}" for source in spec.places),
        ]
    return remarks


def _place(spec: BenchmarkSpec, source: Source) -> str:
    folder = f"DATA_ROOT/{spec.name}"
    return f"Hub, or its files in {folder}" if source.on_hub else f"{folder} ({source.name})"


def _task_text(task: Task, spec: BenchmarkSpec | None) -> Text:
    text = Text(f"{task.description}\n").append(_answers(task), style="dim")
    return text if spec is None else text.append(f"\ncolumn {', '.join(spec.columns)} ({spec.title})", style="dim")


def _answers(task: Task) -> str:
    labels = "labels told by the data" if task.labels is None else f"labels {some_of(task.labels, most=4)}"
    scored = {"pairs": "whole pairs", "groups": "whole groups"}.get(task.metric, task.metric.replace("_", " "))
    return f"{labels}; scored by {scored}"


def percent(value: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * value:.1f}"
