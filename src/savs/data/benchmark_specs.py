"""What the benchmarks of the paper are, and where the rows of each may lie.

Knows names, addresses and patterns of files; opens no data. A benchmark is a short TOML file in `benchmarks/`, never a
function.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from savs.data.hints import closest
from savs.data.tables import from_table
from savs.data.tasks import Task
from savs.errors import DataError


@dataclass(frozen=True)
class Source:
    """One shape in which the rows of a benchmark are found.

    Attributes:
        name: `hub`, `owners`, `reference` or the like.
        train: files or folders of the training rows, relative to the benchmark's folder and with wildcards, or data
            sets on the Hub (`hf://...`).
        test: the same of the test rows.
        whole: where nobody has parted training from test, all rows; the shots are then held out by seed.
        train_splits: where one file holds all, the splits that train; the rest tests.
        media: folders that the media are under, relative to the benchmark's own folder, which is searched last.
        test_media: the same for the test rows, where they differ.
    """

    name: str
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    train_splits: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    test_media: tuple[str, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        """All that must be there."""
        return (*self.train, *self.test, *self.whole)

    @property
    def on_hub(self) -> bool:
        """Whether the rows are a data set on the Hub, read from there or from its files in the benchmark's folder."""
        return all(pattern.startswith("hf://") for pattern in self.patterns)


#: Anybody's own rows, in the columns of the benchmark's task, and of an image classification in class folders.
_OWN_ROWS = (
    Source("your own", train=("train.json*",), test=("test.json*",)),
    Source("your own, CSV", train=("train.?sv",), test=("test.?sv",)),
    Source("your own, in one file", whole=("all.json*",)),
    Source("your own, in one file, CSV", whole=("all.?sv",)),
)
_OWN_FOLDERS = Source("your own class folders", train=("train",), test=("test",))


@dataclass(frozen=True)
class BenchmarkSpec:
    """What a benchmark is, and where its rows are looked for.

    Attributes:
        name: of its file, and of its folder under a data root.
        title: what people call it.
        task: how its rows are asked.
        columns: the columns of the paper's table 1 that it fills, each with the score it shows.
        address: where to get it.
        licence: of the data.
        sources: the shapes that are read, the most complete first.
        ways: where set, each example is asked as multiple choice among so many classes (see `choices.offer`).
        by_part: what `Example.split` names, where heads are chosen for each part by itself ("subtask").
        held_out: of a benchmark without training rows, how many in a hundred shots are drawn from.
        note: what a reader must know before comparing numbers.
    """

    name: str
    title: str
    task: str
    columns: Mapping[str, str] = field(hash=False)
    address: str
    licence: str
    sources: tuple[Source, ...]
    ways: int | None = None
    by_part: str | None = None
    held_out: int = 20
    note: str = ""

    @property
    def places(self) -> tuple[Source, ...]:
        """All that is looked for, in this order: the sources, and last anybody's own rows."""
        return (*self.sources, *_OWN_ROWS, *((_OWN_FOLDERS,) if self.ways is not None else ()))


@cache
def benchmarks() -> tuple[BenchmarkSpec, ...]:
    """The benchmarks that come with the package, by name."""
    entries = [entry for entry in (files("savs.data") / "benchmarks").iterdir() if entry.name.endswith(".toml")]
    specs = [
        from_table(BenchmarkSpec, {"name": e.name.removesuffix(".toml"), **tomllib.loads(e.read_text("utf-8"))}, e.name)
        for e in entries
    ]
    return tuple(sorted(specs, key=lambda spec: spec.name))


def benchmark_columns() -> tuple[str, ...]:
    """The columns that can be loaded, by benchmark."""
    return tuple(column for spec in benchmarks() for column in spec.columns)


def spec_of(column: str) -> BenchmarkSpec:
    """The benchmark behind a column.

    Raises:
        DataError: there is none.
    """
    for spec in benchmarks():
        if column in spec.columns:
            return spec
    close = closest(column, benchmark_columns())
    hint = f"did you mean {close!r}?" if close else f"expected one of {', '.join(benchmark_columns())}"
    raise DataError(f"no benchmark fills a column {column!r}; {hint}")


def benchmark_of(task: Task) -> BenchmarkSpec | None:
    """The benchmark that is asked by a task, if there is one."""
    return next((spec for spec in benchmarks() if spec.task == task.name), None)
