"""Where a model's attention heads can be read: found by structure, in any transformer.

Knows no model family, no processor and no input. Heads are softmax heads of the text decoder's self-attention; what
stands beside them (image towers, encoders, cross-attention, linear attention, convolutions, state spaces) is left out
by what it is and reported by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from savs.errors import HeadSearchError
from savs.features import HeadId, HeadLayout

#: What transformers calls the output projection of an attention module, most usual first.
PROJECTION_NAMES = ("o_proj", "out_proj", "dense", "c_proj", "wo", "o", "out_lin", "output")

#: What it calls the size of a head, and the number of heads, on the module or in its configuration.
_SIZE_NAMES = ("v_head_dim", "head_dim", "attention_head_size", "key_value_proj_dim", "head_size")
_COUNT_NAMES = ("num_heads", "num_attention_heads", "n_heads", "n_head")

#: Children of an attention module that change the heads' outputs before they are projected.
_GATES = {"g_proj", "gate_proj", "gate", "o_gate", "inner_attn_ln"}

_CROSS = re.compile(r"cross|x_attn|encoder_attn|enc(oder)?_?dec(oder)?_?att", re.IGNORECASE)
_WITHOUT_SOFTMAX = re.compile(r"linear|lightning|delta|mamba|retention|recurrent", re.IGNORECASE)


@dataclass(frozen=True)
class AttentionSource:
    """Where the heads of one layer can be read.

    Attributes:
        layer: index of the decoder layer.
        name: path of the projection in the model.
        projection: the module whose input holds the heads side by side.
        n_heads: how many.
        head_dim: how wide each.
        gated: whether the model gates or normalises the heads' outputs before it projects them: what is read is then
            the outcome of that.
    """

    layer: int
    name: str
    projection: nn.Module
    n_heads: int
    head_dim: int
    gated: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A part of the decoder that is not read, and why.

    Attributes:
        layer: index of the decoder layer.
        name: path of the module.
        reason: what it is, such as `cross-attention` or `linear_attention`.
    """

    layer: int
    name: str
    reason: str


@dataclass(frozen=True)
class AttentionMap:
    """What a decoder holds: the sources in layer order, and what was left out."""

    sources: tuple[AttentionSource, ...]
    left_out: tuple[LeftOut, ...] = ()


def find_attention(model: nn.Module, *, pattern: str = "") -> tuple[AttentionSource, ...]:
    """The self-attention output projections of a model's text decoder. See `map_attention`."""
    return map_attention(model, pattern=pattern).sources


def map_attention(model: nn.Module, *, pattern: str = "") -> AttentionMap:
    """Find the self-attention output projections of a model's text decoder, by structure.

    Args:
        model: a transformers model.
        pattern: a regular expression that names the projections by hand (matched against the whole module path),
            for a model that the search does not understand.

    Returns:
        One source a layer, in layer order, and what of the decoder is not read.

    Raises:
        HeadSearchError: there is none, the size of a head cannot be told, or a layer has two.
    """
    left_out: list[LeftOut] = []
    if pattern:
        sources = [_describe(model, name) for name in _named_by_hand(model, pattern)]
    else:
        decoder, prefix = _text_decoder(model)
        sources = []
        for attention, name in _attention_of_text(decoder, prefix):
            reason = _why_not(model.get_submodule(attention), attention.removeprefix(prefix))
            if reason:
                left_out.append(LeftOut(_layer_of(model.get_submodule(attention), attention), attention, reason))
            else:
                sources.append(_describe(model, name))
    if not sources:
        raise HeadSearchError(
            f"found no attention heads in {type(model).__name__}; expected attention modules with an output projection "
            f"named {', '.join(PROJECTION_NAMES)}. Name the projections with attention_modules=, a regular expression "
            "over module paths"
        )
    sources.sort(key=lambda source: source.layer)
    layers = [source.layer for source in sources]
    if len(set(layers)) != len(layers):
        doubled = [s.name for s in sources if layers.count(s.layer) > 1]
        raise HeadSearchError(
            f"more than one attention module a layer in {type(model).__name__}: {', '.join(doubled[:4])}. "
            "Name the right ones with attention_modules=, a regular expression over module paths"
        )
    if not pattern:
        left_out.extend(_layers_without_attention(model, sources, left_out))
    return AttentionMap(tuple(sources), tuple(sorted(left_out, key=lambda part: (part.layer, part.name))))


def layout_of(sources: Sequence[AttentionSource]) -> HeadLayout:
    """All heads of the sources, the widest giving the head size."""
    heads = tuple(HeadId(source.layer, head) for source in sources for head in range(source.n_heads))
    return HeadLayout(heads, max(source.head_dim for source in sources))


def _named_by_hand(model: nn.Module, pattern: str) -> list[str]:
    """Paths of the linear modules that a pattern matches."""
    try:
        named = re.compile(pattern)
    except re.error as error:
        raise HeadSearchError(
            f"attention_modules={pattern!r} is no regular expression: {error}; a dot of a path is written \\."
        ) from error
    found = [name for name, module in model.named_modules() if named.fullmatch(name) and _in_features(module)]
    if not found:
        raise HeadSearchError(
            f"attention_modules={pattern!r} names no linear module of {type(model).__name__}; it must match the whole "
            "path of each, such as model.layers.0.self_attn.o_proj"
        )
    return found


def _text_decoder(model: nn.Module) -> tuple[nn.Module, str]:
    """The text decoder and its path in the model."""
    get_decoder: Any = getattr(model, "get_decoder", None)
    decoder = get_decoder() if get_decoder is not None else model
    if isinstance(getattr(decoder, "encoder", None), nn.Module):
        decoder = getattr(decoder, "decoder", decoder)  # an encoder-decoder writes with one half of itself
    for name, module in model.named_modules():
        if module is decoder:
            return decoder, name
    return model, ""


def _attention_of_text(decoder: nn.Module, prefix: str) -> Iterator[tuple[str, str]]:
    """Paths of attention modules and of their projections, without those of towers inside the decoder."""
    tower = ""
    text: type | None = type(_text_config(decoder)) if hasattr(decoder, "config") else None
    for name, module in decoder.named_modules(prefix=prefix):
        if tower and name.startswith(tower):
            continue
        config = getattr(module, "config", None)
        if text is not None and hasattr(config, "model_type") and type(config) is not text and module is not decoder:
            if type(_text_config(module)) is not text:
                tower = f"{name}."
                continue
        child = _projection_name(module)
        if child:
            yield name, f"{name}.{child}"


def _text_config(module: Any) -> Any:
    config = module.config
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def _projection_name(module: nn.Module) -> str:
    """Path of the projection of the heads' outputs under `module`, if that looks like attention."""
    if "attention" not in type(module).__name__.lower():
        return ""
    for name in PROJECTION_NAMES:
        child = getattr(module, name, None)
        if _in_features(child):
            return name
        # As in BERT: `attention.self` computes the heads, `attention.output` projects them and adds the residual.
        if name == "output" and hasattr(module, "self") and _in_features(getattr(child, "dense", None)):
            return "output.dense"
    return ""


def _why_not(attention: nn.Module, path: str) -> str:
    """Why the heads of an attention module are not read, or nothing."""
    kind = type(attention).__name__
    if _CROSS.search(path) or _CROSS.search(kind):
        return "cross-attention"
    if _WITHOUT_SOFTMAX.search(kind) or hasattr(attention, "conv1d"):
        return "linear attention"
    return ""


def _layers_without_attention(
    model: nn.Module, sources: Sequence[AttentionSource], left_out: Sequence[LeftOut]
) -> Iterator[LeftOut]:
    """Layers beside those of the sources, which hold no attention at all."""
    head, _, _ = sources[-1].name.rpartition(f".{sources[-1].layer}.")
    layers = model.get_submodule(head) if head else None
    if not isinstance(layers, nn.ModuleList):
        return
    seen = {source.layer for source in sources} | {part.layer for part in left_out}
    owner: Any = model.get_submodule(head.rpartition(".")[0])
    config = _text_config(owner) if hasattr(owner, "config") else None
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ()
    for layer in range(len(layers)):
        if layer not in seen:
            kind = kinds[layer] if len(kinds) == len(layers) else "no attention"
            yield LeftOut(layer, f"{head}.{layer}", str(kind))


def _in_features(projection: Any) -> int:
    """Input width of a linear module of any kind, quantised ones included; 0 for anything else."""
    if type(projection).__name__ == "Conv1D":  # GPT-2's linear layer, stored transposed
        return int(projection.weight.shape[0])
    width = getattr(projection, "in_features", None)
    return width if isinstance(projection, nn.Module) and isinstance(width, int) else 0


def _describe(model: nn.Module, name: str) -> AttentionSource:
    """The source whose projection stands at `name`."""
    projection = model.get_submodule(name)
    attention: nn.Module = model.get_submodule(name.rpartition(".")[0])
    if name.endswith(".output.dense"):
        attention = model.get_submodule(name.removesuffix(".output.dense")).get_submodule("self")
    width = _in_features(projection)
    head_dim: Any = next((size for size in (getattr(attention, name, None) for name in _SIZE_NAMES) if size), None)
    if not head_dim:
        owners = (attention, *(_text_config(owner) for owner in (attention, model) if hasattr(owner, "config")))
        counts = (getattr(owner, count, None) for owner in owners for count in _COUNT_NAMES)
        n_heads = next((count for count in counts if isinstance(count, int)), 0)
        head_dim = width // n_heads if n_heads and width % n_heads == 0 else 0
    if not head_dim or width % head_dim:
        said = f"its module says head_dim={head_dim}" if head_dim else "nothing says how many heads make them"
        raise HeadSearchError(
            f"cannot tell the size of a head at {name}: the projection takes {width} values, and {said}. Expected the "
            f"projection of the heads' outputs, in a module or a configuration with {' or '.join(_COUNT_NAMES)}"
        )
    return AttentionSource(
        _layer_of(attention, name), name, projection, width // int(head_dim), int(head_dim), _gated(attention, width)
    )


def _layer_of(attention: nn.Module, name: str) -> int:
    layer = getattr(attention, "layer_idx", None)
    if isinstance(layer, int):
        return layer
    numbers = re.findall(r"\.(\d+)(?=\.|$)", name)
    if not numbers:
        raise HeadSearchError(f"cannot tell the layer of {name}: its path holds no number")
    return int(numbers[0])


def _gated(attention: nn.Module, width: int) -> bool:
    """Whether a child gates the heads, or the query projection gives a gate beside the queries."""
    if any(name in _GATES for name, _ in attention.named_children()):
        return True
    key_width = getattr(attention, "qk_head_dim", None)
    return not key_width and getattr(getattr(attention, "q_proj", None), "out_features", 0) == 2 * width
