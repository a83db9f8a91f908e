"""Fine-tuning on the same shots: low-rank adapters trained to write the label. Knows no weight and no optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from savs.backbones.base import Backbone, Progress
from savs.backbones.tuning import NEEDS_PEFT, Tuning, peft_is_installed
from savs.baselines.method import Problem, blind
from savs.baselines.zero_shot import Form, answer_in
from savs.prediction import Prediction


@dataclass(frozen=True)
class LoRA:
    """LoRA (arXiv 2106.09685) on the text decoder's attention, trained on the shots and taken out again.

    The only method here that computes gradients of the model; it stands for what SAVs want to make unnecessary.

    Attributes:
        backbone: the frozen model.
        form: how it answers: `free`, written and matched to a label, or `choice`, the likeliest label.
        tuning: how the adapters are trained.
        name: of the row.
    """

    backbone: Backbone
    form: Form = "free"
    tuning: Tuning = field(default_factory=Tuning)
    name: str = "lora-free"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        if not peft_is_installed():
            return NEEDS_PEFT
        model = getattr(self.backbone, "model", None)
        if model is None:
            return "it trains a transformers model, and this backbone is none"
        if getattr(model.config, "is_encoder_decoder", False):
            return "it trains what follows the prompt, and an encoder-decoder writes that elsewhere"
        if not problem.shots:
            return "it needs shots to train on"
        return blind(self.backbone, (*problem.shots, *problem.test))

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Train on the shots, answer the test examples, and leave the backbone as it was."""
        from savs.backbones.adapters import adapted

        backbone: Any = self.backbone
        answers = [problem.task.answer(str(shot.label)) for shot in problem.shots]
        with adapted(backbone, problem.shots, answers, tuning=self.tuning, seed=problem.seed, progress=progress):
            return answer_in(self.form, backbone, problem, progress=progress)
