"""What captured heads can be held against: the output of the very projections whose input they are.

Knows hooks and shapes; no verdict and no tolerance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from savs.backbones.attention import AttentionSource
from savs.backbones.inputs import last_positions
from savs.backbones.loading import auto_class, load_config, locate, writer

if TYPE_CHECKING:
    from savs.backbones.huggingface import HuggingFaceBackbone
    from savs.data.example import Example


@contextmanager
def watch_projections(sources: Sequence[AttentionSource], positions: Tensor) -> Iterator[dict[int, Tensor]]:
    """Keep what each projection gives at one position a row: layer to `[n_rows, width]`, filled by a forward pass.

    Args:
        sources: the projections.
        positions: `[n_rows]`, as for `capture_heads`.
    """
    outputs: dict[int, Tensor] = {}

    def keep(layer: int, output: Tensor) -> None:
        rows = torch.arange(len(positions), device=output.device)
        by_row = output.reshape(len(positions), -1, output.shape[-1])
        outputs[layer] = by_row[rows, positions.to(output.device)]

    handles = [
        source.projection.register_forward_hook(
            lambda _module, _inputs, output, layer=source.layer: keep(layer, output)
        )
        for source in sources
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def project(sources: Sequence[AttentionSource], z: Tensor, like: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Captured heads put through each layer's projection: layer to `[n_rows, width]`.

    Args:
        sources: the projections, in the order of the heads.
        z: `[n_rows, n_heads_in_all, head_dim]`.
        like: outputs of the same projections, whose device and dtype the heads are brought to; other layers are left
            out.
    """
    outputs, column = {}, 0
    for source in sources:
        heads = z[:, column : column + source.n_heads, : source.head_dim].flatten(1)
        column += source.n_heads
        if source.layer in like:
            heads = heads.to(like[source.layer].device, like[source.layer].dtype)
            outputs[source.layer] = source.projection(heads[:, None])[:, 0]
    return outputs


def projection_errors(backbone: HuggingFaceBackbone, example: Example) -> dict[int, float]:
    """How far a backbone's heads, put through each projection, are from what it gave in a pass of its own.

    Returns:
        The largest difference in each layer, as a share of the layer's largest output.
    """
    z = torch.from_numpy(backbone.head_activations([example]))
    inputs = backbone._inputs([example])
    with torch.inference_mode(), watch_projections(backbone.sources, last_positions(inputs)) as given:
        backbone._base(**inputs, use_cache=False)
    with torch.inference_mode():
        projected = project(backbone.sources, z, given)
    return {layer: relative_difference(projected[layer], output) for layer, output in given.items()}


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference of two arrays, as a share of the largest expected value."""
    largest = float(expected.abs().max())
    return float((found.to(expected.device) - expected).abs().max()) / largest if largest else float(found.abs().max())


@dataclass(frozen=True)
class Candidate:
    """Linear modules that stand at one place in each of several layers.

    Attributes:
        pattern: a regular expression that names them, for `attention_modules`.
        layers: how many there are.
        width_in: values that each takes.
        width_out: values that each gives.
    """

    pattern: str
    layers: int
    width_in: int
    width_out: int


def candidates(id_or_path: str | Path, *, revision: str | None = None) -> tuple[Candidate, ...]:
    """The linear modules of a model by place, for choosing attention output projections by hand.

    The model is built without its weights, so that this takes seconds whatever its size.

    Raises:
        BackboneError: its configuration cannot be read.
    """
    _, place = locate(id_or_path)
    config = load_config(place, revision=revision)
    with torch.device("meta"):
        model = writer(auto_class(config).from_config(config))
    found: dict[str, list[nn.Linear]] = {}
    for name, module in model.named_modules():
        pattern = re.sub(r"\\\.\d+(?=\\\.|$)", r"\\.\\d+", re.escape(name))
        if isinstance(module, nn.Linear) and pattern != re.escape(name):
            found.setdefault(pattern, []).append(module)
    return tuple(
        Candidate(pattern, len(modules), modules[0].in_features, modules[0].out_features)
        for pattern, modules in found.items()
    )
