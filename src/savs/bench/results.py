"""From a recipe to its numbers: every entry of every panel, with its interval, its cost and the paper's number.

Knows no file format and no page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from savs.bench import scores
from savs.bench.beside import beside
from savs.bench.columns import Column, column
from savs.bench.data import ColumnData
from savs.bench.head_maps import HeadMap, head_maps
from savs.bench.paper_numbers import paper_model, paper_value
from savs.bench.recipes import ENDPOINT, FIRST, Panel, Recipe
from savs.bench.rows import RANKING, Row
from savs.bench.runner import Bench, RowCells
from savs.bench.scores import Lead, Points
from savs.errors import SavsError
from savs.intervals import Interval


@dataclass(frozen=True)
class Entry:
    """One number of one panel, or why there is none.

    Attributes:
        panel: its name.
        row: the method.
        column: the data set.
        score: which of the column's scores.
        interval: over draws and examples; None where there is no number.
        why: why there is none.
        draws: how many draws of the shots it rests on.
        shots: labelled examples a class; None where the method looks at none.
        seeds: of the draws.
        unmatched: share of the answers that name no class.
        lead: how far the panel's first method is ahead of this one; None for itself.
        paper: the paper's number for the same model.
    """

    panel: str
    row: str
    column: str
    score: str
    interval: Interval | None = None
    why: str | None = None
    draws: int = 0
    shots: int | None = None
    seeds: tuple[int, ...] = ()
    unmatched: float = 0.0
    lead: Lead | None = None
    paper: float | None = None


@dataclass(frozen=True)
class Beside:
    """A score that stands beside those of the table, on the mean over draws.

    Attributes:
        row: the method.
        column: the data set.
        score: its name, or that of the split it is of.
        value: the score.
    """

    row: str
    column: str
    score: str
    value: float


@dataclass(frozen=True)
class Spent:
    """What one row cost in one column, a draw.

    Attributes:
        panel: its name.
        row: the method.
        column: the data set.
        seconds: of its own.
        forwards: sequences through the decoder, of its own.
        peak_bytes: the most memory in use, the reading of heads included.
        reading_seconds: of the reading of heads, which all rows that need it share.
        reading_forwards: sequences through the decoder for that.
        reading_stored: examples that were read from a store instead.
    """

    panel: str
    row: str
    column: str
    seconds: float
    forwards: float | None
    peak_bytes: int | None
    reading_seconds: float | None
    reading_forwards: float | None
    reading_stored: float | None


@dataclass(frozen=True)
class Measured:
    """What a column was measured on, and what is to be beaten there.

    Attributes:
        name: of the column.
        task: the data's own name.
        prompt: how it was asked.
        classes: the labels, or how many where there are many.
        n_pool: examples to draw shots from.
        n_test: examples to answer.
        chance: scores of guessing.
        majority: scores of always giving the commonest label.
        notes: what a reader must know.
        shots: the same of the shots: that there were fewer than asked for, or that every draw is the same.
        why: why there are no data.
    """

    name: str
    task: str = ""
    prompt: str = ""
    classes: tuple[str, ...] = ()
    n_pool: int = 0
    n_test: int = 0
    chance: Mapping[str, float] | None = None
    majority: Mapping[str, float] | None = None
    notes: tuple[str, ...] = ()
    shots: str = ""
    why: str | None = None


@dataclass(frozen=True)
class Results:
    """Everything that a page about one recipe says.

    Attributes:
        recipe: what was made.
        setting: what changes the numbers: model, versions, command, shots, draws, seed.
        columns: what each data set was.
        entries: the numbers.
        spent: what they cost.
        beside: what else a report tells of the same answers.
        model: what the paper calls the model, where it has it.
        closed: the same of the model behind an endpoint.
        maps: head scores and points, of a recipe that shows heads.
    """

    recipe: Recipe
    setting: Mapping[str, Any]
    columns: tuple[Measured, ...]
    entries: tuple[Entry, ...]
    spent: tuple[Spent, ...]
    beside: tuple[Beside, ...] = ()
    model: str | None = None
    closed: str | None = None
    maps: tuple[HeadMap, ...] = ()

    def entry(self, panel: str, row: str, column: str, score: str) -> Entry:
        """The entry at one place of a panel: a number, or why there is none."""
        return self._index[panel, row, column, score]

    @cached_property
    def _index(self) -> dict[tuple[str, str, str, str], Entry]:
        return {(e.panel, e.row, e.column, e.score): e for e in self.entries}

    def to_json(self) -> dict[str, Any]:
        """Every number, for a program."""
        return {
            "recipe": self.recipe.name,
            "title": self.recipe.title,
            "setting": dict(self.setting),
            "panels": [
                {"name": p.name, "title": p.title, "columns": p.columns, "rows": [r.name for r in p.rows]}
                for p in self.recipe.panels
            ],
            "columns": [asdict(each) for each in self.columns],
            "entries": [asdict(each) for each in self.entries],
            "spent": [asdict(each) for each in self.spent],
            "beside": [asdict(each) for each in self.beside],
            "maps": [each.to_json() for each in self.maps],
        }


def measure(bench: Bench, recipe: Recipe, setting: Mapping[str, Any], *, told: Callable[[Measured], None]) -> Results:
    """Fill the cells of a recipe, column by column, and score them.

    Args:
        bench: with its model, its data and its cells.
        recipe: what to make.
        setting: what changes the numbers, for the page.
        told: called when a column is done.
    """
    endpoint = bench.resources.endpoint
    model = paper_model(bench.backbone.spec.model)
    closed = None if endpoint is None else paper_model(endpoint.endpoint.model)

    def called(row: str) -> str | None:
        return closed if row == ENDPOINT else model

    columns: list[Measured] = []
    entries: list[Entry] = []
    spent: list[Spent] = []
    also: dict[Beside, None] = {}  # panels share rows
    maps: list[HeadMap] = []
    for name in recipe.columns:
        panels = [panel for panel in recipe.panels if name in panel.columns]
        try:
            data = bench.load(name)
        except SavsError as error:
            columns.append(Measured(name, why=str(error)))
            entries += [e for p in panels for e in _missing(p, column(name), p.rows, str(error))]
        else:
            columns.append(_measured(data, bench.shot_note(data, recipe.rows(name))))
            if recipe.shows == "heads":
                maps += head_maps(bench, data)
            cells = bench.fill(data, recipe.rows(name))
            for panel in panels:
                entries += _entries(recipe, panel, data, cells, called, seed=bench.setting.seed)
                spent += _spent(panel, data, cells)
                also |= dict.fromkeys(_beside(panel, data, cells))
        bench.forget()
        told(columns[-1])
    return Results(
        recipe, setting, tuple(columns), tuple(entries), tuple(spent), tuple(also), model, closed, tuple(maps)
    )


def _measured(data: ColumnData, shots: str) -> Measured:
    return Measured(
        name=data.column.name,
        task=data.task.name,
        prompt=data.task.template,
        classes=data.classes,
        n_pool=len(data.pool),
        n_test=len(data.test),
        chance=scores.chance(data),
        majority=scores.majority(data),
        notes=data.notes,
        shots=shots,
    )


def _entries(
    recipe: Recipe,
    panel: Panel,
    data: ColumnData,
    cells: Mapping[str, RowCells],
    called: Callable[[str], str | None],
    *,
    seed: int,
) -> list[Entry]:
    """Every score of every row of one column; `called` tells what the paper calls the model of a row."""
    won = {
        row.name: scores.points(data, [cell.answers for cell in cells[row.name].cells], ranked=row.name in RANKING)
        for row in panel.rows
        if cells[row.name].cells
    }
    entries: list[Entry] = []
    for row in panel.rows:
        if row.name not in won:
            entries += _missing(panel, data.column, [row], cells[row.name].why or "nothing was run")
            continue
        made = cells[row.name].cells
        for score in data.column.scores:
            entries.append(
                Entry(
                    panel=panel.name,
                    row=row.name,
                    column=data.column.name,
                    score=score,
                    interval=scores.interval(won[row.name], score, seed=seed),
                    why=cells[row.name].why,
                    draws=len(made),
                    shots=made[0].key.shots,
                    seeds=tuple(cell.key.seed for cell in made if cell.key.seed is not None),
                    unmatched=won[row.name].unmatched,
                    lead=_lead(won, row, score, seed),
                    paper=paper_value(recipe.name, panel.name, called(row.name), row.name, data.column.called[score]),
                )
            )
    return entries


def _lead(won: Mapping[str, Points], row: Row, score: str, seed: int) -> Lead | None:
    if row.name == FIRST or FIRST not in won:
        return None
    return scores.lead(won[FIRST], won[row.name], score, seed=seed)


def _missing(panel: Panel, column: Column, rows: Sequence[Row], why: str) -> list[Entry]:
    return [Entry(panel.name, row.name, column.name, score, why=why) for row in rows for score in column.scores]


def _spent(panel: Panel, data: ColumnData, cells: Mapping[str, RowCells]) -> list[Spent]:
    return [
        Spent(
            panel.name,
            row.name,
            data.column.name,
            seconds=float(np.mean([cell.seconds for cell in made])),
            forwards=_mean([cell.forwards for cell in made]),
            peak_bytes=max(
                (each.peak_bytes for cell in made for each in (cell, cell.reading) if each and each.peak_bytes),
                default=None,
            ),
            reading_seconds=_mean([cell.reading.seconds for cell in made if cell.reading]),
            reading_forwards=_mean([cell.reading.forwards for cell in made if cell.reading]),
            reading_stored=_mean([cell.reading.stored for cell in made if cell.reading]),
        )
        for row in panel.rows
        if (made := cells[row.name].cells)
    ]


def _beside(panel: Panel, data: ColumnData, cells: Mapping[str, RowCells]) -> list[Beside]:
    """Of the rows of a table; a curve has points enough, and what only compares has no labels to count in groups."""
    compares = RANKING if data.column.metric == "groups" else ()
    return [
        Beside(row.name, data.column.name, score, value)
        for row in panel.rows
        if not panel.counts and row.name not in compares and (made := cells[row.name].cells)
        for score, value in beside(data, [cell.answers for cell in made]).items()
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
