"""Writing attention heads: put given vectors in place of some heads' outputs at the last prompt token.

The counterpart of `capture`, at the same place in the model. Knows no task, no label, and not how heads are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from savs.backbones.attention import AttentionSource
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.backbones.likelihood import answer_logits
from savs.backbones.memory import halving
from savs.data.example import Example
from savs.features import FloatArray

Bools = NDArray[np.bool_]


@contextmanager
def replaced_heads(
    sources: Sequence[AttentionSource], vectors: Tensor, gates: Tensor, positions: Tensor
) -> Iterator[None]:
    """Replace heads' outputs in the forward passes run inside the `with` block.

    A pass over one token a row is left alone: it writes on behind a prompt, and the prompt's end has gone by.

    Args:
        sources: where heads are, all of the model's.
        vectors: `[n_heads, head_dim]`, what to put in their place, heads of all layers in order.
        gates: `[n_rows, n_heads]` or `[1, n_heads]`, which heads to replace.
        positions: `[n_rows]`, where; negative ones count from the end.
    """

    def write(source: AttentionSource, first: int, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        hidden: Tensor = inputs[0]
        n_rows = len(positions)
        by_row = hidden.reshape(n_rows, -1, source.n_heads, source.head_dim)
        if by_row.shape[1] == 1:
            return None
        these = slice(first, first + source.n_heads)
        replace = gates[:, these].to(hidden.device)[..., None]
        vector = vectors[these, : source.head_dim].to(hidden)
        rows, where = torch.arange(n_rows, device=hidden.device), positions.to(hidden.device)
        changed = by_row.clone()
        changed[rows, where] = torch.where(replace, vector, by_row[rows, where])
        return (changed.reshape(hidden.shape), *inputs[1:])

    handles = []
    first = 0
    for source in sources:
        handles.append(
            source.projection.register_forward_pre_hook(
                lambda _module, inputs, source=source, first=first: write(source, first, inputs)
            )
        )
        first += source.n_heads
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def steered(backbone: HuggingFaceBackbone, vectors: FloatArray, gates: Bools) -> Iterator[None]:
    """Let a backbone answer with some heads replaced at the prompt's last token, inside the `with` block.

    `generate` and `answer_log_likelihoods` answer otherwise; `head_activations` stays what it is.

    Args:
        backbone: the frozen model.
        vectors: `[n_heads, head_dim]`, in the order of its layout.
        gates: `[n_heads]` or `[n_rows, n_heads]`, which heads to replace.
    """
    before = backbone.edited
    chosen = torch.from_numpy(np.atleast_2d(gates))
    backbone.edited = lambda last: replaced_heads(backbone.sources, torch.from_numpy(vectors), chosen, last)
    try:
        yield
    finally:
        backbone.edited = before


def first_token_losses(
    backbone: HuggingFaceBackbone,
    example: Example,
    answer: str,
    vectors: FloatArray,
    gates: Bools,
    *,
    batch_size: int = 8,
) -> NDArray[np.float64]:
    """Cross-entropy of the answer's first token, for each choice of the heads that are replaced.

    Args:
        backbone: the frozen model.
        example: the prompt.
        answer: what should follow it.
        vectors: `[n_heads, head_dim]`, in the order of the layout.
        gates: `[n_choices, n_heads]`, which heads to replace.
        batch_size: choices in one forward pass.

    Returns:
        `[n_choices]`, in nats.

    Raises:
        BackboneError: the prompt alone does not fit in memory; or as `answer_logits`.
    """
    losses = []
    for start in range(0, len(gates), batch_size):
        drawn = gates[start : start + batch_size]
        rows = [example] * len(drawn)
        losses += halving(
            rows, partial(_first_token_losses, backbone, rows, answer, vectors, drawn), backbone.model.device
        )
    return np.concatenate(losses)


@torch.inference_mode()
def _first_token_losses(
    backbone: HuggingFaceBackbone,
    rows: Sequence[Example],
    answer: str,
    vectors: FloatArray,
    gates: Bools,
    part: slice,
) -> NDArray[np.float64]:
    with steered(backbone, vectors, gates[part]):
        logits, tokens, row = answer_logits(backbone, rows[part], [answer] * len(rows[part]))
    first = torch.searchsorted(row, torch.arange(len(rows[part]), device=row.device))
    chosen = logits[first].log_softmax(dim=-1).gather(1, tokens[first, None])[:, 0]
    return np.asarray(-chosen.double().cpu().numpy())
