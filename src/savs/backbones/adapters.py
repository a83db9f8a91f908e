"""Fine-tuning a backbone for a while: LoRA (arXiv 2106.09685) on its attention, gone again afterwards.

Knows prompts and the answers that should follow them. Knows no task, no label and no metric. Needs peft
(`pip install savs[lora]`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from savs.backbones.base import Progress
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.backbones.likelihood import answer_logits
from savs.backbones.memory import halving
from savs.backbones.tuning import NEEDS_PEFT, Tuning, peft_is_installed
from savs.data.example import Example
from savs.errors import BackboneError


@contextmanager
def adapted(
    backbone: HuggingFaceBackbone,
    examples: Sequence[Example],
    answers: Sequence[str],
    *,
    tuning: Tuning,
    seed: int = 0,
    progress: Progress | None = None,
) -> Iterator[list[float]]:
    """Train adapters to write `answers` after `examples`, and let the backbone answer with them in the `with` block.

    The loss is the mean cross-entropy of the answers' tokens, the end-of-text token included. The model's own weights
    do not change, and its modules are put back in place when the block is left.

    Yields:
        The mean loss of each epoch.

    Raises:
        BackboneError: peft is not installed, or one example alone does not fit in memory.
    """
    if not peft_is_installed():
        raise BackboneError(f"LoRA cannot be trained: {NEEDS_PEFT}")
    from peft import LoraConfig, get_peft_model

    targets = attention_linears(backbone)
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        target_modules=targets,
        lora_dropout=0.0,
        fan_in_fan_out=_is_conv(backbone.model.get_submodule(targets[0])),
    )
    with torch.random.fork_rng(devices=[backbone.model.device] if backbone.model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        wrapped: Any = get_peft_model(backbone.model, config)
    try:
        weights = [weight for weight in backbone.model.parameters() if weight.requires_grad]
        yield _train(backbone, weights, examples, answers, tuning, seed, progress)
    finally:
        wrapped.unload()
        backbone.model.requires_grad_(False)


def attention_linears(backbone: HuggingFaceBackbone) -> list[str]:
    """Paths of the linear modules of the text decoder's self-attention: queries, keys, values and output."""
    attentions = [source.name.rpartition(".")[0] for source in backbone.sources]
    return [
        f"{attention}.{name}"
        for attention in attentions
        for name, module in backbone.model.get_submodule(attention).named_modules()
        if isinstance(module, nn.Linear) or _is_conv(module)
    ]


def _is_conv(module: nn.Module) -> bool:
    """Whether it is GPT-2's kind of linear module, whose weight is turned."""
    return type(module).__name__ == "Conv1D"


def _train(
    backbone: HuggingFaceBackbone,
    weights: list[nn.Parameter],
    examples: Sequence[Example],
    answers: Sequence[str],
    tuning: Tuning,
    seed: int,
    progress: Progress | None,
) -> list[float]:
    rng = np.random.default_rng(seed)
    steps_an_epoch = math.ceil(len(examples) / tuning.batch_size)
    total = steps_an_epoch * tuning.epochs
    warm = max(1, total // 10)
    optimiser = torch.optim.AdamW(weights, lr=tuning.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, step - warm) / max(1, total - warm)))),
    )
    losses = []
    for epoch in range(tuning.epochs):
        order = rng.permutation(len(examples))
        of_epoch = 0.0
        for step in range(steps_an_epoch):
            rows = order[step * tuning.batch_size : (step + 1) * tuning.batch_size]
            optimiser.zero_grad()
            asked, said = [examples[row] for row in rows], [answers[row] for row in rows]
            losses_of = halving(asked, partial(_learn, backbone, weights, asked, said), backbone.model.device)
            of_epoch += sum(losses_of) * len(rows) / len(examples)
            nn.utils.clip_grad_norm_(weights, tuning.clip)
            optimiser.step()
            schedule.step()
            if progress is not None:
                progress(epoch * steps_an_epoch + step + 1, total)
        losses.append(of_epoch)
    return losses


def _learn(
    backbone: HuggingFaceBackbone,
    weights: list[nn.Parameter],
    examples: Sequence[Example],
    answers: Sequence[str],
    part: slice,
) -> float:
    """Add the gradient of some rows of a batch to the weights, as their share of the batch's mean loss."""
    loss = answer_loss(backbone, examples[part], answers[part]) * (len(examples[part]) / len(examples))
    # All of it or, where memory runs out on the way, nothing, so that the rows can be tried again.
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
        if gradient is not None:
            weight.grad = gradient if weight.grad is None else weight.grad + gradient
    return float(loss.detach())


def answer_loss(backbone: HuggingFaceBackbone, examples: Sequence[Example], answers: Sequence[str]) -> Tensor:
    """Mean over prompts of the mean cross-entropy of their answer's tokens, with a gradient where weights take one."""
    ends = backbone._tokenizer.eos_token or ""
    logits, tokens, row = answer_logits(backbone, examples, [answer + ends for answer in answers])
    losses = nn.functional.cross_entropy(logits, tokens, reduction="none")
    return (losses / row.bincount()[row]).sum() / len(examples)
