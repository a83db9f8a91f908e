"""The first layers of a backbone, as a backbone: what lies deeper is neither run nor known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from savs.backbones.base import Backbone, Progress
from savs.data.example import Example
from savs.errors import BackboneError
from savs.features import FloatArray, HeadId, HeadLayout


class Shallow:
    """A backbone of which only heads down to some layer are read. It answers as the whole one does.

    Attributes:
        spec: of the backbone.
        layout: its heads down to that layer, which are the first of its heads.
        whole: the backbone.

    Raises:
        BackboneError: there are no heads so early.
    """

    def __init__(self, backbone: Backbone, max_layer: int) -> None:
        heads = tuple(head for head in backbone.layout.heads if head.layer <= max_layer)
        if not heads:
            raise BackboneError(
                f"{backbone.spec.model} has no heads down to layer {max_layer}; its first are in layer "
                f"{backbone.layout.heads[0].layer}"
            )
        self.spec = backbone.spec
        self.layout = HeadLayout(heads, backbone.layout.head_dim)
        self.whole = backbone

    def head_activations(
        self,
        examples: Sequence[Example],
        *,
        heads: Sequence[HeadId] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """See `Backbone.head_activations`."""
        wanted = self.layout.heads if heads is None else heads
        return self.whole.head_activations(examples, heads=wanted, batch_size=batch_size, progress=progress)

    def generate(
        self, examples: Sequence[Example], *, max_new_tokens: int = 16, progress: Progress | None = None
    ) -> list[str]:
        """See `Backbone.generate`."""
        return self.whole.generate(examples, max_new_tokens=max_new_tokens, progress=progress)

    def answer_log_likelihoods(
        self,
        examples: Sequence[Example],
        answers: Sequence[str],
        *,
        offered: NDArray[np.bool_] | None = None,
        summed: bool = False,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """See `Backbone.answer_log_likelihoods`."""
        return self.whole.answer_log_likelihoods(examples, answers, offered=offered, summed=summed, progress=progress)
