"""What a model writes after its prompts, greedily. Knows rows and tokens; no task and no label.

Prompts are padded on the left, so that each is followed by its own answer at once. Whether a model then writes what it
would write after each prompt alone is asked of it: not where it counts places from the left (GIT), where its processor
pads on the right all the same (Kosmos-2), or where a part of it that sees the padding reads the prompt too
(InstructBLIP).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from savs.data.example import Example

if TYPE_CHECKING:
    from savs.backbones.encoding import Inputs
    from savs.backbones.huggingface import HuggingFaceBackbone

_log = logging.getLogger(__name__)


#: Tokens of two answers that are compared: a model may go wrong where it writes on, too.
_COMPARED = 3


class _Watch(LogitsProcessor):
    """Counts the tokens that are written after each prompt, and keeps what foretells the first ones.

    Some models return what they wrote, some the prompt too, and some a prompt that they have changed: how many tokens
    are new, only their number tells.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.scores: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps += 1
        if self.steps <= _COMPARED:
            self.scores.append(scores.clone())
        return scores


class Writer:
    """Writes answers with one model."""

    def __init__(self, backbone: HuggingFaceBackbone) -> None:
        self._backbone = backbone
        # Here and not at each call, to which some models add their own.
        backbone.model.generation_config.pad_token_id = backbone._tokenizer.pad_token_id
        #: By whether examples have media, and whether they differ in length or size of images.
        self._may_share: dict[tuple[bool, bool], bool] = {}

    def write(self, examples: Sequence[Example], max_new_tokens: int) -> list[str]:
        """The model's answers to examples of equally many media, in one batch where they do not change each other.

        Raises:
            BackboneError: the model does not take such examples.
            DataError: an image or a video cannot be opened, or its marks do not fit.
        """
        inputs = self._backbone._inputs(examples, padding_side="left")
        kinds = self._backbone._encoder.kinds(examples, inputs)
        which = any(example.media for example in examples), len(set(kinds)) > 1
        if len(examples) == 1 or self._may_share.get(which):
            return self._run(inputs, examples, max_new_tokens)[0]
        if which not in self._may_share:
            answers, steps = self._run(inputs, examples, max_new_tokens)
            sizes = [size for _, size in kinds]
            # The shortest prompt is padded most, and some processors pad the smallest image too.
            suspects = {kinds.index(min(kinds)), sizes.index(min(sizes)), len(kinds) - 1}
            self._may_share[which] = all(
                self._agrees([scores[row] for scores in steps], examples[row], max_new_tokens) for row in suspects
            )
            if self._may_share[which]:
                return answers
            _log.info("%s answers prompts apart: they change each other in a batch", self._backbone.spec.model)
        parts = [[row for row, kind in enumerate(kinds) if kind == one] for one in dict.fromkeys(kinds)]
        if len(parts) == 1:
            parts = [[row] for row in parts[0]]
        answers = [""] * len(examples)
        for rows in parts:
            for row, answer in zip(rows, self.write([examples[row] for row in rows], max_new_tokens), strict=True):
                answers[row] = answer
        return answers

    def _run(self, inputs: Inputs, examples: Sequence[Example], max_new_tokens: int) -> tuple[list[str], list[Tensor]]:
        """The answers, and what foretells their first tokens: a step each, `[n_rows, n_vocabulary]`."""
        watch = _Watch()
        backbone = self._backbone
        model: Any = backbone.model
        last = torch.full((len(examples),), -1)
        with torch.inference_mode(), backbone.edited(last), backbone._encoder.refusing(examples[0]):
            tokens = model.generate(
                **inputs, do_sample=False, max_new_tokens=max_new_tokens, logits_processor=LogitsProcessorList([watch])
            )
        new = tokens[:, tokens.shape[1] - watch.steps :]
        return list(backbone._tokenizer.batch_decode(new, skip_special_tokens=True)), watch.scores

    def _agrees(self, steps: Sequence[Tensor], example: Example, max_new_tokens: int) -> bool:
        """Whether an example alone is answered the same, up to more than rounding and less than any mistake.

        Of two tokens that are equally likely, rounding may choose another: nothing is compared behind these.
        """
        tolerance = 1e-3 if self._backbone.model.dtype == torch.float32 else 0.1
        _, by_itself = self._run(self._backbone._inputs([example]), [example], max_new_tokens)
        for scores, [alone] in zip(steps, by_itself, strict=False):  # alone, it may end sooner than a batch does
            known = torch.isfinite(scores) & torch.isfinite(alone)  # not what may not be written here
            if (scores - alone)[known].abs().max() > tolerance * alone[known].abs().max():
                return False
            if scores.argmax() != alone.argmax():
                break
        return True
