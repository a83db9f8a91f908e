"""Fine-tuning on the same shots: low-rank adapters trained to write the label. Knows no weight and no optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from savs.backbones.base import Backbone, Progress
from savs.backbones.tuning import NEEDS_PEFT, Tuning, peft_is_installed
from savs.baselines.method import Problem, blind
from savs.baselines.zero_shot import Form, answer_in
from savs.data.example import Example
from savs.data.tasks import GENERIC, Task
from savs.prediction import Prediction


@dataclass(frozen=True)
class LoRA:
    """LoRA (arXiv 2106.09685) on the text decoder's attention, trained on the shots and taken out again.

    The only method here that computes gradients of the model; it stands for what SAVs want to make unnecessary.

    Attributes:
        backbone: the frozen model.
        form: how it answers: `free`, written and matched to a label, or `choice`, the likeliest label.
        tuning: how the adapters are trained.
    """

    backbone: Backbone
    form: Form = "free"
    tuning: Tuning = field(default_factory=Tuning)

    @property
    def name(self) -> str:
        """Of the row: one for each form."""
        return f"lora-{self.form}"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return cannot_learn(self.backbone, problem.shots) or blind(self.backbone, problem.test)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Train on the shots, answer the test examples, and leave the backbone as it was."""
        with taught(self.backbone, problem.shots, problem.task, self.tuning, problem.seed, progress) as backbone:
            return answer_in(self.form, backbone, problem, progress=progress)


@dataclass(frozen=True)
class TransferredLoRA:
    """LoRA trained on another task, and asked this one (arXiv 2412.00142, table 2a). It looks at no shot of this one.

    Attributes:
        backbone: the frozen model.
        elsewhere: labelled examples of the other task.
        elsewhere_task: in which words the labels of those are answered.
        form: how it answers: see `LoRA`.
        tuning: how the adapters are trained.
    """

    backbone: Backbone
    elsewhere: tuple[Example, ...]
    elsewhere_task: Task = GENERIC
    form: Form = "free"
    tuning: Tuning = field(default_factory=Tuning)

    @property
    def name(self) -> str:
        """Of the row: one for each form."""
        return f"transferred-lora-{self.form}"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return cannot_learn(self.backbone, self.elsewhere) or blind(self.backbone, problem.test)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Train on the other task, answer the test examples, and leave the backbone as it was."""
        other = self.elsewhere, self.elsewhere_task
        with taught(self.backbone, *other, self.tuning, problem.seed, progress) as backbone:
            return answer_in(self.form, backbone, problem, progress=progress)


@contextmanager
def taught(
    backbone: Backbone,
    shots: Sequence[Example],
    task: Task,
    tuning: Tuning,
    seed: int,
    progress: Progress | None,
) -> Iterator[Backbone]:
    """The backbone with adapters trained to answer the shots with their labels' words, inside the `with` block."""
    from savs.backbones.adapters import adapted

    model: Any = backbone
    answers = [task.answer(str(shot.label)) for shot in shots]
    with adapted(model, shots, answers, tuning=tuning, seed=seed, progress=progress):
        yield backbone


def cannot_learn(backbone: Backbone, shots: Sequence[Example]) -> str | None:
    """Why adapters cannot be trained on these shots."""
    if not peft_is_installed():
        return NEEDS_PEFT
    model = getattr(backbone, "model", None)
    if model is None:
        return "it trains a transformers model, and this backbone is none"
    if getattr(model.config, "is_encoder_decoder", False):
        return "it trains what follows the prompt, and an encoder-decoder writes that elsewhere"
    if not shots:
        return "it needs shots to train on"
    return blind(backbone, shots)
