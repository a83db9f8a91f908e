"""By what a stored result is found again: the key of an example is the digest of what a model is shown of it.

Knows examples and digests only. Ids, labels, groups and places of files are no part of a key: none reaches a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from savs.data.example import Example, Media
from savs.data.media import content_key

#: Hexadecimal digits of a key, 128 bits: among ten billion examples two coincide less than once in 10^18.
KEY_DIGITS = 32
#: Files that are read at once, since an object store answers each after a while; and those that wait for it.
_THREADS, _AT_A_TIME = 8, 1024


def example_keys(examples: Sequence[Example]) -> list[str]:
    """The key of each example, over its text and the kind and content of its media, in order.

    A file that several examples share is read once.

    Raises:
        DataError: a media file is missing; the first of them, in the order of the examples.
    """
    files = list(dict.fromkeys(media for example in examples for media in example.media if media.file is not None))
    seen: dict[Media, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(files), _AT_A_TIME):
            some = files[start : start + _AT_A_TIME]
            seen.update(zip(some, pool.map(_content, some), strict=True))
    return [_key(example.text, [_media_key(media, seen) for media in example.media]) for example in examples]


def _key(text: str, media: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([text, *media]).encode()).hexdigest()[:KEY_DIGITS]


def _media_key(media: Media, seen: Mapping[Media, str]) -> str:
    return _content(media) if media.file is None else seen[media]


def _content(media: Media) -> str:
    return f"{media.kind}:{content_key(media)}"
