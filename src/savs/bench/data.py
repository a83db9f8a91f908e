"""The data of a column: examples to draw shots from and examples to answer, drawn or loaded. Knows no method."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from savs.bench.columns import Column
from savs.bench.miniature import draw_column
from savs.data.benchmarks import load_benchmark
from savs.data.clusters import clusters_of
from savs.data.example import Example, Media
from savs.data.media import content_key, identity
from savs.data.sampling import Leak, check_leaks
from savs.data.tasks import Task
from savs.errors import DataError

#: Training examples of each class that shots are drawn from: more cost forward passes and change no draw's odds.
_POOL = 100


@dataclass(frozen=True)
class ColumnData:
    """What a column is measured on.

    Attributes:
        column: which data set.
        task: how it is asked.
        pool: labelled examples to draw shots from.
        test: labelled examples to answer.
        notes: what a reader must know about the data, a sentence each.
    """

    column: Column
    task: Task
    pool: tuple[Example, ...]
    test: tuple[Example, ...]
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str | None, ...]:
        """The subtasks that are fitted each by itself; just None where there are none."""
        if not self.column.by_part:
            return (None,)
        return tuple(sorted({str(example.split) for example in self.test}))

    def of_part(self, part: str | None) -> ColumnData:
        """The examples of one subtask."""
        if part is None:
            return self
        pool, test = (tuple(e for e in examples if e.split == part) for examples in (self.pool, self.test))
        return replace(self, pool=pool, test=test)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted({str(example.label) for example in (*self.pool, *self.test)}))

    @cached_property
    def clusters(self) -> NDArray[np.intp]:
        """`[n_test]` which test examples stand or fall together, sharing a group, an image or a video."""
        return clusters_of(self.test, known_by=identity)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any example. Files are known by name and size."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        lines = (_identity(example) for example in (*self.pool, *self.test))
        return hashlib.sha256("\n".join([str(len(self.pool)), *lines]).encode()).hexdigest()[:16]


def loaded(column: Column, data_root: Path | None, *, seed: int = 0, max_test: int | None = None) -> ColumnData:
    """The column as its owners give it, from a folder or, where `data_root` is None, from the Hub.

    Raises:
        DataError: as `load_benchmark`, or no subtask has what it takes.
    """
    found = load_benchmark(next(iter(column.called.values())), data_root, seed=seed, most_train=_POOL)
    notes = [f"read from {found.source}; shots are drawn from at most {_POOL} training examples of each class"]
    if found.left_out:
        notes.append(f"{found.left_out} test examples were left out, with their groups: training has them too")
    train, test = found.train, found.test
    if {example.id for example in train} & {example.id for example in test}:
        train = tuple(replace(example, id=f"train/{example.id}") for example in train)
        test = tuple(replace(example, id=f"test/{example.id}") for example in test)
    data = ColumnData(column, found.task, train, test, (*notes, *_told(found.leaks, len(test))))
    return with_whole_parts(shortened(data, max_test, seed=seed))


def drawn(column: Column, *, seed: int = 0, max_test: int | None = None) -> ColumnData:
    """The column in miniature.

    Raises:
        DataError: it has none.
    """
    data = draw_column(column.name, seed=seed)
    notes = _told(check_leaks(data.pool, data.test), len(data.test))
    return shortened(ColumnData(column, data.task, data.pool, data.test, notes), max_test)


def shortened(data: ColumnData, max_test: int | None, *, seed: int | None = None) -> ColumnData:
    """The data with at most so many test examples, as many of each subtask, whole groups.

    Args:
        data: with all.
        max_test: how many; None for all.
        seed: of which are taken. Without it they are taken at even steps, which does for drawn data; files have
            rhythms, such as a true and a false claim by turns, and a step may keep to one of the two.
    """
    if max_test is None:
        return data
    chosen: list[Example] = []
    for part in data.parts:
        units: dict[str, list[Example]] = {}
        for example in data.of_part(part).test:
            units.setdefault(example.group or f"alone: {example.id}", []).append(example)
        size = max(len(unit) for unit in units.values())
        wanted = min(max(1, max_test // len(data.parts) // size), len(units))
        if seed is None:
            kept = [int(i * (len(units) / wanted)) for i in range(wanted)]
        else:
            kept = sorted(np.random.default_rng(seed).choice(len(units), size=wanted, replace=False).tolist())
        chosen += [example for place in kept for example in list(units.values())[place]]
    return replace(data, test=tuple(chosen))


def with_whole_parts(data: ColumnData) -> ColumnData:
    """The data without subtasks that cannot be learnt, or scored: those with a single class where it takes two.

    Raises:
        DataError: no subtask is left.
    """
    if not data.column.by_part:
        return data
    precise = data.column.metric == "average_precision"
    of_part = {part: data.of_part(part) for part in data.parts}
    kept = [part for part, of in of_part.items() if _several(of.pool) and (_several(of.test) or not precise)]
    if len(kept) == len(of_part):
        return data
    missing = ", ".join(str(part) for part in of_part if part not in kept)
    why = "examples of a single class to draw from" + (" or to answer" if precise else "")
    if not kept:
        raise DataError(f"every subtask of {data.column.title} has {why}: {missing}")
    pool, test = (tuple(e for e in examples if e.split in kept) for examples in (data.pool, data.test))
    note = f"{len(of_part) - len(kept)} of {len(of_part)} subtasks are left out, having {why}: {missing}"
    return replace(data, pool=pool, test=test, notes=(*data.notes, note))


def _several(examples: Sequence[Example]) -> bool:
    return len({example.label for example in examples}) > 1


def _told(leaks: Sequence[Leak], n_test: int) -> tuple[str, ...]:
    """What the leak check found, in words."""
    if not leaks:
        return ()
    kinds = ", ".join(f"{count} by {kind}" for kind, count in Counter(leak.kind for leak in leaks).items())
    return (f"{len(leaks)} of {n_test} test examples share something with the training part ({kinds})",)


def _identity(example: Example) -> str:
    media = [_media_identity(media) for media in example.media]
    return json.dumps([example.id, example.text, media, example.label, example.group, example.choices, example.split])


def _media_identity(media: Media) -> Sequence[str | int]:
    if media.file is not None:
        return media.file.name, media.file.stat().st_size
    return (content_key(media),)
