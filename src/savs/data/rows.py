"""One row and a task make examples: the prompt, the media, the label, all of it checked.

Knows what the columns mean, from the task; knows no file format and decodes no media.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from savs.data.example import IMAGE_MARK, Example, Media
from savs.data.formats import Row
from savs.data.hints import closest, listed, shortened
from savs.data.layouts import Cells, is_empty
from savs.data.media import guess_kind
from savs.data.remote import AnyPath
from savs.data.tasks import Task
from savs.errors import DataError

Kind = Literal["image", "video"]
_AUDIO = {".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"}
#: Turns the path that a row gives into the path of a file.
Locate = Callable[[str], AnyPath]


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
        return None if is_empty(own) else str(own)

    @cached_property
    def _read_columns(self) -> frozenset[str]:
        return frozenset(self.task.reads)

    def _example(self, row: Row, suffix: str, cells: Cells) -> Example:
        fields = self.task.fields
        defaults = self.task.defaults_for(cells)
        cells = {**cells, **defaults}
        media = self._media(cells)
        self._check_unread(row.cells, defaults, media)
        text = self.task.render(cells)
        marks = text.count(IMAGE_MARK)
        if marks and marks != len(media):
            raise DataError(f"has {marks} {IMAGE_MARK} marks in its text for {len(media)} images; expected as many")
        label = self._label(cells, row.cells)
        name = "/".join(filter(None, (self._own_id(cells) or row.default_id, suffix)))
        for what, said in (("text", text), ("label", label or ""), ("id", name)):
            _check_characters(what, said)
        return Example(
            id=name,
            text=text,
            media=media,
            label=label,
            group=self._group(cells),
            choices=self._choices(cells),
            location=row.location,
            split=_name_in(cells, fields.split) if fields.split else None,
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
                f"{self.task.min_media}. The row has the columns {listed(cells)}"
            )
        return tuple(media)

    def _check_unread(self, cells: Cells, defaults: Cells, media: tuple[Media, ...]) -> None:
        """A misnamed column must not silently turn an image into no image, or a question into the default prompt.

        Args:
            cells: the row as it came.
            defaults: what stands in for columns that it leaves out.
            media: of the row.
        """
        task = self.task
        unasked = tuple(column for column in defaults if column in task.columns)
        if unasked and not media:
            expected = ", ".join(map(repr, (*task.fields.media, *unasked)))
            raise DataError(f"has neither media nor text; expected one of {expected} among {listed(cells)}")
        unread = {column: value for column, value in cells.items() if column not in self._read_columns}
        for column, value in unread.items():
            if not media and _is_audio(value):
                raise DataError(
                    f"has audio in column {column!r}; savs reads text, images and videos alone. Leave the column out "
                    "to ask about the text"
                )
            if not media and task.fields.media and _looks_like_media(value):
                what, instead = "an image or a video", task.fields.media
            elif unasked and isinstance(value, str) and len(value.split()) > 1 and not _looks_like_media(value):
                what, instead = "text", unasked
            else:
                continue
            raise DataError(
                f"has {what} in the unknown column {column!r}; task {task.name!r} reads "
                f"{', '.join(map(repr, instead))}. Rename the column, or name the task that fits"
            )

    def _label(self, cells: Cells, own: Cells) -> str | None:
        column = self.task.fields.label
        said = _name(cells.get(column), "label is") if column else None
        if said is None:
            if self.require_labels:
                has = "" if column in cells else f". The row has the columns {listed(own)}"
                raise DataError(f"has no label in column {column!r}; label it, or leave the row out{has}")
            return None
        label = self.task.label_rule.apply(said)
        if label is None and self.require_labels:
            raise DataError(f"keeps its label secret ({said!r}); use the part of the data set that shows its labels")
        if label is not None and self.task.labels is not None and label not in self.task.labels:
            close = closest(label, self.task.labels)
            hint = f"; did you mean {close!r}?" if close else ""
            raise DataError(
                f"label {shortened(repr(label))} is not one of task {self.task.name!r}; expected "
                f"{listed(self.task.labels)}{hint}"
            )
        return label

    def _group(self, cells: Cells) -> str | None:
        fields = self.task.fields
        names = [_name_in(cells, column) for column in fields.group]
        if not names or None in names:
            if self.task.metric in ("pairs", "groups"):
                raise DataError(f"has no group; scoring {self.task.metric} needs the columns {', '.join(fields.group)}")
            return None
        return "/".join(map(str, names))

    def _choices(self, cells: Cells) -> tuple[str, ...] | None:
        fields = self.task.fields
        value = cells.get(fields.choices) if fields.choices else None
        if is_empty(value):
            return None
        if fields.choices_pattern is not None and isinstance(value, str):
            return tuple(re.findall(fields.choices_pattern, value)) or None
        options = _json_list(value)
        if options is None or not all(isinstance(option, str | int | float) for option in options):
            raise DataError(f"column {fields.choices!r} holds {_shown(value)}; expected a list of options")
        return tuple(map(str, options))


def _kind(value: Any, column: str) -> Kind | None:
    if is_empty(value):
        return None
    if value not in ("image", "video"):
        raise DataError(f"column {column!r} holds {_shown(value)}; expected 'image' or 'video'")
    return "image" if value == "image" else "video"


def _media_in(value: Any, column: str, kind: Kind | None, locate: Locate) -> list[Media]:
    """The media in one cell: nothing, one, or a list; paths, data URIs, bytes, PIL images, or the Hub's own records."""
    if is_empty(value):
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
    if isinstance(value, str) and value.startswith("data:"):
        return [_from_data_uri(value, column, kind)]
    if isinstance(value, str | Path):
        return [Media(locate(str(value)), kind or guess_kind(str(value)) or "image")]
    raise DataError(f"column {column!r} holds {_shown(value)}; expected a path or a list of paths")


def _from_data_uri(uri: str, column: str, kind: Kind | None) -> Media:
    """What `data:image/png;base64,...` holds."""
    said, _, encoded = uri.partition(",")
    try:
        if not said.endswith(";base64"):
            raise ValueError("it is not in base64")
        data = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise DataError(
            f"column {column!r} holds {_shown(uri)}, which cannot be decoded ({error}); expected "
            "data:image/png;base64,... or a path"
        ) from error
    return Media(data, kind or ("video" if said.startswith("data:video/") else "image"))


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


def _name_in(cells: Cells, column: str) -> str | None:
    return _name(cells.get(column), f"column {column!r} holds")


def _name(value: object, what: str) -> str | None:
    """The text that names a class, a group or a part: equal where people see equal texts; None where there is none.

    Raises:
        DataError: the value is no name; `what` begins the message.
    """
    if is_empty(value):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # so pandas writes a column of whole numbers where one is missing
    if not isinstance(value, str | int):
        raise DataError(f"{what} {_shown(value)}; expected text or a whole number")
    return unicodedata.normalize("NFC", str(value)).strip() or None


def _check_characters(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"has half a character in its {what} ({text[error.start]!r}); write it as UTF-8") from error


def _shown(value: object) -> str:
    return f"{shortened(repr(value))} ({type(value).__name__})"


def _is_audio(value: object) -> bool:
    """Whether it names an audio file, or is what the `datasets` library makes of one."""
    named = isinstance(value, str) and "\n" not in value and Path(value).suffix.lower() in _AUDIO
    return named or (isinstance(value, Mapping) and "sampling_rate" in value)


def _looks_like_media(value: Any) -> bool:
    if isinstance(value, str):
        is_file = "\n" not in value and guess_kind(value) is not None
        return is_file or value.startswith(("data:image/", "data:video/"))
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_looks_like_media, value))
    return isinstance(value, bytes | Image.Image | Media) or (isinstance(value, Mapping) and "bytes" in value)
