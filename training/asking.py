"""How a question is put: its wording, a statement in a frame, lettered options, the name of a thing.

Knows no kind of question. A yes/no question is a statement (`STATEMENTS`) in a frame (`FRAMES`), each frame with
its own two answers: what a statement says and how it is asked vary independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from savs.demo.scenes import Object, Scene
from wordings import FRAMES, MARKS, PLAIN_FRAMES, WORDINGS


@dataclass(frozen=True)
class Question:
    """One question with its answer, both as the model reads and writes them (lower case)."""

    kind: str
    text: str
    answer: str


def pick(rng: np.random.Generator, options: Sequence):  # noqa: ANN201
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def pick_plain(rng: np.random.Generator, options: Sequence):  # noqa: ANN201
    """One of the options, mostly the first: who is left of whom is learned in one wording first, then in the others."""
    return options[0] if rng.random() < 0.6 else pick(rng, options)


def ask(kind: str, rng: np.random.Generator, answer: str, **slots: str) -> Question:
    """A question of a kind, in one of its wordings."""
    return Question(kind, pick(rng, WORDINGS[kind]).format(**slots), answer)


def claim(kind: str, rng: np.random.Generator, statement: str, truth: bool) -> Question:
    """A statement put in a frame."""
    frame, yes, no = pick(rng, FRAMES[:PLAIN_FRAMES] if rng.random() < 0.6 else FRAMES)
    return Question(kind, frame.format(t=statement), yes if truth else no)


def options(rng: np.random.Generator, truth: str, others: Sequence[str]) -> tuple[str, str]:
    """Lettered options in random order, and the letter of the true one."""
    texts = [truth, *others]
    order = rng.permutation(len(texts))
    mark = pick(rng, MARKS)
    listed = " ".join(mark.format(l="abcd"[i], x=texts[j]) for i, j in enumerate(order))
    return listed, "abcd"[int(np.nonzero(order == 0)[0][0])]


def unique(scene: Scene, attribute: str) -> list[Object]:
    """Objects whose shape (or colour) no other object of the scene has."""
    values = [getattr(item, attribute) for item in scene.objects]
    return [item for item in scene.objects if values.count(getattr(item, attribute)) == 1]


def short_name(scene: Scene, item: Object, rng: np.random.Generator) -> str:
    """The shortest true name, or the full one: `star`, `red star` or `red thing`."""
    if rng.random() < 0.35 and item in unique(scene, "shape"):
        return item.shape
    if rng.random() < 0.2 and item in unique(scene, "colour"):
        return f"{item.colour} {pick(rng, ('thing', 'object'))}"
    return item.name
