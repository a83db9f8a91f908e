"""What the rest of the project needs of a frozen model: a `Backbone`, and the `BackboneSpec` that names it.

Knows no framework: a backbone may be anything that turns examples into head features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from savs.data.example import Example
from savs.features import FloatArray, HeadId, HeadLayout

#: Called with (examples done, examples in all) as work proceeds.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BackboneSpec:
    """Everything about a backbone that changes the numbers it gives.

    Attributes:
        model: Hub id, folder name, or `demo`: a name for people. The revision identifies the weights, so that a
            folder may be renamed.
        revision: commit on the Hub, or digest of a local folder's files.
        dtype: of weights and computation, such as `float32`.
        attention: attention kernel, such as `sdpa`.
        quantised: how quantised weights are kept (`bitsandbytes`; `fp8, unpacked` where they are computed with as plain
            numbers), or empty.
        image_processor: class that prepares images, with its back end (`SiglipImageProcessorPil`), or empty.
        min_pixels: lower pixel budget of an image, where the processor has one.
        max_pixels: upper pixel budget of an image, where the processor has one.
        video_frames: frames sampled from a video, passed as images.
        chat_template: digest of the chat template, or empty for plain prompts.
        attention_modules: pattern that named the attention modules by hand, or empty.
        location: where it was loaded from. A hint for loading it again: not part of what identifies it.
    """

    model: str = field(compare=False)
    revision: str
    dtype: str
    attention: str
    quantised: str = ""
    image_processor: str = ""
    min_pixels: int | None = None
    max_pixels: int | None = None
    video_frames: int = 8
    chat_template: str = ""
    attention_modules: str = ""
    location: str = field(default="", compare=False)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when anything does that changes the numbers."""
        identity = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        # A field that came later counts where it says something: what was named before keeps its fingerprint.
        if not self.quantised:
            del identity["quantised"]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def differences(self, other: BackboneSpec) -> list[str]:
        """What differs, one line a field: `dtype: float32 here, bfloat16 there`."""
        return [
            f"{f.name}: {getattr(self, f.name)!r} here, {getattr(other, f.name)!r} there"
            for f in fields(self)
            if f.compare and getattr(self, f.name) != getattr(other, f.name)
        ]

    def to_json(self) -> dict[str, Any]:
        """The spec as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read `to_json` back; fields that this version does not know are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


@runtime_checkable
class Backbone(Protocol):
    """A frozen model whose attention heads can be read.

    Attributes:
        spec: what identifies it.
        layout: its heads.
    """

    spec: BackboneSpec
    layout: HeadLayout

    def head_activations(
        self,
        examples: Sequence[Example],
        *,
        heads: Sequence[HeadId] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """Each head's output at the last prompt token, in one forward pass an example.

        Args:
            examples: the inputs.
            heads: the heads to return, in this order; all of `layout` by default.
            batch_size: examples in one forward pass.
            progress: told of work done.

        Returns:
            float32 `[n_samples, n_heads, head_dim]`, rows in the order of `examples`.
        """
        ...

    def generate(
        self, examples: Sequence[Example], *, max_new_tokens: int = 16, progress: Progress | None = None
    ) -> list[str]:
        """The model's own greedy answer to each example."""
        ...

    def answer_log_likelihoods(
        self,
        examples: Sequence[Example],
        answers: Sequence[str],
        *,
        offered: NDArray[np.bool_] | None = None,
        summed: bool = False,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Mean log-probability a token of each answer after each prompt.

        Args:
            examples: the prompts.
            answers: what may follow them.
            offered: `[n_samples, n_answers]`, which answers each example offers, where not all: no other is run.
            summed: add up an answer's tokens instead, which gives the log-probability of the whole answer.
            progress: told of examples done.

        Returns:
            `[n_samples, n_answers]`, minus infinity where an answer is not offered.
        """
        ...
