"""`savs inspect`, `savs models` and `savs tasks`: what there is. No model is loaded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from savs.cli import options as opt
from savs.cli.console import note, show, write_json, write_line
from savs.cli.reading import open_classifier
from savs.cli.stores import inspect_store
from savs.errors import StoreError


def inspect(
    what: Annotated[
        str,
        typer.Argument(help="A classifier: a folder that `savs fit` wrote, or a Hub id. Or a store that `savs extract` "
                       "filled.", show_default=False)
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Of a store: read every byte again, and name damaged shards.")
    ] = False,
    parquet: Annotated[
        Path | None,
        typer.Option(help="Of a store: also write its features as Parquet.", metavar="FILE", show_default=False,
                     rich_help_panel=opt.OUTPUT),
    ] = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Show what a classifier is, and where its heads lie, or what a store of features holds. Loads no model."""
    from savs.store import is_store

    if is_store(what):
        inspect_store(Path(what), verify=verify, parquet=parquet, overwrite=overwrite, as_json=as_json)
        return
    if verify or parquet is not None:
        raise StoreError(
            "holds no store; --verify and --parquet are for a folder that savs extract wrote", location=what
        )
    model = open_classifier(what)
    scores = {head: float(score) for head, score in zip(model.layout.heads, model.head_scores, strict=True)}
    if as_json:
        write_json(
            {
                "backbone": model.spec.to_json(),
                "task": model.task.to_json(),
                "classes": list(model.classes),
                "rule": model.classifier.get_params(),
                "summary": asdict(model.summary),
                "selected_heads": [{"head": str(head), "score": scores[head]} for head in model.selected_heads],
                "head_scores": {str(head): score for head, score in scores.items()},
                "shots_known": len(model.shot_keys),
            }
        )
        return
    from savs.cli.grid import head_grid
    from savs.cli.tables import facts, kept_heads, model_facts

    show(
        facts({**model_facts(model), "prompt": model.task.template}),
        "",
        *head_grid(scores, model.selected_heads),
        "",
        kept_heads(model.selected_heads, scores),
    )


def models(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Only those with this in their name or Hub id.", show_default=False)
    ] = "",
    as_json: opt.AsJson = False,
) -> None:
    """List families of models that work as backbones, with one of each to try.

    Many more work: `savs doctor MODEL` tries any model of transformers.
    """
    from savs.backbones.families import families_like

    found = families_like(name)
    if as_json:
        write_json([family.to_json() for family in found])
    elif not found:
        note(f"no family here has {name!r} in its name; any model of transformers may work: savs doctor MODEL tells")
    else:
        from savs.cli.tables import families_table

        show(families_table(found))


def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this task in full, as a task file.", show_default=False)
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """List the built-in tasks: how the rows of a data set are asked and scored. With a name, show one as its file."""
    from savs.data.benchmark_specs import benchmark_of
    from savs.data.tasks import builtin_tasks, load_task, task_file

    chosen = builtin_tasks() if name is None else (load_task(name),)
    if as_json:
        write_json([task.to_json() for task in chosen] if name is None else chosen[0].to_json())
    elif name is None:
        from savs.cli.tables import tasks_table

        show(tasks_table({task: benchmark_of(task) for task in chosen}))
    else:
        from savs.cli.tables import task_remarks

        for remark in task_remarks(chosen[0], benchmark_of(chosen[0])):
            write_line(f"# {remark}")
        write_line(task_file(name).rstrip())
