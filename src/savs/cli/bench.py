"""`savs bench`: the paper's tables and figures, in miniature on the embedded model or for real."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from savs.cli.console import note, quiet_loading, show, waiting, working, write_json
from savs.cli.options import (
    DATA,
    MODEL,
    OUTPUT,
    RULE,
    AsJson,
    Device,
    Dtype,
    DualEncoders,
    EndpointModel,
    EndpointPrices,
    EndpointUrl,
    endpoint_of,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from savs.bench.grids import Grid
    from savs.bench.results import Results

Recipes = Literal["table1", "table2", "table3", "figure3", "figure4"]
_DEMO = "demo"
#: Scores beside each other in 80 columns.
_ACROSS = 4


def bench(
    recipe: Annotated[
        Recipes,
        typer.Argument(
            help="Of the paper: table1, table2, table3, figure3 or figure4.", show_default=False, metavar="RECIPE"
        ),
    ],
    model: Annotated[
        str, typer.Option(help="A Hub id, a folder, or demo.", rich_help_panel=MODEL, metavar="MODEL")
    ] = _DEMO,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="The folder with one folder a data set.",
            show_default="drawn data for demo, else the Hub",
            rich_help_panel=DATA,
            metavar="DIR",
        ),
    ] = None,  # fmt: skip
    drawn: Annotated[
        bool, typer.Option("--drawn", help="Drawn data in miniature, whatever the model.", rich_help_panel=DATA)
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Data sets, by comma; camerabench and rewardbench if named.",
            show_default="all of the paper's",
            rich_help_panel=DATA,
            metavar="NAMES",
        ),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods, by comma.", show_default="all", rich_help_panel=RULE, metavar="NAMES")
    ] = None,
    shots: Annotated[
        int, typer.Option(min=1, help="Labelled examples of each class.", rich_help_panel=RULE, metavar="K")
    ] = 20,
    draws: Annotated[
        int, typer.Option(min=1, help="How often the shots are drawn.", rich_help_panel=RULE, metavar="N")
    ] = 5,
    costly_draws: Annotated[
        int,
        typer.Option(
            min=1,
            help="The same for icl, mtv and lora, which run the model for every draw.",
            rich_help_panel=RULE,
            metavar="N",
        ),
    ] = 2,  # fmt: skip
    seed: Annotated[int, typer.Option(min=0, help="Of data and draws.", rich_help_panel=RULE, metavar="S")] = 0,
    max_test: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Test examples of a data set at most, spread over it.",
            show_default="all",
            rich_help_panel=DATA,
            metavar="N",
        ),
    ] = None,  # fmt: skip
    dual_encoder: DualEncoders = None,
    endpoint: EndpointUrl = None,
    endpoint_model: EndpointModel = None,
    endpoint_prices: EndpointPrices = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Keep features there, or read those of savs extract.",
            show_default="features beside the cells",
            rich_help_panel=OUTPUT,
            metavar="DIR",
        ),
    ] = None,  # fmt: skip
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Keep no features between runs.", rich_help_panel=OUTPUT)
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder of the pages.", rich_help_panel=OUTPUT, metavar="DIR")
    ] = Path("results"),
    cells: Annotated[
        Path | None,
        typer.Option(
            help="The folder of finished cells.", show_default="cells in --out", rich_help_panel=OUTPUT, metavar="DIR"
        ),
    ] = None,  # fmt: skip
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes side by side, a core each.", rich_help_panel=MODEL, metavar="N")
    ] = 1,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Precision.", show_default="the device's", rich_help_panel=MODEL)
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Make a table or figure of the paper: every method, draw by draw.

    A finished cell (a method, a data set, a draw) is kept and never run again:
    start the same command anew after an interruption. The pages are written
    over each time.
    """
    if store is not None and no_store:
        raise typer.BadParameter("--store and --no-store exclude each other; give one of them")
    quiet_loading()
    from savs.bench.pages import write_pages
    from savs.bench.plan import Plan, fill_side_by_side
    from savs.bench.results import measure
    from savs.bench.runner import Setting

    cells = cells if cells is not None else out / "cells"
    plan = Plan(
        recipe=recipe,
        model=model,
        out=out,
        cells=cells,
        drawn=drawn or (model == _DEMO and data_root is None),
        data_root=data_root,
        columns=_names(columns),
        methods=_names(methods),
        setting=Setting(shots=shots, draws=draws, costly_draws=costly_draws, seed=seed),
        max_test=max_test,
        dual_encoders=tuple(dual_encoder or ()),
        endpoint=endpoint_of(endpoint, endpoint_model, endpoint_prices),
        store=None if no_store else store if store is not None else cells.parent / "features",
        dtype=dtype,
        device=device,
    )
    made = plan.made_recipe()
    if jobs > 1 and made.shows == "scores":
        fill_side_by_side(plan, jobs, lambda name: note(f"{name}: cells filled"))
    with waiting(f"loading {model}"):
        opened = plan.open(lambda title: working(title))
    results = measure(
        opened,
        made,
        plan.told(opened.backbone),
        told=lambda column: note(f"{column.name}: {column.why or 'done'}"),
    )
    with waiting("drawing the pages"):
        written = write_pages(results, out)
    if opened.resources.endpoint is not None and opened.resources.endpoint.bill.answers:
        note(f"{endpoint_model}: {opened.resources.endpoint.bill}")
    if as_json:
        write_json(results.to_json())
    else:
        show(*_tables(results))
    note(f"wrote {', '.join(str(path) for path in written)}")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _tables(results: Results) -> list[RenderableType]:
    """Tables of at most 80 columns: some scores beside each other, then the next."""
    from rich.text import Text

    from savs.bench.columns import Column, column
    from savs.bench.grids import (
        Reasons,
        blocks,
        curve_grid,
        heads_grid,
        paper_grid,
        places_of,
        score_grid,
        shot_notes,
        value_and_half,
    )

    shots = [Text(note, style="dim") for note in shot_notes(results, results.recipe.columns)]
    if results.recipe.shows == "heads":
        kept = heads_grid(results)
        return [_table(kept), Text(kept.says, style="dim"), *shots]
    curves = [curve_grid(results, panel) for panel in results.recipe.panels if panel.counts]
    if curves:
        return [*(part for curve in curves for part in (_table(curve), "")), Text(curves[0].says, style="dim"), *shots]
    reasons = Reasons()
    absent = {each.name: each.why for each in results.columns if each.why is not None}
    parts: list[RenderableType] = []
    for panel in results.recipe.panels:
        if panel.name:
            parts.append(Text(f"{panel.name}  {panel.title}", style="bold"))
        places = [place for place in places_of(panel) if place[0] not in absent]
        grids = [
            score_grid(results, panel, reasons, places=part, cell=value_and_half, head=Column.score_short)
            for part in blocks(places, _ACROSS)
        ]
        beside = paper_grid(results, panel)
        for grid in (*grids, *([beside] if beside is not None else [])):
            parts += [_table(grid), ""]
    parts += [Text(f"{mark} {why}") for why, mark in reasons.marks.items()]
    parts += [Text(f"{column(name).title}: {why}") for name, why in absent.items()]
    parts += shots
    parts.append(Text("in percent, ± half of a 95 % interval over draws and examples", style="dim"))
    return parts


def _table(grid: Grid) -> RenderableType:
    from rich.text import Text

    from savs.cli.tables import table

    made = table(*grid.head, right=grid.numbers)
    for down, row in enumerate(grid.rows):
        style = "dim" if row[0] in ("majority", "chance") else ""
        made.add_row(
            *(Text(cell, style="bold" if (down, across) in grid.best else style) for across, cell in enumerate(row))
        )
    return made
