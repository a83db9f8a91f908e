"""By what a stored result is found again: the key of an example is the digest of what a model is shown of it.

Knows examples and digests only. Ids, labels, groups and places of files are no part of a key: none reaches a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from savs.data.example import Example, Media
from savs.data.media import content_key

#: Hexadecimal digits of a key, 128 bits: among ten billion examples two coincide less than once in 10^18.
KEY_DIGITS = 32


def example_keys(examples: Sequence[Example]) -> list[str]:
    """The key of each example, over its text and the kind and content of its media, in order.

    A file that several examples share is read once.

    Raises:
        DataError: a media file is missing.
    """
    seen: dict[Media, str] = {}
    return [_key(example.text, [_media_key(media, seen) for media in example.media]) for example in examples]


def _key(text: str, media: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([text, *media]).encode()).hexdigest()[:KEY_DIGITS]


def _media_key(media: Media, seen: dict[Media, str]) -> str:
    if media.file is None:
        return f"{media.kind}:{content_key(media)}"
    if media not in seen:
        seen[media] = f"{media.kind}:{content_key(media)}"
    return seen[media]
