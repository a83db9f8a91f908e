"""`savs demo`: the whole method on the embedded model, as a table and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.cli.console import note, quiet_loading, show, waiting, working, write_json
from savs.cli.files import check_output
from savs.cli.options import OUTPUT, AsJson, Overwrite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from savs.demo.run import TaskResult

PAGE = Path("demo-report.html")


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page to write.", rich_help_panel=OUTPUT, metavar="FILE")
    ] = PAGE,
    shots: Annotated[int, typer.Option(min=1, max=60, help="Labelled examples of each class.", metavar="K")] = 20,
    draws: Annotated[int, typer.Option(min=2, help="How often the shots are drawn.", metavar="N")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the data and the draws.", metavar="S")] = 0,
    every_task: Annotated[bool, typer.Option("--all", help="All tasks, not only those of the short tour.")] = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """See it work: the embedded model, several tasks, one page.

    Nothing is downloaded. Shots are drawn anew in every draw; the test sets stay.
    """
    # The usual page is this command's own to replace; any other file is somebody's.
    check_output(out, overwrite=overwrite or out == PAGE)
    quiet_loading()
    from savs.backbones.huggingface import load_backbone
    from savs.demo.report import render_report
    from savs.demo.run import run_demo
    from savs.demo.tasks import DEMO_TASKS, SHOWN_TASKS

    with waiting("loading the embedded model"):
        backbone = load_backbone("demo", dtype="float32")  # one page everywhere, whatever this machine is fastest in
    results = run_demo(
        backbone,
        tasks=DEMO_TASKS if every_task else SHOWN_TASKS,
        shots=shots,
        draws=draws,
        seed=seed,
        stage=working,
    )
    command = f"savs demo --shots {shots} --draws {draws} --seed {seed}{' --all' if every_task else ''}"
    with waiting("drawing the page"):
        out.write_text(render_report(results, backbone.spec, command=command), encoding="utf-8")
    if as_json:
        write_json(
            {
                "command": command,
                "backbone": backbone.spec.to_json(),
                "tasks": [result.to_json() for result in results],
                "page": str(out),
            }
        )
    else:
        show(_table(results))
    note(f"pictures, votes, heads and curves are in {out}")


def _table(results: Sequence[TaskResult]) -> Table:
    from rich.table import Table

    first = results[0]
    table = Table(
        box=None,
        padding=(0, 0, 0, 1),
        pad_edge=False,
        caption=f"Accuracy in percent; SAVs with a 95 % interval over {first.draws} draws of "
        f"{first.shots} shots a class, {len(first.selected_heads)} of {first.model.layout.n_heads} heads kept. "
        "Zero-shot: the better of the written answer and the likeliest label word. Majority: the commonest label.",
        caption_justify="left",
    )
    table.add_column("task", no_wrap=True)
    for name in ("classes", "shots", "chance", "majority", "zero-shot", "SAVs"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        savs = result.savs
        table.add_row(
            result.task.name,
            str(len(result.task.classes)),
            str(result.shots),
            _percent(result.chance),
            _percent(result.majority),
            _percent(result.zero_shot.value),
            f"{_percent(savs.value)} [{_percent(savs.low)}, {_percent(savs.high)}]",
        )
    return table


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
