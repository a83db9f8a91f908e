"""Multiple choice made from labelled examples: which options each is offered, and how they stand in its prompt.

Knows examples only. The options of an example depend on the seed, its id and the classes, and on nothing else: not on
its neighbours, their order or the version of Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from savs.data.example import Example
from savs.errors import DataError

#: Where in the prompt of a task the options go, when an example is offered any.
OPTIONS_MARK = "<options>"


def offer(examples: Sequence[Example], ways: int, *, classes: Iterable[str], seed: int = 0) -> list[Example]:
    r"""Offer every example its own class among `ways - 1` others, as lettered options in its prompt.

    The others are drawn evenly, without replacement, from all other classes, and the options are shuffled: for each
    example and seed, the classes are sorted by a hash of seed, id and class; the first `ways - 1` besides the true
    one are taken; then all are put in the order of a second hash. With fewer classes than `ways`, all are offered.
    An example that has choices already keeps them. The label stays the class's name.

    Args:
        examples: labelled ones.
        ways: how many options each is offered, from 2 to 26.
        classes: what options are drawn from.
        seed: another seed gives other options.

    Raises:
        DataError: an example has no label, or a label is none of the classes.
        ValueError: `ways` is out of range.

    >>> [example] = offer([Example("7", "Which?<options>", label="cat")], 3, classes=["ant", "bee", "cat", "dog"])
    >>> example.choices
    ('ant', 'dog', 'cat')
    >>> example.text
    'Which?\nA. ant B. dog C. cat'
    """
    if not 2 <= ways <= len(ascii_uppercase):
        raise ValueError(f"ways must be from 2 to {len(ascii_uppercase)} options, got {ways}")
    names = sorted(set(classes))
    return [
        without_options(example) if example.choices is not None else _offered(example, ways, names, seed)
        for example in examples
    ]


def offered(examples: Sequence[Example], classes: Sequence[str]) -> NDArray[np.bool_]:
    """`[n_samples, n_classes]`: which classes may be the answer to each example.

    Those among its choices; all of them, where it has no choices or none of these is a class (an option's letter may
    be the class, and its text the choice).
    """
    column = {name: i for i, name in enumerate(classes)}
    may = np.ones((len(examples), len(classes)), dtype=bool)
    for row, example in enumerate(examples):
        among = [column[choice] for choice in example.choices or () if choice in column]
        if among:
            may[row] = False
            may[row, among] = True
    return may


def without_options(example: Example) -> Example:
    """The example without a place for options in its prompt."""
    return replace(example, text=example.text.replace(OPTIONS_MARK, "")) if OPTIONS_MARK in example.text else example


def _offered(example: Example, ways: int, names: Sequence[str], seed: int) -> Example:
    if example.label is None:
        raise DataError(
            "has no label, so no options can be drawn that hold it", location=example.location or example.id
        )
    if example.label not in names:
        raise DataError(f"label {example.label!r} is none of the {len(names)} classes", location=example.location)
    drawn = sorted(names, key=lambda name: (name != example.label, _hash(seed, "draw", example.id, name)))[:ways]
    options = tuple(sorted(drawn, key=lambda name: _hash(seed, "order", example.id, name)))
    return replace(example, text=example.text.replace(OPTIONS_MARK, f"\n{lettered(options)}"), choices=options)


def lettered(options: Sequence[str]) -> str:
    """The options on one line.

    >>> lettered(["Forest", "River"])
    'A. Forest B. River'
    """
    return " ".join(f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False))


def _hash(seed: int, purpose: str, example_id: str, name: str) -> bytes:
    return hashlib.blake2b(repr((seed, purpose, example_id, name)).encode(), digest_size=8).digest()
