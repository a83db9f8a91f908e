"""Files that commands write: never over another, never half written, bad rows beside the result.

Knows no command and no model.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.cli.console import note, write_line
from savs.errors import OutputExistsError

if TYPE_CHECKING:
    from savs.data.formats import BadRow

Write = Callable[[Mapping[str, Any]], None]


def check_output(path: Path | None, *, overwrite: bool, bad_rows: bool = False) -> None:
    """Refuse an output file that is there already, or cannot be; and with `bad_rows` the record beside it.

    Raises:
        OutputExistsError: it exists, and `overwrite` is not set, or it is a folder.
        NotADirectoryError, FileNotFoundError: its folder is none.
    """
    if path is None:
        return
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists; choose another name, or add --overwrite")
    if not path.parent.is_dir():
        raise FileNotFoundError(2, "there is no such folder", str(path.parent))
    if bad_rows:
        check_output(bad_rows_path(path), overwrite=overwrite)


def bad_rows_path(output: Path) -> Path:
    """Where the rows are recorded that were left out of `output`."""
    return output.with_name(f"{output.name}.bad.jsonl")


def record_bad_rows(rows: Sequence[BadRow], output: Path | None) -> None:
    """Record the rows that were left out: beside the output, or on stderr where results go to stdout.

    A record of an earlier run, which is written over with its output, does not outlive it.
    """
    if output is None:
        for row in rows:
            note(f"skipped {row.location}: {row.reason}")
        return
    path = bad_rows_path(output)
    if not rows:
        path.unlink(missing_ok=True)
        return
    with json_lines(path) as write:
        for row in rows:
            write(asdict(row))
    note(f"skipped {len(rows)} bad row{'s' if len(rows) > 1 else ''}: see {path}")


@contextmanager
def json_lines(path: Path | None) -> Iterator[Write]:
    """A function that writes one JSON object a line, to stdout or to a file that gets its name when it is whole.

    Where the work breaks off, the lines written so far stay in `<path>.partial`.
    """
    if path is None:
        yield lambda value: write_line(_line(value))
        return
    with _written(path, lambda value: f"{_line(value)}\n") as write:
        yield write


@contextmanager
def csv_rows(path: Path) -> Iterator[Write]:
    """The same as a table with a header, for a spreadsheet; what is no single value stands there as JSON."""
    header = True

    def form(value: Mapping[str, Any]) -> str:
        nonlocal header
        text = StringIO()
        table = csv.writer(text, lineterminator="\n")
        if header:
            table.writerow(value)
            header = False
        table.writerow([_line(cell) if isinstance(cell, Mapping) else cell for cell in value.values()])
        return text.getvalue()

    with _written(path, form) as write:
        yield write


@contextmanager
def _written(path: Path, form: Callable[[Mapping[str, Any]], str]) -> Iterator[Write]:
    """A function that writes one value in this form."""
    partial = path.with_name(f"{path.name}.partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:

            def write(value: Mapping[str, Any]) -> None:
                nonlocal count
                file.write(form(value))
                file.flush()
                count += 1

            yield write
            os.fsync(file.fileno())
    except BaseException:
        if count:
            note(f"broken off: {partial} holds the {count} lines written so far")
        else:
            partial.unlink(missing_ok=True)
        raise
    partial.replace(path)


def write_json_file(path: Path, value: Any) -> None:
    """Write one JSON value to a file that gets its name when it is whole."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
