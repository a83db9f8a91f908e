"""Filling cells: for each column its features once, then every row, draw by draw. What is finished is not run again.

Knows methods by their interface alone, and files only through the store of cells.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import savs
from savs.backbones.base import Backbone, Progress
from savs.backbones.cost import Cost, measured
from savs.baselines.method import Method, Problem
from savs.baselines.registry import Resources
from savs.baselines.zero_shot import UNMATCHED
from savs.bench.cells import Cell, CellKey, Cells, as_kept
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
        return tuple(range(self.seed, self.seed + count))


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
    _read: dict[str, tuple[HeadFeatures, Cost]] = field(default_factory=dict)

    def fill(self, data: ColumnData, rows: Iterable[Row]) -> dict[str, RowCells]:
        """The cells of some rows of one column, by the rows' names. Its features are read at most once, if at all."""
        return {row.name: self._row(data, row) for row in rows}

    def features(self, data: ColumnData) -> tuple[HeadFeatures, Cost]:
        """Every head's output for every example of a column, in one pass each, and what the reading cost."""
        digest = data.digest()
        if digest not in self._read:
            with measured(self.backbone) as cost, self.stage(f"{data.column.name}: reading heads") as progress:
                read = extract(self._reader(), (*data.pool, *data.test), progress=progress)
            self._read[digest] = read, cost
        return self._read[digest]

    def _reader(self) -> Backbone:
        return self.backbone if self.store is None else StoredBackbone(self.store, lambda: self.backbone)

    def forget(self) -> None:
        """Let go of the features that were read."""
        self._read.clear()

    def _row(self, data: ColumnData, row: Row) -> RowCells:
        cells: list[Cell] = []
        for seed in self.setting.seeds(row):
            try:
                cell = self._cell(data, row, seed)
            except SavsError as error:
                return RowCells(tuple(cells), str(error))
            if isinstance(cell, str):
                return RowCells(tuple(cells), cell)
            cells.append(cell)
        return RowCells(tuple(cells))

    def _cell(self, data: ColumnData, row: Row, seed: int | None) -> Cell | str:
        """One finished cell, or why it cannot be."""
        key = self._key(data, row, seed)
        found = self.cells.find(key)
        if found is not None:
            return found
        problems = [self._problem(data.of_part(part), row, seed) for part in data.parts]
        method = self._made_of(row)
        reading = None
        if isinstance(getattr(method, "features", None), HeadFeatures):
            features, cost = self.features(data)
            reading = {"seconds": cost.seconds, "forwards": cost.forwards}
            method = self._made_of(row, features, *self._elsewhere(data, row, seed))
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
            settings["elsewhere_task"] = [other.column.name, other.digest(), self.shots(other, row), words]
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
            )
        )

    def _elsewhere(self, data: ColumnData, row: Row, seed: int | None) -> tuple[HeadFeatures | None, Task]:
        """Features of a draw of shots of the column on whose examples the row chooses its heads, and its task."""
        if not row.elsewhere:
            return None, GENERIC
        other = self._other(data, row)
        chosen = {example.id for example in self._problem(other, row, seed).shots}
        features, _ = self.features(other)
        return features.take([i for i, name in enumerate(features.ids) if name in chosen]), other.task

    def _other(self, data: ColumnData, row: Row) -> ColumnData:
        """The first of the columns elsewhere that is another one, or the only one there is."""
        names = row.elsewhere
        return self.load(next((name for name in names if name != data.column.name), names[0]))

    def shots(self, data: ColumnData, row: Row | None = None) -> int:
        """Labelled examples a class: as many as are asked for, or as many as the scarcest class has."""
        wanted = self.setting.shots if row is None or row.shots is None else row.shots
        return min(wanted, *(_scarcest(data.of_part(part).pool) for part in data.parts))

    def _problem(self, data: ColumnData, row: Row, seed: int | None) -> Problem:
        shots: Sequence[Example] = ()
        if seed is not None:
            shots, _ = sample_shots(data.pool, self.shots(data, row), seed)
        return Problem(data.classes, tuple(shots), data.test, data.task, 0 if seed is None else seed)


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
