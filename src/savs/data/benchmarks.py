"""The benchmarks of the paper, read: which examples train, which test, and which score they are for.

Knows files and folders; how their rows are asked is the task's affair. Nothing is downloaded but through the Hub's own
client.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from savs.data.benchmark_specs import BenchmarkSpec, Source, spec_of
from savs.data.choices import offer, without_options
from savs.data.example import Example
from savs.data.formats import BadRow, Row
from savs.data.hub import HubName, hub_rows
from savs.data.readers import read_rows, rows_at, with_unique_ids
from savs.data.sampling import Leak, check_leaks, split, thin
from savs.data.tasks import Task, load_task
from savs.errors import DataError


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's examples, ready to be drawn from and judged by.

    Attributes:
        column: the column of the paper's table 1.
        score: which number that column shows: `accuracy`, `pairs`, `question`, `image` or `group`, `average_precision`,
            or `mean_of_parts`, the mean accuracy over the parts.
        task: how the examples are asked.
        train: what shots are drawn from.
        test: what a method is judged by; nothing in it is an example of `train`.
        parts: the parts that heads are chosen for by themselves, sorted; empty where there is one.
        source: what was read.
        leaks: images, videos or ids that train and test still share, under other texts.
        left_out: test examples that were left out, with their groups, because training has them too.
    """

    column: str
    score: str
    task: Task
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    parts: tuple[str, ...] = ()
    source: str = ""
    leaks: tuple[Leak, ...] = ()
    left_out: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the training examples, sorted."""
        return tuple(sorted({str(example.label) for example in self.train}))

    def by_part(self) -> Iterator[tuple[str, Benchmark]]:
        """The benchmark of each part by itself, or the one benchmark under its own name."""
        if not self.parts:
            yield self.column, self
        for part in self.parts:
            train = tuple(example for example in self.train if example.split == part)
            test = tuple(example for example in self.test if example.split == part)
            yield part, replace(self, train=train, test=test, parts=())


def load_benchmark(
    column: str, data_root: str | Path | None = None, *, seed: int = 0, most_train: int | None = None
) -> Benchmark:
    """Read the benchmark that fills a column of the paper's table 1.

    Args:
        column: a name of `benchmark_columns()`.
        data_root: the folder with one folder a benchmark; without it, the data are read from the Hub.
        seed: of the options of multiple-choice questions, and of the part that shots are drawn from where a benchmark
            has no training rows. Draws of shots have seeds of their own.
        most_train: where set, at most so many training examples of each class and split are kept, drawn by seed:
            enough to draw shots from, where the whole training set would cost a day of forward passes.

    Returns:
        Examples whose media have all been opened once.

    Raises:
        DataError: there is no such column, the data are not there (the message says what was looked for, and where to
            get it), or a row of them cannot be used.
    """
    spec = spec_of(column)
    source, folder = _available(spec, data_root)
    task = load_task(spec.task)
    train, test = _read(spec, source, folder, task, seed)
    if most_train is not None:
        train = thin(train, most_train, seed)
    if spec.ways is not None:
        classes = task.labels or {str(example.label) for example in (*train, *test)}
        train, test = (offer(part, spec.ways, classes=classes, seed=seed) for part in (train, test))
    train, test = ([without_options(example) for example in part] for part in (train, test))
    test, leaks, left_out = _without_training(train, test, by_media=spec.ways is not None)
    return Benchmark(
        column=column,
        score=spec.columns[column],
        task=task,
        train=tuple(train),
        test=tuple(test),
        parts=tuple(sorted({str(example.split) for example in test})) if spec.by_part else (),
        source=f"{source.name} ({folder or 'the Hub'})",
        leaks=tuple(leaks),
        left_out=left_out,
    )


def _available(spec: BenchmarkSpec, data_root: str | Path | None) -> tuple[Source, Path | None]:
    """The first source whose files are all there, and the benchmark's folder."""
    on_hub = next((source for source in spec.sources if source.on_hub), None)
    if data_root is None:
        if on_hub is None:
            raise DataError(
                f"{spec.title} is not on the Hub in a form that can be read; get it from {spec.address} "
                f"({spec.licence}) and name the folder that holds {spec.name}/ (data root)"
            )
        return on_hub, None
    folder = Path(data_root).expanduser() / spec.name
    for source in spec.places:
        if all(_is_there(folder, pattern) for pattern in source.patterns):
            return source, folder
    looked_for = "; or ".join(
        dict.fromkeys(" with ".join(dict.fromkeys(map(_called, source.patterns))) for source in spec.places)
    )
    or_hub = f", or leave the data root out to read {on_hub.patterns[0]} from the Hub" if on_hub else ""
    raise DataError(
        f"the data of {spec.title} are not in {folder}: looked for {looked_for}. Get them from {spec.address} "
        f"({spec.licence}){or_hub}"
    )


def _read(
    spec: BenchmarkSpec, source: Source, folder: Path | None, task: Task, seed: int
) -> tuple[list[Example], list[Example]]:
    """Training and test examples, with the place for options still in their prompts."""
    read = partial(_examples, folder=folder, task=task, by_part=spec.by_part is not None)
    if not source.whole:
        return read(source.train, media=source.media), read(source.test, media=source.test_media or source.media)
    examples = read(source.whole, media=source.media)
    if not source.train_splits:
        return split(examples, spec.held_out / 100, seed)
    train = [example for example in examples if example.split in source.train_splits]
    return train, [example for example in examples if example.split not in source.train_splits]


def _examples(
    patterns: Sequence[str], *, media: Sequence[str], folder: Path | None, task: Task, by_part: bool
) -> list[Example]:
    examples: list[Example] = []
    roots = (
        [] if folder is None else [place for place in (*(folder / name for name in media), folder) if place.is_dir()]
    )
    for pattern in patterns:
        for rows, path in _rows_of(pattern, folder):
            place = path.parent if path is not None else folder
            read = read_rows(rows, task, folder=place, image_roots=roots, require_labels=True)
            if by_part and path is not None:
                read = [e if e.split is not None else replace(e, split=_part_of(path)) for e in read]
            examples += read
    return with_unique_ids(examples)


def _part_of(path: Path) -> str:
    """The part that a file is named after; "all" where its name says no more than its side.

    >>> _part_of(Path("blink/Art_Style_train.json"))
    'Art_Style'
    >>> _part_of(Path("blink/train.json"))
    'all'
    """
    return re.sub(r"(?i)(^|[_-])(train|test|val)(?=$|[_-])", "", path.stem).strip("_-") or "all"


def _rows_of(pattern: str, folder: Path | None) -> Iterator[tuple[list[Row | BadRow], Path | None]]:
    hub = HubName.parse(pattern) if pattern.startswith("hf://") else None
    if hub is not None:
        yield list(hub_rows(hub if folder is None else replace(hub, name=str(folder)), None)), None
    elif folder is not None:
        for path in _matches(folder, pattern):
            yield list(rows_at(path)), path


def _is_there(folder: Path, pattern: str) -> bool:
    if pattern.startswith("hf://"):
        return folder.is_dir() and next(folder.rglob("*.parquet"), None) is not None
    return bool(_matches(folder, pattern))


def _called(pattern: str) -> str:
    return "the files of the Hub's data set (*.parquet)" if pattern.startswith("hf://") else pattern


def _matches(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _without_training(
    train: Sequence[Example], test: Sequence[Example], *, by_media: bool
) -> tuple[list[Example], list[Leak], int]:
    """The test examples without those that training has too, and without the groups these belong to.

    With `by_media` an image is the whole example, whichever options stand beside it.
    """
    leaks = check_leaks(train, test)
    grave = [leak.test for leak in leaks if leak.kind == "example" or (by_media and leak.kind == "media")]
    seen, groups = {example.id for example in grave}, {example.group for example in grave} - {None}
    kept = [example for example in test if example.id not in seen and example.group not in groups]
    ids = {example.id for example in kept}
    return kept, [leak for leak in leaks if leak.test.id in ids], len(test) - len(kept)
