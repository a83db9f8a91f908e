"""Reading attention heads: find them in any transformer, and catch their outputs as it runs.

Knows no model family, no processor and no file: structure alone decides. What is caught is the input of each
attention output projection, which is `softmax(Q K^T / sqrt(d)) V` of all heads side by side (arXiv 2412.00142,
section 3), at one position a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from savs.errors import BackboneError
from savs.features import HeadId, HeadLayout

#: What transformers calls the output projection of an attention module, most usual first.
PROJECTION_NAMES = ("o_proj", "out_proj", "dense", "c_proj", "wo", "o", "out_lin")

#: What it calls the number of heads and the size of one, on the module or in its configuration.
_COUNT_NAMES = ("num_heads", "num_attention_heads", "n_heads", "n_head")


@dataclass(frozen=True)
class AttentionSource:
    """Where the heads of one layer can be read.

    Attributes:
        layer: index of the decoder layer.
        name: path of the projection in the model.
        projection: the module whose input holds the heads side by side.
        n_heads: how many.
        head_dim: how wide each.
    """

    layer: int
    name: str
    projection: nn.Module
    n_heads: int
    head_dim: int


def find_attention(model: nn.Module, *, pattern: str = "") -> tuple[AttentionSource, ...]:
    """Find the self-attention output projections of a model's text decoder, by structure.

    Args:
        model: a transformers model.
        pattern: a regular expression that names the projections by hand (matched against the whole module path),
            for a model that the search does not understand.

    Returns:
        One source a layer, in layer order.

    Raises:
        BackboneError: there is none, or the size of a head cannot be told.
    """
    decoder, prefix = _text_decoder(model) if not pattern else (model, "")
    sources = []
    for name, module in decoder.named_modules(prefix=prefix):
        if pattern:
            parent, _, child = name.rpartition(".")
            if re.fullmatch(pattern, name) is None:
                continue
            attention = model.get_submodule(parent)
        else:
            child = _projection_name(module)
            attention = module
            if not child or _is_cross_attention(name, module):
                continue
            name = f"{name}.{child}"
        sources.append(_describe(name, attention, getattr(attention, child)))
    if not sources:
        raise BackboneError(
            f"found no attention heads in {type(model).__name__}"
            + (f" with the pattern {pattern!r}" if pattern else "")
            + "; expected attention modules with an output projection named "
            + ", ".join(PROJECTION_NAMES)
            + ". Name the projections with attention_modules=, a regular expression over module paths"
        )
    sources.sort(key=lambda source: source.layer)
    layers = [source.layer for source in sources]
    if len(set(layers)) != len(layers):
        doubled = [s.name for s in sources if layers.count(s.layer) > 1]
        raise BackboneError(
            f"more than one attention module a layer in {type(model).__name__}: {', '.join(doubled[:4])}. "
            "Name the right ones with attention_modules=, a regular expression over module paths"
        )
    return tuple(sources)


def layout_of(sources: Sequence[AttentionSource]) -> HeadLayout:
    """All heads of the sources, the widest giving the head size."""
    heads = tuple(HeadId(source.layer, head) for source in sources for head in range(source.n_heads))
    return HeadLayout(heads, max(source.head_dim for source in sources))


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
    source the forward pass is stopped: what follows cannot change what was caught. The hooks leave with the block.

    Args:
        sources: where to read.
        positions: `[n_rows]`, the position of each row's last real token.
    """
    captured = Captured()
    deepest = max(source.layer for source in sources)

    def keep(source: AttentionSource, inputs: tuple[Any, ...]) -> None:
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


def _text_decoder(model: nn.Module) -> tuple[nn.Module, str]:
    """The text decoder and its path in the model."""
    get_decoder: Any = getattr(model, "get_decoder", None)
    decoder = get_decoder() if get_decoder is not None else model
    for name, module in model.named_modules():
        if module is decoder:
            return decoder, name
    return model, ""


def _projection_name(module: nn.Module) -> str:
    """The child that projects the heads' outputs, if `module` looks like attention."""
    if "attention" not in type(module).__name__.lower():
        return ""
    return next((name for name in PROJECTION_NAMES if _in_features(getattr(module, name, None))), "")


def _is_cross_attention(name: str, module: nn.Module) -> bool:
    return any("cross" in word.lower() for word in (*name.split("."), type(module).__name__))


def _in_features(projection: Any) -> int:
    """Input width of a linear module of any kind, quantised ones included; 0 for anything else."""
    if type(projection).__name__ == "Conv1D":  # GPT-2's linear layer, stored transposed
        return int(projection.weight.shape[0])
    width = getattr(projection, "in_features", None)
    return width if isinstance(projection, nn.Module) and isinstance(width, int) else 0


def _describe(name: str, attention: nn.Module, projection: nn.Module) -> AttentionSource:
    width = _in_features(projection)
    config: Any = getattr(attention, "config", None)
    head_dim: Any = getattr(attention, "v_head_dim", None) or getattr(attention, "head_dim", None)
    if not head_dim:
        owners = (attention, config.get_text_config() if hasattr(config, "get_text_config") else config)
        counts = (getattr(owner, count, None) for owner in owners for count in _COUNT_NAMES)
        n_heads = next((count for count in counts if isinstance(count, int)), 0)
        head_dim = width // n_heads if n_heads and width % n_heads == 0 else 0
    if not head_dim or width % head_dim:
        raise BackboneError(
            f"cannot tell the size of a head at {name}: the projection takes {width} values and the module says "
            f"head_dim={head_dim!r}. Please report this model family"
        )
    layer = getattr(attention, "layer_idx", None)
    if not isinstance(layer, int):
        numbers = re.findall(r"\.(\d+)(?=\.|$)", name)
        if not numbers:
            raise BackboneError(f"cannot tell the layer of {name}: its path holds no number")
        layer = int(numbers[0])
    return AttentionSource(layer, name, projection, width // int(head_dim), int(head_dim))
