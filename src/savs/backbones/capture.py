"""Reading attention heads: catch their outputs as a model runs.

Knows no model family, no processor and no file. What is caught is the input of each
attention output projection, which is `softmax(Q K^T / sqrt(d)) V` of all heads side by side (arXiv 2412.00142,
section 3), at one position a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from savs.backbones.attention import AttentionSource


@dataclass
class Captured:
    """What a forward pass left behind: per layer, `[n_rows, n_heads, head_dim]`, on the model's device."""

    by_layer: dict[int, Tensor] = field(default_factory=dict)

    def stacked(self, head_dim: int) -> Tensor:
        """All layers' heads, narrower ones padded with zeros: `[n_rows, n_heads_in_all, head_dim]`."""
        layers = [self.by_layer[layer] for layer in sorted(self.by_layer)]
        device = layers[0].device  # a large model may be spread over several
        return torch.cat([nn.functional.pad(z, (0, head_dim - z.shape[-1])).to(device) for z in layers], dim=1)


class _Enough(Exception):  # noqa: N818 - a signal, not an error
    """Raised by the last hook: no later layer is needed."""


@contextmanager
def capture_heads(sources: Sequence[AttentionSource], positions: Tensor) -> Iterator[Captured]:
    """Catch the heads' outputs of one forward pass, run inside the `with` block.

    Each hook keeps one position a row at once, so that memory does not grow with the prompt. After the deepest
    source the forward pass is stopped: what follows cannot change what was caught. The hooks leave with the block,
    and do not see what other threads run through the same modules.

    Args:
        sources: where to read.
        positions: `[n_rows]`, the position of each row's last real token.
    """
    captured = Captured()
    deepest = max(source.layer for source in sources)
    here = get_ident()

    def keep(source: AttentionSource, inputs: tuple[Any, ...]) -> None:
        if get_ident() != here:
            return
        hidden = inputs[0]
        rows = torch.arange(len(positions), device=hidden.device)
        hidden = hidden.reshape(len(positions), -1, source.n_heads, source.head_dim)
        captured.by_layer[source.layer] = hidden[rows, positions.to(hidden.device)]
        if source.layer == deepest:
            raise _Enough

    handles = [
        source.projection.register_forward_pre_hook(lambda _module, inputs, source=source: keep(source, inputs))
        for source in sources
    ]
    try:
        yield captured
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
