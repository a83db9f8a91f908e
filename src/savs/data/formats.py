"""Rows out of data files and folders of class folders, each with the place it stands at.

Knows how files are written, not what their columns mean. A row that cannot be read is handed on as a `BadRow`;
a file that cannot be read is a `DataError`.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.data.example import Media
from savs.data.media import guess_kind
from savs.errors import DataError

#: Suffixes of data files; any other file is known by its content.
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")

_JUNK = frozenset({"thumbs.db", "desktop.ini"})
_DELIMITERS = {".tsv": "\t"}


@dataclass(frozen=True)
class Row:
    """One row as it stands in its source.

    Attributes:
        cells: the row's columns.
        location: the file and line, or the file and index, for messages.
        default_id: names the row where it has no id of its own.
    """

    cells: Mapping[str, Any]
    location: str
    default_id: str


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: where it stands, what it is called, and why not."""

    location: str
    id: str
    reason: str


def file_rows(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a data file, whose format its suffix and its first characters tell.

    Raises:
        DataError: the file is empty, is no text, or has none of the formats.
    """
    if path.suffix.lower() == ".mat":
        return _vector_rows(path)
    with path.open("rb") as file:
        head = file.read(4096)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise DataError("is empty; expected at least one row", location=str(path))
    if b"\0" in head:
        raise DataError("is no UTF-8 text; expected JSON lines, a JSON array or CSV in UTF-8", location=str(path))
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _csv_rows(path)
    if start[:1] == b"[":
        return _array_rows(path)
    if start[:1] == b"{" or suffix in (".jsonl", ".ndjson"):
        named = _named_objects(path) if suffix == ".json" else None
        return _line_rows(path) if named is None else _object_rows(path, named)
    if suffix == ".txt":
        return _word_rows(path)
    raise DataError(
        "has none of the formats that can be read; expected JSON lines (.jsonl), a JSON array or object (.json), CSV "
        "(.csv, .tsv), an index of words (.txt), vectors of MATLAB (.mat) or a folder with one folder a class",
        location=str(path),
    )


def folder_rows(folder: Path) -> Iterator[Row | BadRow]:
    """One row a media file: `image`, `label` (the name of the folder it is in) and `id` (its path in `folder`).

    Files that stand in `folder` itself have no label. Hidden files are passed over, and so is anything but media
    beside the class folders; inside a class folder it is a bad row.

    Raises:
        DataError: there is no image or video in it.
    """
    entries = _visible(folder)
    classes = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if entry.is_file() and guess_kind(entry.name)]
    files = [(entry, None) for entry in loose] + [(entry, c.name) for c in classes for entry in _visible(c)]
    if not any(guess_kind(entry.name) for entry, _ in files):
        inner = next((entry for entry, _ in files if entry.is_dir()), None)
        hint = f"; did you mean {inner.parent}?" if inner else ""
        raise DataError(f"holds no images and no class folders with images{hint}", location=str(folder))
    for entry, label in files:
        name = entry.relative_to(folder).as_posix()
        kind = guess_kind(entry.name)
        if entry.is_dir() or kind is None:
            what = "a folder" if entry.is_dir() else "neither an image nor a video"
            yield BadRow(
                str(entry), name, f"is {what}; expected only images and videos in a class folder. Move it away"
            )
            continue
        cells = {"image": Media(entry, kind), "id": name, "label": label}
        yield Row(cells, str(entry), name)


def _visible(folder: Path) -> list[Path]:
    return sorted(e for e in folder.iterdir() if not e.name.startswith(".") and e.name.lower() not in _JUNK)


def _line_rows(path: Path) -> Iterator[Row | BadRow]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            try:
                cells = json.loads(text)
            except (ValueError, RecursionError) as error:
                if number == 1:
                    _refuse_single_object(path)
                reason = f"is not valid JSON ({_json_problem(error)}); expected one JSON object a line"
                yield BadRow(f"{path}:{number}", f"{path.stem}:{number}", reason)
                continue
            yield _row(cells, f"{path}:{number}", f"{path.stem}:{number}")


def _array_rows(path: Path) -> Iterator[Row | BadRow]:
    try:
        array = json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except json.JSONDecodeError as error:
        message = f"is not valid JSON ({_json_problem(error)}); expected a JSON array of objects"
        raise DataError(message, location=f"{path}:{error.lineno}") from error
    except (ValueError, RecursionError) as error:
        message = f"is not valid JSON ({_json_problem(error)}); expected a JSON array of objects"
        raise DataError(message, location=str(path)) from error
    for index, cells in enumerate(array):
        yield _row(cells, f"{path}[{index}]", f"{path.stem}:{index}")


def _named_objects(path: Path) -> dict[str, Any] | None:
    """The rows of a file that is one JSON object of objects, by their names; None where it is something else."""
    try:
        whole = json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return whole if whole and all(isinstance(value, Mapping) for value in whole.values()) else None


def _object_rows(path: Path, named: Mapping[str, Any]) -> Iterator[Row | BadRow]:
    """Rows that have a name each: it is their column `key`, and `file` is the file's name without its suffix."""
    for key, cells in named.items():
        yield Row({"file": path.stem, "key": key, **cells}, f"{path}[{key}]", f"{path.stem}:{key}")


def _word_rows(path: Path) -> Iterator[Row | BadRow]:
    """One row a line of words parted by blanks: columns `word1`, `word2`, ... Lines that begin with `#` are remarks."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and not line.startswith("#"):
                    cells = {f"word{column}": word for column, word in enumerate(line.split(), start=1)}
                    yield Row(cells, f"{path}:{number}", f"{path.stem}:{number}")
    except UnicodeDecodeError as error:
        raise DataError(f"is no UTF-8 text ({error.reason}); save it as UTF-8", location=str(path)) from error


def _vector_rows(path: Path) -> Iterator[Row | BadRow]:
    """One row an entry of the vectors in a MATLAB file, which must be equally long: `number` from 1, and the values."""
    vectors = matlab_vectors(path)
    if len({len(values) for values in vectors.values()}) != 1:
        came = ", ".join(f"{name} ({len(values)})" for name, values in vectors.items()) or "none"
        raise DataError(f"holds the vectors {came}; expected one or more of one length", location=str(path))
    for number, values in enumerate(zip(*vectors.values(), strict=True), start=1):
        cells = {"number": number, **dict(zip(vectors, values, strict=True))}
        yield Row(cells, f"{path}[{number}]", f"{path.stem}:{number}")


def matlab_vectors(path: Path) -> dict[str, list[int]]:
    """The vectors of whole numbers in a MATLAB file (to version 7), by their names.

    Raises:
        DataError: the file cannot be read as one.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        arrays = loadmat(path)
    except (MatReadError, LookupError, NotImplementedError, OSError, TypeError, ValueError, zlib.error) as error:
        raise DataError(f"cannot be read as a MATLAB file ({error}); download it again", location=str(path)) from error
    return {
        name: [int(value) for value in array.ravel()]
        for name, array in arrays.items()
        if not name.startswith("__") and array.dtype.kind in "iuf" and max(array.shape) == array.size
    }


def _csv_rows(path: Path) -> Iterator[Row | BadRow]:
    """Empty cells are None. Columns are parted by the comma, semicolon or tab that the header has most of."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = _DELIMITERS.get(path.suffix.lower()) or max(",;\t", key=first.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(row for row in reader if row)
            if len(set(header)) < len(header):
                raise DataError(f"names a column twice: {', '.join(header)}", location=f"{path}:{reader.line_num}")
            line = reader.line_num
            for values in reader:
                start, line = line + 1, reader.line_num
                if not values:
                    continue
                place, name = f"{path}:{start}", f"{path.stem}:{start}"
                if len(values) != len(header):
                    reason = f"has {len(values)} cells; expected {len(header)}, as in the header ({', '.join(header)})"
                    yield BadRow(place, name, reason)
                    continue
                yield Row({key: value or None for key, value in zip(header, values, strict=True)}, place, name)
    except UnicodeDecodeError as error:
        raise DataError(f"is no UTF-8 text ({error.reason}); save it as UTF-8", location=str(path)) from error
    except csv.Error as error:
        message = f"is not valid CSV ({error}); check the quotes there"
        raise DataError(message, location=f"{path}:{reader.line_num}") from error


def _row(cells: object, location: str, name: str) -> Row | BadRow:
    if isinstance(cells, Mapping):
        return Row(cells, location, name)
    return BadRow(location, name, f"is a {type(cells).__name__}; expected a JSON object with named fields")


def _refuse_single_object(path: Path) -> None:
    """A file that is one object over many lines would otherwise be reported as so many bad lines."""
    try:
        whole = json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return
    keys = ", ".join(list(whole)[:8])
    message = f"is one JSON object with the keys {keys}; expected an array of rows, or one row a line"
    raise DataError(message, location=str(path))


def _json_problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is no UTF-8 text: {error.reason}"
    return str(error)
