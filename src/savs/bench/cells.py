"""Cells on disk: what one method answered to one data set with one draw of the shots. A finished cell is kept for good.

A cell is one file of JSON lines: what decided it and what it cost, then one answer a line. It gets its name when it is
whole, and the name holds a digest of everything that decides the answers, so another setting is another cell.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from savs.errors import DataError
from savs.prediction import Prediction

FORMAT = 1
#: Raised whenever a method comes to answer otherwise, set as it was: older cells are then another's.
ANSWERS = 2
_COST = ("seconds", "forwards", "peak_bytes")


@dataclass(frozen=True)
class CellKey:
    """Everything that decides what a cell holds.

    Attributes:
        column: the data set.
        data: digest of the examples, those to draw shots from and those to answer.
        backbone: fingerprint of the model's spec.
        method: the method's name.
        settings: what it was set to, where that is not told by its name.
        shots: labelled examples a class; None where the method looks at none.
        seed: of the draw; None where the method looks at no shots.
        answers: the state of the methods.
    """

    column: str
    data: str
    backbone: str
    method: str
    settings: Mapping[str, Any]
    shots: int | None
    seed: int | None
    answers: int = ANSWERS

    def digest(self) -> str:
        """Sixteen hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Reading:
    """What the reading of heads cost, where it was done.

    Attributes:
        seconds: that it took.
        forwards: sequences that went through the decoder.
        peak_bytes: the most memory in use.
        stored: examples whose heads were read from a store, and cost no forward pass here.
    """

    seconds: float
    forwards: int | None
    peak_bytes: int | None
    stored: int

    def and_then(self, other: Reading) -> Reading:
        """Both, one after the other."""
        counted = self.forwards is not None and other.forwards is not None
        peaks = [each.peak_bytes for each in (self, other) if each.peak_bytes is not None]
        return Reading(
            self.seconds + other.seconds,
            (self.forwards or 0) + (other.forwards or 0) if counted else None,
            max(peaks, default=None),
            self.stored + other.stored,
        )


@dataclass(frozen=True)
class Cell:
    """A finished cell.

    Attributes:
        key: what decided it.
        answers: one a test example, in the order of the test set, each `as_kept`.
        seconds: that it took.
        forwards: sequences that went through the decoder for it alone.
        peak_bytes: the most memory in use.
        reading: what reading the heads cost, which this cell shares with others of its column, and of the column where
            its heads are chosen; None where it needs none.
        made: by which versions, and with what.
    """

    key: CellKey
    answers: tuple[Prediction, ...]
    seconds: float
    forwards: int | None = None
    peak_bytes: int | None = None
    reading: Reading | None = None
    made: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Cells:
    """The finished cells under one folder."""

    folder: Path

    def path(self, key: CellKey) -> Path:
        """Where a cell lies once it is finished."""
        return self.folder / _plain(key.column) / f"{_plain(key.method)}-{key.digest()}.jsonl"

    def find(self, key: CellKey) -> Cell | None:
        """The finished cell of that key, if there is one.

        Raises:
            DataError: its file is damaged.
        """
        path = self.path(key)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        try:
            head, *answers = (json.loads(line) for line in lines)
            if head["format"] != FORMAT or head["key"] != asdict(key) or head["answers"] != len(answers):
                raise ValueError("its first line does not fit what it should hold")
            read = tuple(Prediction(a["id"], a["label"], a["probabilities"], {}) for a in answers)
            cost = {name: head[name] for name in _COST}
            reading = None if head["reading"] is None else Reading(**head["reading"])
            return Cell(key, read, **cost, reading=reading, made=head["made"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"is damaged ({error}); delete it to have it made again", location=str(path)) from error

    def keep(self, cell: Cell) -> Path:
        """Write a finished cell, whole or not at all."""
        path = self.path(cell.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {
            "format": FORMAT,
            "key": asdict(cell.key),
            "answers": len(cell.answers),
            **{name: getattr(cell, name) for name in _COST},
            "reading": None if cell.reading is None else asdict(cell.reading),
            "made": cell.made,
        }
        write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (head, *_lines(cell))))
        return path


def as_kept(answer: Prediction) -> Prediction:
    """The answer as a cell holds it: without votes, probabilities to six decimals."""
    return Prediction(answer.id, answer.label, {name: round(p, 6) for name, p in answer.probabilities.items()}, {})


def write_whole(path: Path, text: str) -> None:
    """Write a file that gets its name when it is on disk to its end."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _lines(cell: Cell) -> Sequence[dict[str, Any]]:
    return [
        {"id": answer.id, "label": answer.label, "probabilities": dict(answer.probabilities)} for answer in cell.answers
    ]


def _plain(name: str) -> str:
    """A name as part of a path."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
