"""Prompts that begin alike: their beginning is run once, and each goes on from its keys and values.

Several questions about one image share everything up to the end of the image and of the words in front of the
question; prompts of text alone share what their template puts in front. In a causal decoder nothing in that beginning
sees what follows, so going on from it gives what the whole prompt gives.

Knows tokens and caches; no memory limits, no selection.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from savs.backbones.attention import AttentionMap, AttentionSource
from savs.backbones.capture import Captured, capture_heads
from savs.backbones.encoding import Encoder, Inputs
from savs.backbones.inputs import last_positions
from savs.data.example import Example

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Prompt:
    """One example as it will be asked.

    Attributes:
        row: its place among the examples.
        example: the example.
        text: the prompt, one image token an image.
        tokens: of the prompt, where it may share its beginning with others.
    """

    row: int
    example: Example
    text: str
    tokens: Tokens = ()


@dataclass(frozen=True)
class Tails:
    """What follows the shared beginnings.

    Attributes:
        beginning: `[n_rows]`, which beginning each row goes on from.
        lengths: `[n_beginnings]`, real tokens of each.
        input_ids: `[n_rows, n_tokens]`, padded on the right.
        attention_mask: `[n_rows, n_tokens]`, one where a token is real.
    """

    beginning: Tensor
    lengths: Tensor
    input_ids: Tensor
    attention_mask: Tensor


def obstacle(base: torch.nn.Module, config: Any, attention: AttentionMap) -> str:
    """Why a model's prompts cannot go on from keys and values of their beginning; empty where nothing speaks against.

    Layers that look back a bounded way count places, and beginnings of several lengths leave places empty; layers
    without softmax attention keep another state.
    """
    text: Any = config.get_text_config(decoder=True)
    if getattr(config, "is_encoder_decoder", False):
        return "an encoder-decoder"
    if attention.left_out:
        return f"{attention.left_out[0].reason} in layer {attention.left_out[0].layer}"
    kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        return f"{sorted(kinds)[0]} layers"
    if getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True):
        return "a sliding window"
    missing = {"position_ids", "past_key_values", "attention_mask"} - set(inspect.signature(base.forward).parameters)
    return f"a forward pass without {sorted(missing)[0]}" if missing else ""


def common_length(rows: Sequence[Tokens]) -> int:
    """How many tokens all rows begin with, leaving each at least one of its own.

    >>> common_length([(1, 2, 3, 4), (1, 2, 5)]), common_length([(1, 2), (1, 2)])
    (2, 1)
    """
    first, last = min(rows), max(rows)  # what these two share, all that lie between them share
    most = min(len(row) for row in rows) - 1
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b or i == most), most)


def split(units: Sequence[Sequence[Prompt]], encoder: Encoder) -> tuple[Inputs, Tails] | None:
    """Cut prompts into beginnings and tails.

    Only the first prompt of each unit goes through the processor: its media are the others' too.

    Args:
        units: prompts with the same media, and their tokens.
        encoder: of the model.

    Returns:
        The beginnings' inputs, one row a unit, and the tails in the order of the prompts. None where the processor
        writes a prompt's end in other tokens than the tokenizer does.
    """
    firsts = [unit[0] for unit in units]
    inputs = encoder.encode([first.example for first in firsts], [first.text for first in firsts])
    if not {"input_ids", "attention_mask"} <= set(inputs):
        return None
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    lengths: list[int] = []
    tails: list[Tokens] = []
    for unit, row, real in zip(units, ids, mask.sum(dim=1).tolist(), strict=True):
        common = common_length([prompt.tokens for prompt in unit])
        rest = len(unit[0].tokens) - common
        if tuple(row[real - rest : real].tolist()) != unit[0].tokens[common:]:
            return None
        lengths.append(real - rest)
        tails.extend(prompt.tokens[common:] for prompt in unit)
    longest = max(lengths)
    beginnings = {name: value[:, :longest] if value.shape == ids.shape else value for name, value in inputs.items()}
    counts = torch.tensor(lengths)
    beginnings["attention_mask"] = (torch.arange(longest) < counts[:, None]).to(mask.dtype)
    owner = torch.tensor([i for i, unit in enumerate(units) for _ in unit])
    width = max(map(len, tails))
    padded = torch.tensor([[*tail, *[int(ids[0, 0])] * (width - len(tail))] for tail in tails])
    ends = torch.tensor([len(tail) for tail in tails])
    return beginnings, Tails(owner, counts, padded, (torch.arange(width) < ends[:, None]).to(mask.dtype))


def read_after(
    base: Any, beginnings: Inputs, tails: Tails, sources: Sequence[AttentionSource], device: torch.device
) -> Captured:
    """Heads at the last token of every prompt: one forward pass over the beginnings, one over the tails.

    Args:
        base: the model without its vocabulary projection.
        beginnings: of `split`, on the model's device.
        tails: of `split`.
        sources: where to read; neither pass goes beyond the deepest.
        device: of the model.
    """
    cache = DynamicCache()
    if hasattr(base, "rope_deltas"):
        base.rope_deltas = None  # left from an earlier pass, where this one has no image
    with torch.inference_mode(), capture_heads(sources, last_positions(beginnings)):
        base(**beginnings, past_key_values=cache, use_cache=True)
    owner = tails.beginning.to(device)
    mask = tails.attention_mask.to(device)
    first = tails.lengths.to(device)[owner, None]
    deltas = getattr(base, "rope_deltas", None)  # images may take up fewer positions than tokens
    if deltas is not None:
        first = first + deltas.to(device)[owner]
    positions = first + torch.arange(mask.shape[1], device=device)
    cache.batch_select_indices(tails.beginning)
    with torch.inference_mode(), capture_heads(sources, mask.sum(dim=1) - 1 - mask.shape[1]) as captured:
        base(
            input_ids=tails.input_ids.to(device),
            attention_mask=torch.cat([beginnings["attention_mask"][owner], mask], dim=1),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
    return captured
