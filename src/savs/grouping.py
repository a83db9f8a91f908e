"""Examples that are scored together, or stand and fall together: by their group, and by the media they share.

Knows examples only; what is right and what is wrong comes from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.data.example import Example, Media
from savs.data.media import content_key, identity
from savs.errors import DataError


def group_rows(examples: Sequence[Example]) -> dict[str, list[int]]:
    """The rows of each group, in the order the groups first occur."""
    rows: dict[str, list[int]] = {}
    without = [where(example) for example in examples if example.group is None]
    if without:
        raise DataError(f"scoring by group needs every example in one; {len(without)} have none: {some(without)}")
    for row, example in enumerate(examples):
        if example.group is not None:
            rows.setdefault(example.group, []).append(row)
    return rows


def clusters_of(examples: Sequence[Example], *, known_by: Callable[[Media], str] = content_key) -> NDArray[np.intp]:
    """`[n_examples]` a number for each cluster of examples that share a group, an image or a video.

    Args:
        examples: with or without groups and media.
        known_by: what two media have in common that are the same. `identity` opens no file.

    Raises:
        DataError: a media file is missing.
    """
    parent = list(range(len(examples)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for row, example in enumerate(examples):
        shared = [known_by(media) for media in example.media]
        for key in (*shared, *([f"group {example.group}"] if example.group is not None else [])):
            parent[root(row)] = root(first.setdefault(key, row))
    return np.unique([root(row) for row in range(len(examples))], return_inverse=True)[1]


def clusters_of_groups(examples: Sequence[Example], clusters: NDArray[np.intp]) -> NDArray[np.intp]:
    """`[n_groups]` the cluster of each group, in the order the groups first occur; `clusters` are the examples'."""
    return clusters[[rows[0] for rows in group_rows(examples).values()]]


def two_by_two(group: str, members: Sequence[Example], values: NDArray[Any]) -> NDArray[Any]:
    """What a group's four have, as `[2 images, 2 questions]`, told apart by what they show and ask."""
    cells = {
        (tuple(identity(media) for media in member.media), member.text): value
        for member, value in zip(members, values, strict=True)
    }
    images = list(dict.fromkeys(image for image, _ in cells))
    questions = list(dict.fromkeys(question for _, question in cells))
    if (len(members), len(cells), len(images), len(questions)) != (4, 4, 2, 2):
        raise DataError(
            f"group {group!r} is not two images x two questions: it has {len(members)} examples of "
            f"{len(images)} images and {len(questions)} questions ({some([where(member) for member in members])})"
        )
    return np.array([[cells[image, question] for question in questions] for image in images])


def where(example: Example) -> str:
    """The example's id, and the place it was read from where that is known."""
    return f"{example.id} ({example.location})" if example.location else example.id


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of `names`, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
