"""Rows out of data files, each with the place it stands at.

Knows how files are written, not what their columns mean. A row that cannot be read is handed on as a `BadRow`;
a file that cannot be read is a `DataError`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from savs.data.example import Media
from savs.data.hints import listed
from savs.data.media import LFS_POINTER, guess_kind
from savs.data.remote import AnyPath
from savs.errors import DataError

#: Suffixes of data files; any other file is known by its content.
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")

_DELIMITERS = {".tsv": "\t"}
#: A cell may hold a whole image as a data URI; Python's own limit is 128 KiB.
_LARGEST_CELL = 2**31 - 1
#: What files that cannot be read begin with, and what to do about them.
_UNREADABLE = {
    b"\x1f\x8b": "is compressed (gzip); unpack it",
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV (UTF-8)",
    LFS_POINTER: "is a pointer of Git LFS in the file's place; fetch the file (git lfs pull)",
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8",
}


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


def file_rows(path: AnyPath) -> Iterator[Row | BadRow]:
    """The rows of a data file, whose format its first characters and its suffix tell; an image or video is one row.

    Raises:
        DataError: the file is empty, is no text, or has none of the formats.
    """
    suffix = path.suffix.lower()
    kind = guess_kind(path.name)
    if kind is not None:
        return iter([Row({"image": Media(path, kind), "id": path.name}, str(path), path.name)])
    if suffix == ".mat":
        return _vector_rows(path)
    with path.open("rb") as file:
        head = file.read(4096)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        return _parquet_rows(path)
    if not start:
        raise DataError("is empty; expected at least one row", location=str(path))
    for beginning, problem in _UNREADABLE.items():
        if head.startswith(beginning):
            raise DataError(problem, location=str(path))
    if b"\0" in head:
        raise DataError(
            "is no UTF-8 text; expected JSON lines, a JSON array or CSV in UTF-8, or Parquet", location=str(path)
        )
    if start[:1] == b"[":
        return _array_rows(path)
    if start[:1] == b"{" or suffix in (".jsonl", ".ndjson"):
        named = _named_objects(path) if suffix == ".json" else None
        return _line_rows(path) if named is None else _object_rows(path, named)
    if suffix in (".csv", ".tsv") or (suffix == ".txt" and re.match(rb"[^\n]*[,;\t]", start)):
        return _csv_rows(path)
    if suffix == ".txt":
        return _word_rows(path)
    raise DataError(
        "has none of the formats that can be read; expected JSON lines (.jsonl), a JSON array or object (.json), CSV "
        "(.csv, .tsv), Parquet, an index of words (.txt), vectors of MATLAB (.mat) or a folder with one folder a class",
        location=str(path),
    )


def _line_rows(path: AnyPath) -> Iterator[Row | BadRow]:
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


def _array_rows(path: AnyPath) -> Iterator[Row | BadRow]:
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


def _named_objects(path: AnyPath) -> dict[str, Any] | None:
    """The rows of a file that is one JSON object of objects, by their names; None where it is something else."""
    whole = _single_object(path)
    if not whole or not all(isinstance(value, Mapping) for value in whole.values()):
        return None
    if all(list(value) == [str(i) for i in range(len(value))] for value in whole.values()):
        raise DataError(
            f"holds columns ({listed(whole)}), each by the numbers of its rows; expected rows. With pandas: "
            "to_json(orient='records', lines=True)",
            location=str(path),
        )
    return whole


def _object_rows(path: AnyPath, named: Mapping[str, Any]) -> Iterator[Row | BadRow]:
    """Rows that have a name each: it is their column `key`, and `file` is the file's name without its suffix."""
    for key, cells in named.items():
        yield Row({"file": path.stem, "key": key, **cells}, f"{path}[{key}]", f"{path.stem}:{key}")


def _word_rows(path: AnyPath) -> Iterator[Row | BadRow]:
    """One row a line of words parted by blanks: columns `word1`, `word2`, ... Lines that begin with `#` are remarks."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and not line.startswith("#"):
                    cells = {f"word{column}": word for column, word in enumerate(line.split(), start=1)}
                    yield Row(cells, f"{path}:{number}", f"{path.stem}:{number}")
    except UnicodeDecodeError as error:
        raise DataError(f"is no UTF-8 text ({error.reason}); save it as UTF-8", location=str(path)) from error


def _vector_rows(path: AnyPath) -> Iterator[Row | BadRow]:
    """One row an entry of the vectors in a MATLAB file, which must be equally long: `number` from 1, and the values."""
    vectors = matlab_vectors(path)
    if len({len(values) for values in vectors.values()}) != 1:
        came = ", ".join(f"{name} ({len(values)})" for name, values in vectors.items()) or "none"
        raise DataError(f"holds the vectors {came}; expected one or more of one length", location=str(path))
    for number, values in enumerate(zip(*vectors.values(), strict=True), start=1):
        cells = {"number": number, **dict(zip(vectors, values, strict=True))}
        yield Row(cells, f"{path}[{number}]", f"{path.stem}:{number}")


def matlab_vectors(path: AnyPath) -> dict[str, list[int]]:
    """The vectors of whole numbers in a MATLAB file (to version 7), by their names.

    Raises:
        DataError: the file cannot be read as one.
    """
    from scipy.io import loadmat

    try:
        with path.open("rb") as file:
            arrays = loadmat(file)
    except Exception as error:  # whatever the decoder trips over: nothing of ours is in this block
        raise DataError(f"cannot be read as a MATLAB file ({error}); download it again", location=str(path)) from error
    return {
        name: [int(value) for value in array.ravel()]
        for name, array in arrays.items()
        if not name.startswith("__") and array.dtype.kind in "iuf" and max(array.shape) == array.size
    }


def _csv_rows(path: AnyPath) -> Iterator[Row | BadRow]:
    """Empty cells are None, and rows without any others blank lines, as spreadsheets leave them at the end.

    Columns are parted by the comma, semicolon or tab that the header has most of; columns without a name are no one's.
    """
    csv.field_size_limit(_LARGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = _DELIMITERS.get(path.suffix.lower()) or max(",;\t", key=first.count)
            spaced = f"{delimiter} " in first
            reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=spaced)
            header = [name.strip() for name in next((row for row in reader if any(row)), [])]
            named = [name for name in header if name]
            if not named:
                raise DataError("has no header; expected the names of columns in the first line", location=str(path))
            if len(set(named)) < len(named):
                raise DataError(f"names a column twice: {listed(header)}", location=f"{path}:{reader.line_num}")
            line = reader.line_num
            for values in reader:
                start, line = line + 1, reader.line_num
                if not any(values):
                    continue
                place, name = f"{path}:{start}", f"{path.stem}:{start}"
                if len(values) != len(header):
                    reason = f"has {len(values)} cells; expected {len(header)}, as in the header ({listed(header)})"
                    yield BadRow(place, name, reason)
                    continue
                cells = {key: value or None for key, value in zip(header, values, strict=True) if key}
                yield Row(cells, place, name)
    except UnicodeDecodeError as error:
        raise DataError(f"is no UTF-8 text ({error.reason}); save it as UTF-8", location=str(path)) from error
    except csv.Error as error:
        message = f"is not valid CSV ({error}); check the quotes there"
        raise DataError(message, location=f"{path}:{reader.line_num}") from error


def _parquet_rows(path: AnyPath) -> Iterator[Row]:
    """The rows of a Parquet file; of one that `datasets` wrote, with the names of classes instead of their numbers."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError("needs pyarrow to be read; run: pip install 'savs[parquet]'", location=str(path)) from error
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            names = _class_names(file.schema_arrow.metadata or {})
            rows = (cells for batch in file.iter_batches() for cells in batch.to_pylist())
            for index, cells in enumerate(rows):
                named = {column: names[column].get(cells[column]) for column in names.keys() & cells.keys()}
                yield Row({**cells, **named}, f"{path}[{index}]", f"{path.stem}:{index}")
    except Exception as error:  # whatever the decoder, or what it makes of damage, trips over
        raise DataError(f"cannot be read as Parquet ({error}); make or get it again", location=str(path)) from error


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, dict[int, str]]:
    """For each column of class numbers, the names that `datasets` keeps in the file; unlabelled rows have none (-1)."""
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {
        column: dict(enumerate(feature["names"]))
        for column, feature in features.items()
        if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"
    }


def _row(cells: object, location: str, name: str) -> Row | BadRow:
    if isinstance(cells, Mapping):
        return Row(cells, location, name)
    return BadRow(location, name, f"is a {type(cells).__name__}; expected a JSON object with named fields")


def _refuse_single_object(path: AnyPath) -> None:
    """A file that is one object over many lines would otherwise be reported as so many bad lines."""
    whole = _single_object(path)
    if whole is not None:
        message = f"is one JSON object with the keys {listed(whole)}; expected an array of rows, or one row a line"
        raise DataError(message, location=str(path))


def _single_object(path: AnyPath) -> dict[str, Any] | None:
    """The one JSON object that a file beginning with a brace may be, over however many lines."""
    try:
        return dict(json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf")))
    except (ValueError, RecursionError):
        return None


def _json_problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is no UTF-8 text: {error.reason}"
    return str(error)
