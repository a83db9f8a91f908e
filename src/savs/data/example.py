"""What is asked: one example, with its text and its media. Knows no file format and no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from savs.data.remote import AnyPath

#: Where in the text a piece of media stands. Text without marks has all its media in front.
IMAGE_MARK = "<image>"


@dataclass(frozen=True)
class Media:
    """One image or one video, by path (here or in an object store), by its encoded bytes, or as a decoded PIL image."""

    source: AnyPath | bytes | Image.Image
    kind: Literal["image", "video"] = "image"

    @property
    def file(self) -> AnyPath | None:
        """The file that holds it; None where it is in memory."""
        return None if isinstance(self.source, bytes | Image.Image) else self.source

    def __str__(self) -> str:
        return f"{self.kind} in memory" if self.file is None else str(self.file)


@dataclass(frozen=True)
class Example:
    """One input, as a model will be asked it.

    Attributes:
        id: unique within a data set; predictions and features are keyed by it.
        text: the user's turn, rendered by a task's template. `<image>` marks place the media.
        media: images and videos, in the order of their marks.
        label: the class, where it is known.
        group: examples that are scored together (2 x 2 groups, pairs) share a group.
        choices: the option texts of a multiple-choice question, in order A, B, C, ...
        location: the file and line or index it was read from, for messages.
        split: the part of the data set it belongs to (a subtask, a category), scored by itself too.
    """

    id: str
    text: str
    media: tuple[Media, ...] = ()
    label: str | None = None
    group: str | None = None
    choices: tuple[str, ...] | None = None
    location: str | None = None
    split: str | None = None
