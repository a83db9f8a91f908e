"""The values of lookups that stand in a file of their own: class names, splits, and other indexes of a data set.

Knows how such files are written and where to look for them; knows no prompt and no media.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from savs.data.formats import matlab_vectors
from savs.data.layouts import Cells, Layout
from savs.data.remote import AnyPath
from savs.data.tasks import Task
from savs.errors import DataError

#: How many folders above the data are searched.
_ABOVE = 4


def with_files(task: Task, rows: Iterable[Cells], folder: AnyPath | None) -> Task:
    """The same task with the values that its lookups keep in files, for those layouts that any of the rows have.

    Class names are kept apart: where two keys stand for one name, the key is added to both.

    Raises:
        DataError: a file that is needed is nowhere, or cannot be read.
    """
    used = [(layout, row) for row in rows if (layout := task.layout_of(row)) is not None]
    needing = {layout for layout, row in used if _looks_into_files(layout, row)}
    layouts = tuple(
        layout.with_values(_values(layout, folder, task.fields.label)) if layout in needing else layout
        for layout in task.layouts
    )
    return replace(task, layouts=layouts)


def _looks_into_files(layout: Layout, row: Cells) -> bool:
    """Whether a row has anything that is looked up in a file; a column that the layout makes itself counts."""
    return any(lookup.file and row.get(lookup.column, "made") is not None for lookup in layout.lookups.values())


def _values(layout: Layout, folder: AnyPath | None, label: str | None) -> dict[str, dict[str, str]]:
    """What the files of a layout's lookups hold, by the name of the new column."""
    files = {column: lookup.file for column, lookup in layout.lookups.items() if lookup.file}
    values = {column: read_values(_find(names, folder)) for column, names in files.items()}
    return {column: _kept_apart(found) if column == label else found for column, found in values.items()}


def read_values(path: AnyPath) -> dict[str, str]:
    """What each key stands for, as a file says it.

    Of a text, the first word of each line is the key and the rest its value; of a CSV, the first two columns; a JSON
    object is taken as it is; of a MATLAB file, every number in a vector stands for the vector's name.

    Raises:
        DataError: the file is none of these.
    """
    suffix = path.suffix.lower()
    if suffix == ".mat":
        return {str(number): name for name, numbers in matlab_vectors(path).items() for number in numbers}
    try:
        text = path.read_text(encoding="utf-8-sig")
        if suffix == ".json":
            return _checked(json.loads(text), path)
    except ValueError as error:
        raise DataError(f"cannot be read ({error}); expected keys and values", location=str(path)) from error
    lines = text.splitlines()
    pairs = csv.reader(lines) if suffix == ".csv" else (line.split(maxsplit=1) for line in lines)
    return {words[0]: words[1].strip() for words in pairs if len(words) > 1}


def _checked(values: object, path: AnyPath) -> dict[str, str]:
    if not isinstance(values, Mapping) or not all(isinstance(value, str | int) for value in values.values()):
        raise DataError("holds something else than one JSON object of texts ({key: value})", location=str(path))
    return {key: str(value) for key, value in values.items()}


def _kept_apart(names: Mapping[str, str]) -> dict[str, str]:
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    return {key: f"{name} ({key})" if name in shared else name for key, name in names.items()}


def _find(files: Sequence[str], folder: AnyPath | None) -> AnyPath:
    places: list[AnyPath] = [] if folder is None else [folder.resolve(), *folder.resolve().parents[:_ABOVE]]
    for place in places:
        for name in files:
            if (place / name).is_file():
                return place / name
    listed = " or ".join(files)
    where = f"in {folder} and the folders above" if folder else "without a folder to look in"
    raise DataError(f"the data need {listed}, which was looked for {where}; put it beside the data")
