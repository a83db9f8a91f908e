"""Fine-tuning a backbone for a while: LoRA (arXiv 2106.09685) on its attention, gone again afterwards.

Knows prompts and the answers that should follow them. Knows no task, no label and no metric. Needs peft
(`pip install savs[lora]`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from savs.backbones.base import Progress
from savs.backbones.huggingface import HuggingFaceBackbone
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
        BackboneError: peft is not installed.
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
            # One pass for each answer: the processor writes one answer behind all prompts of a batch.
            for answer in sorted({answers[row] for row in rows}):
                alike = [examples[row] for row in rows if answers[row] == answer]
                loss = answer_loss(backbone, alike, answer) * (len(alike) / len(rows))
                loss.backward()  # type: ignore[no-untyped-call]
                of_epoch += float(loss.detach()) * len(rows) / len(examples)
            nn.utils.clip_grad_norm_(weights, tuning.clip)
            optimiser.step()
            schedule.step()
            if progress is not None:
                progress(epoch * steps_an_epoch + step + 1, total)
        losses.append(of_epoch)
    return losses


def answer_loss(backbone: HuggingFaceBackbone, examples: Sequence[Example], answer: str) -> Tensor:
    """Mean cross-entropy of the answer's tokens after each prompt, with a gradient where weights take one."""
    lengths = backbone._inputs(examples)["attention_mask"].sum(dim=1)
    inputs = backbone._inputs(examples, answer=answer + (backbone._tokenizer.eos_token or ""))
    position = torch.arange(inputs["input_ids"].shape[1], device=lengths.device)
    in_answer = (position >= lengths[:, None]) & (position < inputs["attention_mask"].sum(dim=1)[:, None])
    targets = inputs["input_ids"].masked_fill(~in_answer, -100)
    logits = backbone.model(**inputs, use_cache=False).logits[:, :-1].float()
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)
