"""Forward passes: a batch in, the wanted heads out, within the memory there is.

Knows a model and its devices; no examples' files, no order of batches. Some things are asked of each model once, by
running one row or a few alone: which rows may share a batch (see `mixing`); whether a prompt may go on from the keys
and values of its beginning; where features of images are to be kept, whether they stand for the images; and before
passes run at the same time on a CPU, whether passes leave the model as it was. Where not, the plain way is taken from
then on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from savs.backbones.attention import AttentionMap, AttentionSource
from savs.backbones.batches import Batch
from savs.backbones.capture import Captured, capture_heads
from savs.backbones.encoding import Encoder, Inputs
from savs.backbones.image_features import ImageFeatures
from savs.backbones.inputs import last_positions, lengths
from savs.backbones.memory import halving, out_of_memory
from savs.backbones.mixing import Kind, Mixing
from savs.backbones.prefixes import obstacle, read_after
from savs.data.example import Example
from savs.errors import BackboneError
from savs.features import FloatArray

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """Which heads to read: the sources that a pass must reach, and the columns to take of all their heads."""

    sources: tuple[AttentionSource, ...]
    columns: Tensor
    head_dim: int

    def taken_from(self, captured: Captured) -> FloatArray:
        """`[n_rows, n_columns, head_dim]` in float32."""
        return np.asarray(captured.stacked(self.head_dim)[:, self.columns].float().cpu().numpy())


class Passes:
    """Runs batches through one model.

    Attributes:
        mixing: which rows may share a batch.
        sharing_obstacle: why prompts do not share their beginnings; empty where they may.
        images: features of images that were met before.
    """

    def __init__(self, model: PreTrainedModel, base: Any, encoder: Encoder, attention: AttentionMap, name: str) -> None:
        self.mixing = Mixing(name, self.same)
        self.sharing_obstacle = obstacle(base, model.config, attention)
        self._changes_unseen = _changes_unseen(model)
        #: By whether examples have media, and the deepest layer.
        self._no_trace: dict[tuple[bool, int], bool] = {}
        self.images = ImageFeatures(base)
        self._sharing_is_tried = False
        self._images_are_tried = False
        self._model = model
        self._base = base
        self._encoder = encoder
        self._name = name

    def features(self, batch: Batch, wanted: Wanted) -> FloatArray:
        """`[n_rows, n_columns, head_dim]` of one batch, halved as often as memory demands.

        Raises:
            BackboneError: one example alone does not fit in memory, there are values that are not finite, or the model
                does not take such examples.
        """

        def run(part: slice) -> FloatArray:
            some = batch if part == slice(0, len(batch.examples)) else self._whole(batch.examples[part])
            try:
                return self._finite(some, wanted)
            finally:
                some.inputs.clear()

        return np.concatenate(halving(batch.examples, run, self._model.device))

    def leave_no_trace(self, examples: Sequence[Example], wanted: Wanted) -> bool:
        """Whether passes leave the model as it was, so that they may run at the same time.

        Asked once for examples with media and once for those without, at each depth that is wanted: two examples are
        run alone, the first of which may set up what the model keeps for good.
        """
        if self._changes_unseen:
            return False
        kind = bool(examples[0].media), wanted.sources[-1].layer
        if kind not in self._no_trace:
            shortest, longest = (choose(examples, key=lambda example: len(example.text)) for choose in (min, max))
            self.features(self._whole([longest]), wanted)
            before = _attributes(self._model)
            self.features(self._whole([shortest]), wanted)
            after = _attributes(self._model)
            self._no_trace[kind] = before.keys() == after.keys() and all(
                held is after[key][0] and version == after[key][1] for key, (held, version) in before.items()
            )
            if not self._no_trace[kind]:
                _log.info("%s runs its batches in turns: it writes down something of a pass", self._name)
        return self._no_trace[kind]

    def asks(self, batch: Batch) -> bool:
        """Whether running this batch answers what is asked once: no other may be run meanwhile.

        Else it would be a matter of time which batch answers for all that follow.
        """
        if batch.tails is not None and not self.sharing_obstacle:
            return not self._sharing_is_tried
        return self.mixing.asks(self._kinds(batch))

    def on_device(self, inputs: Inputs) -> Inputs:
        """The inputs where the model is, in its precision."""
        # A part that lies on disk has no device of its own, and fetches what it is given.
        device = torch.device("cpu") if self._model.device.type == "meta" else self._model.device
        return {name: _placed(value, device, self._model.dtype) for name, value in inputs.items()}

    def _finite(self, batch: Batch, wanted: Wanted) -> FloatArray:
        """Features of one batch, refused where the model does not take it or gives what is no number."""
        with self._encoder.refusing(batch.examples[0]):
            self._try_images(batch, wanted)
            z = self._run(batch, wanted)
        finite = np.isfinite(z).all(axis=(1, 2))
        if not finite.all():
            raise BackboneError(
                f"{self._name} in {str(self._model.dtype).removeprefix('torch.')} gives values that are not finite "
                f"for example {batch.examples[int(finite.argmin())].id!r}; try dtype='float32' or another "
                "attention kernel"
            )
        return z

    def _run(self, batch: Batch, wanted: Wanted) -> FloatArray:
        if batch.tails is not None:
            z = self._shared(batch, wanted)
            if z is not None:
                return z
        whole = batch if batch.tails is None else self._whole(batch.examples)

        def run(rows: Sequence[int]) -> FloatArray:
            some = whole if len(rows) == len(whole.examples) else self._whole([whole.examples[row] for row in rows])
            return self._read(some.inputs, wanted)

        z = np.stack(self.mixing.run(self._kinds(whole), run))
        if self.mixing.padding_is_harmless is False and not self.sharing_obstacle:
            self._share_no_more("its prompts see what they are padded with")
        return z

    def _kinds(self, batch: Batch) -> list[Kind]:
        tails = batch.tails
        if tails is None:
            return self._encoder.kinds(batch.examples, lengths(batch.inputs))
        whole = tails.lengths[tails.beginning] + tails.attention_mask.sum(dim=1)
        return self._encoder.kinds(batch.examples, whole.tolist())

    def _shared(self, batch: Batch, wanted: Wanted) -> FloatArray | None:
        """Features of prompts that share their beginnings; None where the model turns out not to allow it."""
        if self.sharing_obstacle or batch.tails is None:
            return None
        try:
            beginnings = self.images.in_place_of_pixels(self.on_device(batch.inputs))
            z = wanted.taken_from(read_after(self._base, beginnings, batch.tails, wanted.sources, self._model.device))
        except Exception as error:
            # A model that keeps its state in another form says so in words of its own.
            if self._sharing_is_tried or out_of_memory(error):
                raise
            self._share_no_more(f"{type(error).__name__}: {error}")
            return None
        if not self._sharing_is_tried:
            shortest = int(batch.tails.attention_mask.sum(dim=1).argmin())
            if not self._agrees(z[shortest], batch.examples[shortest], wanted):
                self._share_no_more("it does not give the same from the keys and values of a beginning")
                return None
            self._sharing_is_tried = True
        return z

    def _try_images(self, batch: Batch, wanted: Wanted) -> None:
        """Ask once whether features of an image stand for it."""
        if self._images_are_tried or not self.images.limit or not _has_media(batch):
            return
        self._images_are_tried = True
        example = batch.examples[0]
        if not self._agrees(self._read(self._whole([example]).inputs, wanted)[0], example, wanted):
            self.images.give_up("it does not give the same from features of an image")

    def _share_no_more(self, reason: str) -> None:
        self.sharing_obstacle = reason
        _log.info("%s runs every prompt whole: %s", self._name, reason)

    def _agrees(self, z: FloatArray, example: Example, wanted: Wanted) -> bool:
        """Whether an example alone gives the same, up to more than rounding and less than any mistake."""
        return self.same(z, self._read(self._whole([example]).inputs, wanted, from_pixels=True)[0])

    def same(self, z: FloatArray, alone: FloatArray) -> bool:
        """Whether two values of one example differ by no more than rounding explains."""
        tolerance = 1e-3 if self._model.dtype == torch.float32 else 0.1
        return bool(np.abs(z - alone).max() <= tolerance * np.abs(alone).max())

    def _whole(self, examples: Sequence[Example]) -> Batch:
        inputs = self._encoder.encode(examples, [self._encoder.prompt(example) for example in examples])
        return Batch(tuple(range(len(examples))), tuple(examples), inputs)

    def _read(self, inputs: Inputs, wanted: Wanted, *, from_pixels: bool = False) -> FloatArray:
        """Features of whole prompts, in one forward pass; `from_pixels` runs every image, kept or not."""
        placed = self.on_device(inputs)
        given = placed if from_pixels else self.images.in_place_of_pixels(placed)
        with torch.inference_mode(), capture_heads(wanted.sources, last_positions(placed)) as captured:
            self._base(**given, use_cache=False)
        return wanted.taken_from(captured)


def _placed(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, list):  # some processors give numbers, or a tensor an image
        return [_placed(part, device, dtype) for part in value]
    return value.to(device, dtype if value.is_floating_point() else None) if isinstance(value, Tensor) else value


def _has_media(batch: Batch) -> bool:
    return any(example.media for example in batch.examples)


def _changes_unseen(model: PreTrainedModel) -> bool:
    """Whether two short prompts would not show what changes: what follows the length, parts that come and go."""
    config = model.config.to_json_string(use_diff=False)
    frequencies = any(f'"rope_type": "{kind}"' in config for kind in ("dynamic", "longrope"))
    # Tables of sines that grow with the longest prompt, in Kosmos-2 and XGLM.
    tables = any(hasattr(module, "make_weights") for module in model.modules())
    return frequencies or tables or hasattr(model, "hf_device_map")


def _attributes(model: nn.Module) -> dict[tuple[str, str], tuple[Any, int]]:
    """What the modules hold, the values themselves, and how often each tensor was written to."""
    return {
        (name, key): (value, value._version if isinstance(value, Tensor) and not value.is_inference() else 0)
        for name, module in model.named_modules()
        for key, value in [*vars(module).items(), *module.named_buffers(recurse=False)]
    }
