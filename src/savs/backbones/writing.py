"""What a model writes after its prompts, greedily. Knows rows and tokens; no task and no label.

Prompts are padded on the left, so that each is followed by its own answer at once. Whether a model then writes what it
would write after each prompt alone is asked of it (see `mixing`): not where it counts places from the left (GIT, BLIP),
where its processor pads on the right all the same (Kosmos-2), or where a part of it that sees the padding reads the
prompt too (InstructBLIP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from savs.backbones.inputs import lengths, start_token
from savs.backbones.mixing import Mixing
from savs.data.example import Example

if TYPE_CHECKING:
    from savs.backbones.encoding import Inputs
    from savs.backbones.huggingface import HuggingFaceBackbone


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


#: What a prompt was answered with, and what foretold the first tokens of it, each `[n_vocabulary]`.
Written = tuple[str, Sequence[Tensor]]


class Writer:
    """Writes answers with one model."""

    def __init__(self, backbone: HuggingFaceBackbone) -> None:
        self._backbone = backbone
        settings: Any = getattr(backbone.model, "generation_config", None)
        if settings is not None:  # here and not at each call, to which some models add their own
            settings.pad_token_id = backbone._tokenizer.pad_token_id
            if settings.decoder_start_token_id is None and settings.bos_token_id is None:
                settings.decoder_start_token_id = start_token(backbone.model.config, backbone._tokenizer)
        self._mixing = Mixing(backbone.spec.model, self._agree)

    def write(self, examples: Sequence[Example], max_new_tokens: int) -> list[str]:
        """The model's answers to examples of equally many media, in one batch where they do not change each other.

        Raises:
            BackboneError: the model does not take such examples.
            DataError: an image or a video cannot be opened, or its marks do not fit.
        """
        inputs = self._backbone._inputs(examples, padding_side="left")

        def run(rows: Sequence[int]) -> list[Written]:
            some = [examples[row] for row in rows]
            given = inputs if len(some) == len(examples) else self._backbone._inputs(some, padding_side="left")
            return self._run(given, some, max_new_tokens)

        kinds = self._backbone._encoder.kinds(examples, lengths(inputs))
        return [answer for answer, _ in self._mixing.run(kinds, run)]

    def _run(self, inputs: Inputs, examples: Sequence[Example], max_new_tokens: int) -> list[Written]:
        watch = _Watch()
        backbone = self._backbone
        model: Any = backbone.model
        last = torch.full((len(examples),), -1)
        with torch.inference_mode(), backbone.edited(last), backbone._encoder.refusing(examples[0]):
            tokens = model.generate(
                **inputs, do_sample=False, max_new_tokens=max_new_tokens, logits_processor=LogitsProcessorList([watch])
            )
        answers = backbone._tokenizer.batch_decode(tokens[:, tokens.shape[1] - watch.steps :], skip_special_tokens=True)
        return [(answer, [scores[row] for scores in watch.scores]) for row, answer in enumerate(answers)]

    def _agree(self, written: Written, alone: Written) -> bool:
        """Whether two answers are the same up to rounding.

        Of two tokens that are equally likely, rounding may choose another: nothing is compared behind these.
        """
        for here, there in zip(written[1], alone[1], strict=False):  # alone, it may end sooner than a batch does
            known = torch.isfinite(here) & torch.isfinite(there)  # what may not be written here is not
            if not self._backbone._passes.same(here[known].cpu().numpy(), there[known].cpu().numpy()):
                return False
            if here.argmax() != there.argmax():
                break
        return True
