"""What every method in a comparison has in common: a `Problem` in, one `Prediction` a test example out.

Knows no method and no model: a method carries what it needs (a backbone, stored features, a dual encoder) itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from savs.backbones.base import Backbone, Progress
from savs.data.example import Example
from savs.data.tasks import GENERIC, Task
from savs.errors import BackboneError
from savs.prediction import Prediction


@dataclass(frozen=True)
class Problem:
    """Labelled examples to learn from and examples to answer: the same for every method that is compared on it.

    Attributes:
        classes: the labels that an answer may have, sorted.
        shots: one draw of labelled examples.
        test: the examples to answer, at least one.
        task: how they are asked, and in which words a label is answered.
        seed: of whatever a method draws itself; one draw of the shots, one seed.
    """

    classes: tuple[str, ...]
    shots: tuple[Example, ...]
    test: tuple[Example, ...]
    task: Task = GENERIC
    seed: int = 0


@runtime_checkable
class Method(Protocol):
    """One row of a comparison."""

    @property
    def name(self) -> str:
        """As tables and `--methods` call it."""
        ...

    def obstacle(self, problem: Problem) -> str | None:
        """Why the method cannot answer this problem, in a sentence for the table; None where it can.

        Asked before anything is computed: cheap, and it never raises.
        """
        ...

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Learn from `problem.shots` where the method learns at all, and answer `problem.test`, in its order."""
        ...


@dataclass(frozen=True)
class Unavailable:
    """A row that cannot be filled, whatever the problem, because something it needs is not there.

    Attributes:
        name: of the row.
        reason: a sentence for the table.
    """

    name: str
    reason: str

    def obstacle(self, problem: Problem) -> str | None:
        """The reason."""
        return self.reason

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Raise `BackboneError` with the reason."""
        raise BackboneError(f"{self.name}: {self.reason}")


def blind(backbone: Backbone, examples: Sequence[Example]) -> str | None:
    """Say so where a model takes text only and an example has images."""
    if getattr(backbone, "takes_images", True) or not any(example.media for example in examples):
        return None
    return f"{backbone.spec.model} takes text only, and the examples have images"
