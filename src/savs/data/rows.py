"""One row and a task make examples: the prompt, the media, the label, all of it checked.

Knows what the columns mean, from the task; knows no file format and decodes no media.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from savs.data.example import IMAGE_MARK, Example, Media
from savs.data.formats import Row
from savs.data.hints import closest
from savs.data.layouts import Cells
from savs.data.media import guess_kind
from savs.data.tasks import Task
from savs.errors import DataError

Kind = Literal["image", "video"]
#: Turns the path that a row gives into the path of a file.
Locate = Callable[[str], Path]


@dataclass(frozen=True)
class RowReader:
    """Makes examples out of the rows of one source.

    Attributes:
        task: which column plays which part.
        locate: where the media are.
        require_labels: whether a row without a label is an error.
    """

    task: Task
    locate: Locate
    require_labels: bool = False

    def examples(self, row: Row) -> list[Example]:
        """The examples one row holds: one, or as many as the task's `unfold` says.

        Raises:
            DataError: the row does not fit the task, or names media that are not there. It carries no location.
        """
        return [self._example(row, suffix, cells) for suffix, cells in self.task.expand(row.cells)]

    def row_id(self, row: Row) -> str:
        """What the row calls itself, else its place."""
        return self._own_id(row.cells) or row.default_id

    def _own_id(self, cells: Cells) -> str | None:
        own = cells.get(self.task.fields.id) if self.task.fields.id else None
        return None if own is None or own == "" else str(own)

    @cached_property
    def _read_columns(self) -> frozenset[str]:
        return frozenset(self.task.reads)

    def _example(self, row: Row, suffix: str, cells: Cells) -> Example:
        fields = self.task.fields
        media = self._media(cells)
        self._check_unread(row.cells, media)
        text = self.task.render(cells)
        marks = text.count(IMAGE_MARK)
        if marks and marks != len(media):
            raise DataError(f"has {marks} {IMAGE_MARK} marks in its text for {len(media)} images; expected as many")
        return Example(
            id="/".join(filter(None, (self._own_id(cells) or row.default_id, suffix))),
            text=text,
            media=media,
            label=self._label(cells),
            group=self._group(cells),
            choices=self._choices(cells),
            location=row.location,
            split=_name(cells, fields.split) if fields.split else None,
        )

    def _media(self, cells: Cells) -> tuple[Media, ...]:
        fields = self.task.fields
        said = _kind(cells.get(fields.kind), fields.kind) if fields.kind else None
        media: list[Media] = []
        for column in fields.media:
            kind = said or ("video" if column.lower().startswith("video") else None)
            media += _media_in(cells.get(column), column, kind, self.locate)
        if len(media) < self.task.min_media:
            columns = " or ".join(map(repr, fields.media))
            raise DataError(
                f"has {len(media)} images in column {columns}; task {self.task.name!r} expects at least "
                f"{self.task.min_media}. The row has the columns {', '.join(map(str, cells))}"
            )
        return tuple(media)

    def _check_unread(self, cells: Cells, media: tuple[Media, ...]) -> None:
        """A misnamed column must not silently turn an image into no image, or a question into the default prompt."""
        task = self.task
        empty = [column for column in task.defaults if column in task.columns and cells.get(column) in (None, "")]
        if empty and not media:
            expected = ", ".join(map(repr, (*task.fields.media, *empty)))
            raise DataError(
                f"has neither media nor text; expected one of {expected} among {', '.join(map(str, cells))}"
            )
        unread = {column: value for column, value in cells.items() if column not in self._read_columns}
        for column, value in unread.items():
            if not media and task.fields.media and _looks_like_media(value):
                what, instead = "an image or a video", task.fields.media
            elif empty and isinstance(value, str) and len(value.split()) > 1 and not _looks_like_media(value):
                what, instead = "text", tuple(empty)
            else:
                continue
            raise DataError(
                f"has {what} in the unknown column {column!r}; task {task.name!r} reads "
                f"{', '.join(map(repr, instead))}. Rename the column, or name the task that fits"
            )

    def _label(self, cells: Cells) -> str | None:
        column = self.task.fields.label
        value = cells.get(column) if column else None
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            if self.require_labels:
                raise DataError(f"has no label in column {column!r}; label it, or leave the row out")
            return None
        if not isinstance(value, str | int):
            raise DataError(f"label is {value!r} ({type(value).__name__}); expected text or a whole number")
        label = self.task.label_rule.apply(str(value))
        if label is None and self.require_labels:
            raise DataError(f"keeps its label secret ({value!r}); use the part of the data set that shows its labels")
        if label is not None and self.task.labels is not None and label not in self.task.labels:
            close = closest(label, self.task.labels)
            hint = f"; did you mean {close!r}?" if close else ""
            raise DataError(
                f"label {label!r} is not one of task {self.task.name!r}; expected {', '.join(self.task.labels)}{hint}"
            )
        return label

    def _group(self, cells: Cells) -> str | None:
        fields = self.task.fields
        names = [_name(cells, column) for column in fields.group]
        if not names or None in names:
            if self.task.metric in ("pairs", "groups"):
                raise DataError(f"has no group; scoring {self.task.metric} needs the columns {', '.join(fields.group)}")
            return None
        return "/".join(map(str, names))

    def _choices(self, cells: Cells) -> tuple[str, ...] | None:
        fields = self.task.fields
        value = cells.get(fields.choices) if fields.choices else None
        if value is None or value == "":
            return None
        if fields.choices_pattern is not None and isinstance(value, str):
            return tuple(re.findall(fields.choices_pattern, value)) or None
        options = _json_list(value)
        if options is None or not all(isinstance(option, str | int | float) for option in options):
            raise DataError(f"column {fields.choices!r} holds {value!r}; expected a list of options")
        return tuple(map(str, options))


def _kind(value: Any, column: str) -> Kind | None:
    if value in (None, ""):
        return None
    if value not in ("image", "video"):
        raise DataError(f"column {column!r} holds {value!r}; expected 'image' or 'video'")
    return "image" if value == "image" else "video"


def _media_in(value: Any, column: str, kind: Kind | None, locate: Locate) -> list[Media]:
    """The media in one cell: nothing, one, or a list; paths, encoded bytes, PIL images, or the Hub's own records."""
    if value is None or value == "":
        return []
    if isinstance(value, Media):
        return [value]
    if isinstance(value, Image.Image | bytes):
        return [Media(value, kind or "image")]
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
        return [Media(value["bytes"], kind or guess_kind(str(value.get("path"))) or "image")]
    if isinstance(value, Mapping) and isinstance(value.get("path"), str):
        value = value["path"]
    several = _json_list(value)
    if several is not None:
        return [media for item in several for media in _media_in(item, column, kind, locate)]
    if isinstance(value, str | Path):
        return [Media(locate(str(value)), kind or guess_kind(str(value)) or "image")]
    raise DataError(f"column {column!r} holds {value!r} ({type(value).__name__}); expected a path or a list of paths")


def _json_list(value: Any) -> Sequence[Any] | None:
    """The list that a cell holds, as itself or, as in CSV, written as JSON."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            parsed = json.loads(value)
        except ValueError:
            return None
        return parsed if isinstance(parsed, list) else None
    return None


def _name(cells: Cells, column: str) -> str | None:
    value = cells.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str | int):
        raise DataError(f"column {column!r} holds {value!r} ({type(value).__name__}); expected text or a whole number")
    return str(value)


def _looks_like_media(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" not in value and guess_kind(value) is not None
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_looks_like_media, value))
    return isinstance(value, bytes | Image.Image | Media) or (isinstance(value, Mapping) and "bytes" in value)
