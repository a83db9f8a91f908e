"""Filling cells: for each column its features once, then every row, draw by draw. What is finished is not run again.

Knows methods by their interface alone, and files only through the store of cells.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import savs
from savs.backbones.base import Backbone, Progress
from savs.backbones.cost import measured
from savs.baselines.method import Method, Problem
from savs.baselines.registry import Resources
from savs.baselines.zero_shot import UNMATCHED
from savs.bench.cells import Cell, CellKey, Cells, Reading, as_kept
from savs.bench.data import ColumnData
from savs.bench.rows import Row, settings_of, without_rows
from savs.data.example import Example
from savs.data.sampling import sample_shots
from savs.data.tasks import GENERIC, Task
from savs.errors import SavsError
from savs.extraction import StoredBackbone, extract
from savs.features import HeadFeatures
from savs.prediction import Prediction
from savs.store import ActivationStore

#: Entered around one stage of the work; gives its progress callback.
Stage = Callable[[str], AbstractContextManager[Progress | None]]
Load = Callable[[str], ColumnData]


@dataclass(frozen=True)
class Setting:
    """What a run is set to.

    Attributes:
        shots: labelled examples of each class; fewer where a class has fewer.
        draws: how many times the shots are drawn.
        costly_draws: the same for methods that run the model for every draw.
        seed: of the first draw, of drawn data and of the bootstraps.
    """

    shots: int = 20
    draws: int = 5
    costly_draws: int = 2
    seed: int = 0

    def seeds(self, row: Row) -> tuple[int | None, ...]:
        """Of the draws of one row."""
        if not row.takes_shots:
            return (None,)
        count = min(self.draws, self.costly_draws) if row.is_costly else self.draws
        return self.all_seeds[:count]

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Of all draws."""
        return tuple(range(self.seed, self.seed + self.draws))


@dataclass(frozen=True)
class RowCells:
    """What came of one row in one column: its cells, one a draw, or why there are none."""

    cells: tuple[Cell, ...] = ()
    why: str | None = None


@dataclass
class Bench:
    """The cells of one model: those on disk are taken, those that are missing are made.

    Attributes:
        backbone: the frozen model.
        cells: where finished cells lie.
        load: the data of a column by its name.
        setting: shots, draws, seed.
        resources: what methods are made of, beside the backbone and its features.
        store: where features are kept between runs, if anywhere.
        stage: called with the name of each piece of work; what it gives is entered around it.
    """

    backbone: Backbone
    cells: Cells
    load: Load
    setting: Setting = Setting()
    resources: Resources = Resources()
    store: ActivationStore | None = None
    stage: Stage = field(default=lambda _title: nullcontext())
    _read: dict[str, tuple[HeadFeatures, Reading]] = field(default_factory=dict)
    _chosen_on: dict[str, tuple[HeadFeatures, Reading]] = field(default_factory=dict)

    def fill(self, data: ColumnData, rows: Iterable[Row]) -> dict[str, RowCells]:
        """The cells of some rows of one column, by the rows' names. Its features are read at most once, if at all."""
        wanted = list(rows)
        most = max((self._wanted(row) for row in wanted), default=0)
        return {row.name: self._row(data, row, most) for row in wanted}

    def features(self, data: ColumnData, shots: int) -> tuple[HeadFeatures, Reading]:
        """Every head's output for what is drawn and tested of a column, and what the reading cost.

        Args:
            data: the column.
            shots: the most labelled examples a class that any row takes; fewer are the first of these.
        """
        name = f"{data.digest()} {shots}"
        if name not in self._read:
            drawn = {e.id: e for seed in self.setting.all_seeds for e in self._draw(data, shots, seed)}
            self._read[name] = self._extract((*drawn.values(), *data.test), f"{data.column.name}: reading heads")
        return self._read[name]

    def _extract(self, examples: Sequence[Example], title: str) -> tuple[HeadFeatures, Reading]:
        reader = self.backbone if self.store is None else StoredBackbone(self.store, lambda: self.backbone)
        before = 0 if self.store is None else len(self.store)
        with measured(self.backbone) as cost, self.stage(title) as progress:
            read = extract(reader, examples, progress=progress)
        stored = 0 if self.store is None else max(0, len(examples) - (len(self.store) - before))
        return read, Reading(cost.seconds, cost.forwards, cost.peak_bytes, stored)

    def forget(self) -> None:
        """Let go of the features that were read."""
        self._read.clear()

    def _row(self, data: ColumnData, row: Row, most_shots: int) -> RowCells:
        cells: list[Cell] = []
        for seed in self._seeds(data, row):
            try:
                cell = self._cell(data, row, seed, most_shots)
            except SavsError as error:
                return RowCells(tuple(cells), str(error))
            if isinstance(cell, str):
                return RowCells(tuple(cells), cell)
            cells.append(cell)
        return RowCells(tuple(cells))

    def _cell(self, data: ColumnData, row: Row, seed: int | None, most_shots: int) -> Cell | str:
        """One finished cell, or why it cannot be."""
        key = self._key(data, row, seed)
        found = self.cells.find(key)
        if found is not None:
            return found
        problems = [self._problem(data.of_part(part), row, seed) for part in data.parts]
        method = self._made_of(row)
        reading = None
        if isinstance(getattr(method, "features", None), HeadFeatures):
            features, reading = self.features(data, most_shots)
            method = self._made_of(row, features)
            if row.elsewhere:
                elsewhere, task, more = self._elsewhere(data, row)
                reading = reading.and_then(more)
                method = self._made_of(row, features, elsewhere, task)
        elif row.elsewhere:
            other = self._other(data, row)
            drawn = self._draw(other, self._wanted(row), self.setting.seed if seed is None else seed)
            method = self._made_of(row, elsewhere_task=other.task, elsewhere_shots=tuple(drawn))
        for problem in problems:
            why = method.obstacle(problem)
            if why is not None:
                return why
        answers: list[Prediction] = []
        title = f"{data.column.name}: {row.name}" + ("" if seed is None else f", draw {seed - self.setting.seed + 1}")
        with measured(self.backbone) as cost, self.stage(title) as progress:
            for problem in problems:
                answers += method.predict(problem, progress=progress)
        by_id = {answer.id: answer for answer in answers}
        cell = Cell(
            key=key,
            answers=tuple(as_kept(among_choices(by_id[example.id], example)) for example in data.test),
            seconds=cost.seconds,
            forwards=cost.forwards,
            peak_bytes=cost.peak_bytes,
            reading=reading,
            made=_made(self.backbone),
        )
        self.cells.keep(cell)
        return cell

    def _key(self, data: ColumnData, row: Row, seed: int | None) -> CellKey:
        method = self._made_of(row)
        settings = dict(settings_of(method))
        if row.elsewhere:
            other = self._other(data, row)
            words = [other.task.answer(label) for label in other.classes]
            told = (other.column.name, other.digest(), self.setting.seed, self.shots(other, row), words)
            settings["elsewhere_task"] = list(told)
        return CellKey(
            column=data.column.name,
            data=data.digest(),
            backbone=self.backbone.spec.fingerprint(),
            method=method.name,
            settings=settings,
            shots=None if seed is None else self.shots(data, row),
            seed=seed,
        )

    def _made_of(
        self,
        row: Row,
        features: HeadFeatures | None = None,
        elsewhere: HeadFeatures | None = None,
        elsewhere_task: Task = GENERIC,
        elsewhere_shots: tuple[Example, ...] = (),
    ) -> Method:
        """The method of a row; without features, of none, which is enough to know what it is set to."""
        nothing = without_rows(self.backbone)
        return row.make(
            replace(
                self.resources,
                backbone=self.backbone,
                features=features if features is not None else nothing,
                elsewhere=elsewhere if elsewhere is not None else nothing,
                elsewhere_task=elsewhere_task,
                elsewhere_shots=elsewhere_shots,
            )
        )

    def _elsewhere(self, data: ColumnData, row: Row) -> tuple[HeadFeatures, Task, Reading]:
        """Features of the first draw of the column on whose examples the row chooses its heads, its task, the cost."""
        other = self._other(data, row)
        name = f"{other.digest()} {self.shots(other, row)}"
        if name not in self._chosen_on:
            shots = self._draw(other, self._wanted(row), self.setting.seed)
            title = f"{other.column.name}: reading heads, to choose them there"
            self._chosen_on[name] = self._extract(shots, title)
        features, reading = self._chosen_on[name]
        return features, other.task, reading

    def _other(self, data: ColumnData, row: Row) -> ColumnData:
        """The first of the columns elsewhere that is another one and has data; its own where no other is named."""
        *others, last = [name for name in row.elsewhere if name != data.column.name] or row.elsewhere
        for name in others:
            with suppress(SavsError):
                return self.load(name)
        return self.load(last)

    def shots(self, data: ColumnData, row: Row | None = None) -> int:
        """Labelled examples a class: as many as are asked for, or as the scarcest class of every subtask has."""
        return max(min(self._wanted(row), _scarcest(data.of_part(part).pool)) for part in data.parts)

    def shot_note(self, data: ColumnData, rows: Iterable[Row]) -> str:
        """What a reader must know of the shots: that there were fewer than asked for, or one draw; else nothing."""
        wanted = max((self._wanted(row) for row in rows if row.takes_shots), default=0)
        taken = sorted({min(wanted, _scarcest(data.of_part(part).pool)) for part in data.parts})
        all_there_are = self._takes_all(data, wanted)
        if not taken[-1] or (taken[0] == wanted and not all_there_are):
            return ""
        note = " to ".join(map(str, dict.fromkeys((taken[0], taken[-1])))) + " shots a class"
        note += f" where {wanted} were asked for" if taken[0] < wanted else ""
        if all_there_are:
            return f"{note}, all there are, so that draws of as many are all alike"
        return f"{note}: the scarcest class has no more"

    def _seeds(self, data: ColumnData, row: Row) -> tuple[int | None, ...]:
        """Of the draws of one row. Where all draws are alike there is one, but of methods that draw more than shots."""
        seeds = self.setting.seeds(row)
        return seeds[:1] if not row.is_costly and self._takes_all(data, self._wanted(row)) else seeds

    def _takes_all(self, data: ColumnData, shots: int) -> bool:
        """Whether a draw takes every example that there is to draw."""
        counts = [Counter(example.label for example in data.of_part(part).pool).values() for part in data.parts]
        return all(max(of_part) == min(of_part) <= shots for of_part in counts)

    def _wanted(self, row: Row | None) -> int:
        return self.setting.shots if row is None or row.shots is None else row.shots

    def _draw(self, data: ColumnData, shots: int, seed: int) -> list[Example]:
        """One draw of the shots of every subtask; fewer where a class has fewer."""
        pools = [data.of_part(part).pool for part in data.parts]
        return [e for pool in pools for e in sample_shots(pool, min(shots, _scarcest(pool)), seed)[0]]

    def _problem(self, data: ColumnData, row: Row, seed: int | None) -> Problem:
        shots = () if seed is None else tuple(self._draw(data, self._wanted(row), seed))
        return Problem(data.classes, shots, data.test, data.task, 0 if seed is None else seed)


def among_choices(answer: Prediction, example: Example) -> Prediction:
    """The answer, taken from the choices that the example offers.

    Where an example offers choices among the classes, the most probable of these is the answer; of equally probable
    ones, the one that the best-ranked head votes for, then the first. An answer that gives no choice any probability
    stands, and is wrong.
    """
    offered = [name for name in example.choices or () if answer.probabilities.get(name, 0.0) > 0]
    if not offered or answer.label in (*offered, UNMATCHED):
        return answer
    best = max(answer.probabilities[name] for name in offered)
    equal = [name for name in answer.probabilities if name in offered and answer.probabilities[name] == best]
    label = next((vote for vote in answer.votes.values() if vote in equal), equal[0])
    return Prediction(answer.id, label, answer.probabilities, answer.votes)


def _scarcest(pool: Sequence[Example]) -> int:
    return min(Counter(example.label for example in pool).values())


def _made(backbone: Backbone) -> Mapping[str, str]:
    versions = {name: version(name) for name in ("torch", "transformers", "numpy", "scikit-learn")}
    model = {"model": backbone.spec.model, "revision": backbone.spec.revision}
    return {"savs": savs.__version__, "python": platform.python_version(), **versions, **model}
