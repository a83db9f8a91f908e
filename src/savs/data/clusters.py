"""Which examples stand or fall together: those that share a group, an image or a video, with all that these share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from savs.data.example import Example, Media
from savs.data.media import content_key


def clusters_of(examples: Sequence[Example], *, known_by: Callable[[Media], str] = content_key) -> NDArray[np.intp]:
    """`[n_examples]` a number for each cluster of examples that share a group, an image or a video.

    Args:
        examples: with or without groups and media.
        known_by: what two media have in common that are the same. `identity` opens no file.

    Raises:
        DataError: a media file is missing.
    """
    sets = DisjointSet(range(len(examples)))
    first: dict[tuple[str, str], int] = {}
    for row, example in enumerate(examples):
        keys = [] if example.group is None else [("group", example.group)]
        for key in (*keys, *(("media", known_by(media)) for media in example.media)):
            sets.merge(first.setdefault(key, row), row)
    return np.unique([sets[row] for row in range(len(examples))], return_inverse=True)[1]
