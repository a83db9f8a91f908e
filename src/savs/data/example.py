"""What is asked: one example, with its text and its media. Knows no file format and no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

#: Where in the text a piece of media stands. Text without marks has all its media in front.
IMAGE_MARK = "<image>"


@dataclass(frozen=True)
class Media:
    """One image or one video, by path, by its encoded bytes, or as a decoded PIL image."""

    source: Path | bytes | Image.Image
    kind: Literal["image", "video"] = "image"

    def __str__(self) -> str:
        return str(self.source) if isinstance(self.source, Path) else f"{self.kind} in memory"


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
