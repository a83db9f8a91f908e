"""How likely a model holds an answer: the logits that foretell its tokens, and no others.

A vocabulary has 150,000 tokens: the logits of every position of a long prompt take more memory than the model's own
passes. Knows prompts and answers; no task, no label and no class.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from savs.backbones.encoding import Inputs, with_answer
from savs.backbones.inputs import last_positions
from savs.data.example import Example
from savs.errors import BackboneError

if TYPE_CHECKING:
    from savs.backbones.huggingface import HuggingFaceBackbone


#: By type of model: the kind of the tokens that it writes, where its prompt is read in both directions. Of the prompt's
#: kind, an answer would be seen by the very positions that foretell it.
_WRITTEN_KIND = {"paligemma": 1}
#: Tokens that a processor may write behind the text that it is given, such as a newline.
_MOST_BEHIND = 8


class Written(NamedTuple):
    """An answer behind its prompt.

    Attributes:
        tokens: of the answer.
        apart: whether the prompt keeps all tokens of its own. Else its last ones, a space mostly, went into the answer.
    """

    tokens: tuple[int, ...]
    apart: bool


def answer_tokens(backbone: HuggingFaceBackbone, examples: Sequence[Example], answers: Sequence[str]) -> list[Written]:
    """The tokens of each answer, as they follow its prompt. Opens no file.

    Raises:
        BackboneError: an answer adds no token to its prompt; or as `Encoder.prompt`.
        DataError: as `Encoder.prompt`.
    """
    prompts = [backbone._encoder.prompt(example) for example in examples]
    if not prompts:
        return []
    whole = [with_answer(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    # Without special tokens: some tokenizers end a text with one, which their processor does not write.
    ids = backbone._tokenizer([*prompts, *whole], add_special_tokens=False)["input_ids"]
    written = []
    for before, after, answer in zip(ids[: len(prompts)], ids[len(prompts) :], answers, strict=True):
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
        if shared == len(after):
            raise BackboneError(
                f"{backbone.spec.model} writes the answer {answer!r} without a token of its own; give the class "
                "another word"
            )
        written.append(Written(tuple(after[shared:]), shared == len(before)))
    return written


def answer_logits(
    backbone: HuggingFaceBackbone, examples: Sequence[Example], answers: Sequence[str]
) -> tuple[Tensor, Tensor, Tensor]:
    """What foretells the tokens of one answer after each prompt, in one forward pass.

    Returns:
        Logits `[n_tokens, n_vocabulary]` in float32, the tokens themselves `[n_tokens]`, and the row that each
        belongs to `[n_tokens]`.

    Raises:
        BackboneError: the processor does not give the model the tokens of an answer; or as `answer_tokens`.
        DataError: an image or a video cannot be opened; or as `answer_tokens`.
    """
    written = [list(answer.tokens) for answer in answer_tokens(backbone, examples, answers)]
    inputs = backbone._inputs(examples, answers=answers)
    if "qformer_input_ids" in inputs:  # InstructBLIP's images are read with the prompt in mind, and not with the answer
        inputs |= {name: part for name, part in backbone._inputs(examples).items() if name.startswith("qformer_")}
    last = last_positions(inputs).cpu()
    _put_last(inputs["input_ids"], last, written, backbone.spec.model)
    counts = torch.tensor([len(tokens) for tokens in written])
    row = torch.repeat_interleave(torch.arange(len(counts)), counts)
    place = last[row] - torch.cat([torch.arange(count - 1, -1, -1) for count in counts.tolist()])
    if (kind := _WRITTEN_KIND.get(backbone.model.config.model_type)) is not None:
        inputs["token_type_ids"][row, place] = kind
    with backbone.edited(last - counts), backbone._encoder.refusing(examples[0]):
        logits = logits_at(backbone, inputs, row, place - 1)
    return logits, inputs["input_ids"][row, place].to(logits.device), row.to(logits.device)


def _put_last(ids: Tensor, last: Tensor, written: Sequence[list[int]], model: str) -> None:
    """Move each answer behind what the processor wrote after it: there it stands when the model writes it.

    Args:
        ids: `[n_rows, n_positions]`, changed in place.
        last: `[n_rows]`, each row's last real token, counted from the end.
        written: the tokens of each row's answer.
        model: for messages.
    """
    ends = (last + ids.shape[1] + 1).tolist()
    for row, (line, end, tokens) in enumerate(zip(ids.tolist(), ends, written, strict=True)):
        tail = line[max(0, end - len(tokens) - _MOST_BEHIND) : end]
        starts = range(len(tail) - len(tokens), -1, -1)
        start = next((start for start in starts if tail[start : start + len(tokens)] == tokens), None)
        if start is None:
            raise BackboneError(
                f"the processor of {model} does not write answers as its tokenizer does, so that they cannot be scored "
                "by likelihood; let the model write its answer instead (generate)"
            )
        behind = tail[start + len(tokens) :]
        if behind:
            ids[row, end - len(behind) - len(tokens) : end] = torch.tensor(behind + tokens).to(ids)


def first_logits(backbone: HuggingFaceBackbone, examples: Sequence[Example]) -> Tensor:
    """What foretells the first token after each prompt: `[n_rows, n_vocabulary]` in float32."""
    inputs = backbone._inputs(examples)
    last = last_positions(inputs).cpu()
    with backbone.edited(last), backbone._encoder.refusing(examples[0]):
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
