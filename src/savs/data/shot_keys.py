"""What a classifier remembers of the examples it was fitted on: enough to know them again, nothing to see them by.

Knows examples and digests only. Where the training examples themselves are at hand, `sampling.check_leaks` says more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from savs.data.example import Example
from savs.data.media import content_key
from savs.data.sampling import Leak, Look, leaks_between

#: Hexadecimal digits kept of each sha256: among a million examples two coincide less than once in 10^7.
_DIGITS = 16


@dataclass(frozen=True)
class ShotKey:
    """One shot, by the digests of what it holds.

    Attributes:
        id: the example's id.
        text: digest of its text.
        media: content digest of each of its images and videos, in order.
    """

    id: str
    text: str
    media: tuple[str, ...]


def shot_key(example: Example) -> ShotKey:
    """The key of one example.

    Raises:
        DataError: a media file is missing.
    """
    return ShotKey(example.id, _text_key(example.text), tuple(content_key(m)[:_DIGITS] for m in example.media))


def leaks_from_keys(shots: Sequence[ShotKey], test: Sequence[Example]) -> list[Leak]:
    """What `test` shares with the shots, found as by `sampling.check_leaks`: each example's gravest leak, or none.

    Of the shots only the id is known, so `Leak.train` has no text and no media.

    Raises:
        DataError: a media file is missing.
    """
    known = [Look(Example(shot.id, ""), shot.text, shot.media) for shot in shots]
    asked = [Look(example, key.text, key.media) for example, key in ((e, shot_key(e)) for e in test)]
    return leaks_between(known, asked)


def _text_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
