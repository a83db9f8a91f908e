"""Examples that are scored together: which rows make a group, and how a group of two images x two questions lies.

Knows examples only; what is right and what is wrong comes from the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.data.example import Example
from savs.data.media import identity
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
