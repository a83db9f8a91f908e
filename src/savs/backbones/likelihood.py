"""How likely a model holds an answer: the logits that foretell its tokens, and no others.

A vocabulary has 150,000 tokens: the logits of every position of a long prompt take more memory than the model's own
passes. Knows prompts and answers; no task, no label and no class.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from savs.backbones.encoding import Inputs, with_answer
from savs.backbones.inputs import last_positions
from savs.data.example import Example

if TYPE_CHECKING:
    from savs.backbones.huggingface import HuggingFaceBackbone


def answer_tokens(
    backbone: HuggingFaceBackbone, examples: Sequence[Example], answers: Sequence[str]
) -> list[tuple[int, ...]]:
    """The tokens of each answer, as they follow its prompt. Opens no file.

    Raises:
        BackboneError, DataError: as `Encoder.prompt`.
    """
    encoder = backbone._encoder
    prompts = [encoder.prompt(example) for example in examples]
    whole = [with_answer(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    pairs = zip(encoder.tokens(prompts), encoder.tokens(whole), strict=True) if prompts else ()
    return [after[len(before) :] for before, after in pairs]


def answer_logits(
    backbone: HuggingFaceBackbone, examples: Sequence[Example], answers: Sequence[str]
) -> tuple[Tensor, Tensor, Tensor]:
    """What foretells the tokens of one answer after each prompt, in one forward pass.

    Returns:
        Logits `[n_tokens, n_vocabulary]` in float32, the tokens themselves `[n_tokens]`, and the row that each
        belongs to `[n_tokens]`.
    """
    counts = torch.tensor([len(tokens) for tokens in answer_tokens(backbone, examples, answers)])
    inputs = backbone._inputs(examples, answers=answers)
    last = last_positions(inputs).cpu()
    row = torch.repeat_interleave(torch.arange(len(counts)), counts)
    place = last[row] - torch.cat([torch.arange(count - 1, -1, -1) for count in counts.tolist()])
    with backbone.edited(last - counts):
        logits = logits_at(backbone, inputs, row, place - 1)
    return logits, inputs["input_ids"][row, place].to(logits.device), row.to(logits.device)


def first_logits(backbone: HuggingFaceBackbone, examples: Sequence[Example]) -> Tensor:
    """What foretells the first token after each prompt: `[n_rows, n_vocabulary]` in float32."""
    inputs = backbone._inputs(examples)
    last = last_positions(inputs).cpu()
    with backbone.edited(last):
        return logits_at(backbone, inputs, torch.arange(len(last)), last)


def logits_at(backbone: HuggingFaceBackbone, inputs: Inputs, row: Tensor, place: Tensor) -> Tensor:
    """The logits at some places, each of one row and counted from its end: `[n_places, n_vocabulary]` in float32.

    The model makes those of these places alone, for all rows, where its forward takes `logits_to_keep`.
    """
    kept, which = torch.unique(place, return_inverse=True)
    only: dict[str, Any] = {}
    if "logits_to_keep" in inspect.signature(backbone.model.forward).parameters:
        # Of a model that is spread over devices nobody knows where its head lies, and places would have to lie there.
        spread = len(set(getattr(backbone.model, "hf_device_map", {}).values())) > 1
        only = {"logits_to_keep": -int(kept[0]) if spread else kept}
    logits: Tensor = backbone.model(**inputs, use_cache=False, **only).logits
    return logits[row, which if logits.shape[1] == len(kept) else place].float()
