"""Examples out of a data file, a folder of class folders, or a data set on the Hub.

Everything that can be wrong with the data is found here, before a model is loaded: every image is decoded once, of
every video the first frame.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

from savs.data.choices import without_options
from savs.data.example import Example, Media
from savs.data.folders import folder_rows, table_parts
from savs.data.formats import BadRow, Row, file_rows
from savs.data.hub import HubName, hub_rows, is_saved, saved_rows
from savs.data.lookup_files import with_files
from savs.data.media import verify
from savs.data.paths import locate
from savs.data.remote import AnyPath, as_path
from savs.data.rows import RowReader
from savs.data.tasks import Task, load_task, sniff_task
from savs.errors import DataError

logger = logging.getLogger(__name__)

_SNIFFED_ROWS = 100


def read_examples(
    source: str | Path,
    *,
    task: Task | str | Path | None = None,
    image_root: Path | str | None = None,
    limit: int | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
    require_labels: bool = False,
) -> list[Example]:
    """Read the examples of a data set, in its order, all of them checked.

    Args:
        source: a file (JSON lines, a JSON array, CSV, Parquet, one image or video), a folder of class folders, of
            Parquet files that are one table, or one that `datasets` saved, here or by the URL of an object store
            (`s3://bucket/rows.jsonl`); or a data set on the Hub (`hf://owner/name[:config][/split]`, or `owner/name`).
        task: what the columns mean: a task, a built-in task's name, or a task file. Told by the columns where absent.
        image_root: the folder that the media are under, wherever the paths in the rows point; see `paths.locate`.
        limit: read at most so many rows.
        on_bad: called with each row that cannot be used, which is then left out; without it such a row is an error.
        require_labels: whether a row without a label cannot be used.

    Returns:
        Examples with unique ids: the row's own, else the file's name and the row's number. Where rows share an id, the
        later ones have `#2`, `#3`, ... appended, so that no prediction is lost or mistaken for another.

    Raises:
        DataError: the source cannot be read, a row cannot be used (and `on_bad` is not given), or no row is left.
    """
    rows, folder = _open(source, limit)
    known = _sniffed(rows, str(source)) if task is None else detect_task(source, task)
    roots = [] if image_root is None else [Path(image_root)]
    examples = read_rows(rows, known, folder=folder, image_roots=roots, on_bad=on_bad, require_labels=require_labels)
    return [without_options(example) for example in examples]


def read_rows(
    rows: Sequence[Row | BadRow],
    task: Task,
    *,
    folder: AnyPath | None,
    image_roots: Sequence[Path] = (),
    on_bad: Callable[[BadRow], None] | None = None,
    require_labels: bool = False,
) -> list[Example]:
    """The examples in rows, as `read_examples` gives them, but with the place for options still in their prompts.

    Args:
        rows: of one source.
        task: what their columns mean.
        folder: what paths in the rows are relative to, and where the files of lookups are.
        image_roots: folders that the media are under; the first that has a file counts. As for `read_examples`.
        on_bad: as for `read_examples`.
        require_labels: as for `read_examples`.

    Raises:
        DataError: as `read_examples`.
    """
    for root in image_roots:
        if not root.is_dir():
            raise DataError(f"the image root {root} is no folder; give the folder that holds the media")
    complete = with_files(task, [row.cells for row in rows[:_SNIFFED_ROWS] if isinstance(row, Row)], folder)
    reader = RowReader(complete, partial(_locate, folder=folder, roots=image_roots), require_labels)
    examples: list[Example] = []
    bad: list[BadRow] = []
    for result in _read_rows(rows, reader):
        if isinstance(result, BadRow):
            bad.append(result)
            if on_bad is not None:
                on_bad(result)
        else:
            examples += result
    if bad and (on_bad is None or not examples):
        raise _bad_rows_error(bad, len(rows))
    return with_unique_ids(examples)


def _locate(name: str, folder: AnyPath | None, roots: Sequence[Path]) -> AnyPath:
    for root in roots[:-1]:
        with suppress(DataError):
            return locate(name, folder, root)
    return locate(name, folder, roots[-1] if roots else None)


def detect_task(source: str | Path, task: Task | str | Path | None = None) -> Task:
    """The task that `read_examples` would ask these rows by: the one that is named, else the one they look like.

    Raises:
        DataError: the source or the task cannot be read, or the rows look like no task.
    """
    if isinstance(task, Task):
        return task
    if task is not None:
        return load_task(task)
    rows, _ = _open(source, _SNIFFED_ROWS)
    return _sniffed(rows, str(source))


def _open(source: str | Path, limit: int | None) -> tuple[list[Row | BadRow], AnyPath | None]:
    """The source's rows, and the folder that paths in them are relative to."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 row, got {limit}")
    found: Iterator[Row | BadRow]
    folder: AnyPath | None
    hub = HubName.parse(str(source))
    path = Path(source) if hub else as_path(source)
    if path.exists():
        found, folder = rows_at(path), path if path.is_dir() else path.parent
    elif hub:
        found, folder = hub_rows(hub, limit), None
    else:
        raise DataError(
            f"there is no file or folder {str(source)!r}; expected one, or a data set on the Hub (hf://owner/name)"
        )
    rows = list(islice(found, limit))
    if not rows:
        raise DataError("has no rows; expected at least one", location=str(source))
    return rows, folder


def rows_at(path: AnyPath) -> Iterator[Row | BadRow]:
    """The rows of a file, of a folder of class folders or of Parquet files, or of one that `datasets` saved.

    Raises:
        DataError: it cannot be read.
    """
    if not path.is_dir():
        return file_rows(path)
    if is_saved(path):
        return saved_rows(path)
    parts = table_parts(path)
    return chain.from_iterable(map(file_rows, parts)) if parts else folder_rows(path)


def _sniffed(rows: Sequence[Row | BadRow], source: str) -> Task:
    try:
        return sniff_task([row.cells for row in rows if isinstance(row, Row)][:_SNIFFED_ROWS])
    except DataError as error:
        raise DataError(str(error), location=source) from error


def _read_rows(rows: Sequence[Row | BadRow], reader: RowReader) -> Iterator[list[Example] | BadRow]:
    checked: dict[Media, str | None] = {}
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            examples = reader.examples(row)
            for example in examples:
                for media in example.media:
                    _check_media(media, checked)
        except DataError as error:
            yield BadRow(row.location, reader.row_id(row), str(error))
        else:
            yield examples


def _check_media(media: Media, checked: dict[Media, str | None]) -> None:
    """Verify a file once, however many rows name it; `checked` holds what was found wrong with each."""
    if media.file is None:
        verify(media)
        return
    if media not in checked:
        try:
            verify(media)
            checked[media] = None
        except DataError as error:
            checked[media] = str(error)
    problem = checked[media]
    if problem is not None:
        raise DataError(problem)


def _bad_rows_error(bad: Sequence[BadRow], n_rows: int) -> DataError:
    first, more = bad[0], len(bad) - 1
    if len(bad) == n_rows and n_rows > 1:
        rest = f" (none of the {n_rows} rows can be used)"
    elif more:
        rest = f" (and {more} more of {n_rows} rows {'is' if more == 1 else 'are'} bad; mend them, or skip bad rows)"
    else:
        rest = ""
    return DataError(f"{first.reason}{rest}", location=first.location)


def with_unique_ids(examples: list[Example]) -> list[Example]:
    """The same examples; where several share an id, `#2`, `#3`, ... are appended to the later ones."""
    own = {example.id for example in examples}
    if len(own) == len(examples):
        return examples
    logger.warning(
        "%d of %d ids occur more than once; later rows are named id#2, id#3, ...",
        len(examples) - len(own),
        len(examples),
    )
    seen: dict[str, int] = {}
    unique: list[Example] = []
    for example in examples:
        seen[example.id] = count = seen.get(example.id, 0) + 1
        name = example.id
        while count > 1 and (name := f"{example.id}#{count}") in own:
            seen[example.id] = count = count + 1
        own.add(name)
        unique.append(example if name == example.id else replace(example, id=name))
    return unique
