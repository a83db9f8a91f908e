"""Labelled examples in the prompt, before the query: in-context learning, and the prompts that task vectors come from.

Knows how a many-shot prompt is written. Knows no head, no metric and no file.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from savs.backbones.base import Backbone, Progress
from savs.backbones.context import too_long
from savs.baselines.method import Problem, blind
from savs.baselines.zero_shot import ANSWER_TOKENS, Form, answer_in
from savs.data.example import IMAGE_MARK, Example
from savs.data.tasks import Task
from savs.prediction import Prediction


@dataclass(frozen=True)
class InContext:
    """Four labelled examples, each with its images and its answer, interleaved before the query in one turn.

    Every query has examples of its own, drawn by the problem's seed and the query's id, as evenly over the classes as
    their number allows.

    Attributes:
        backbone: the frozen model.
        form: how it answers: `free`, written and matched to a label, or `choice`, the likeliest label.
        shots: examples in a prompt.
    """

    backbone: Backbone
    form: Form = "free"
    shots: int = 4

    @property
    def name(self) -> str:
        """Of the row: one for each form."""
        return f"icl-{self.form}"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return cannot_interleave(self.backbone, problem, self.shots)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Answer each test example after `shots` labelled ones."""
        asked = []
        for query in problem.test:
            rng = np.random.default_rng([problem.seed, _number(query.id)])
            asked.append(interleave(draw_balanced(problem.shots, self.shots, rng), query, problem.task))
        return answer_in(self.form, self.backbone, replace(problem, test=tuple(asked)), progress=progress)


def interleave(shots: Sequence[Example], query: Example, task: Task) -> Example:
    """The query behind labelled examples: each is asked as the query is, and followed by its answer on a new line.

    The result has the query's id, label and choices, and the media of all in their order.
    """
    asked = [f"{with_marks(shot)}\n{task.answer(str(shot.label))}\n\n" for shot in shots]
    media = tuple(medium for example in (*shots, query) for medium in example.media)
    return replace(query, text="".join(asked) + with_marks(query), media=media)


def with_marks(example: Example) -> str:
    """The text with a mark for each piece of media: in front of it, where the text has none."""
    if IMAGE_MARK in example.text or not example.media:
        return example.text
    return IMAGE_MARK * len(example.media) + example.text


def draw_balanced(shots: Sequence[Example], n: int, rng: np.random.Generator) -> list[Example]:
    """`n` different shots in random order, classes as even as can be: none twice before each has been once."""
    by_class = defaultdict(list)
    for i in rng.permutation(len(shots)):
        by_class[shots[i].label].append(shots[i])
    classes = [sorted(by_class, key=str)[i] for i in rng.permutation(len(by_class))]
    rounds = max(len(members) for members in by_class.values())
    dealt = [by_class[label][turn] for turn in range(rounds) for label in classes if turn < len(by_class[label])]
    return [dealt[:n][i] for i in rng.permutation(min(n, len(dealt)))]


def cannot_interleave(backbone: Backbone, problem: Problem, shots: int) -> str | None:
    """Why a model cannot be asked prompts of `shots` labelled examples, told from the longest such prompt."""
    if len(problem.shots) < shots:
        return f"it needs {shots} labelled examples, and there are {len(problem.shots)}"
    by_length = sorted(problem.shots, key=_length)
    longest = interleave(by_length[-shots:], max(problem.test, key=_length), problem.task)
    return blind(backbone, (longest,)) or too_long(backbone, longest, new_tokens=ANSWER_TOKENS)


def _length(example: Example) -> tuple[int, int]:
    return len(example.media), len(example.text)


def _number(name: str) -> int:
    """A number that stands for an id on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
