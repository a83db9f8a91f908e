"""What every method of the benchmark works on: features of the model, of its controls, and of the images alone.

Each array is made once for a task; fitting and scoring never run a model. Knows no method and no score.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from savs.backbones.huggingface import HuggingFaceBackbone
from savs.data.example import Example
from savs.data.media import open_image
from savs.demo.tasks import DemoTask
from savs.errors import BackboneError
from savs.extraction import extract
from savs.features import FloatArray

#: Examples in one forward pass, and the side to which images are brought before their pixels are compared.
BATCH_SIZE = 32
PIXEL_SIDE = 64


@dataclass(frozen=True)
class Features:
    """One kind of features of a task: `[n_samples, n_heads, head_dim]`, or `[n_samples, n_dimensions]`."""

    pool: FloatArray
    test: FloatArray


def random_weights(backbone: HuggingFaceBackbone, seed: int) -> HuggingFaceBackbone:
    """The same architecture, every weight drawn anew as the library draws them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = type(backbone.model)(copy.deepcopy(backbone.model.config))
    model = model.to(device=backbone.model.device, dtype=backbone.model.dtype).eval()
    spec = replace(backbone.spec, revision=f"{backbone.spec.revision}, random weights, seed {seed}")
    return HuggingFaceBackbone(model, backbone.processor, spec)


def random_decoder(backbone: HuggingFaceBackbone, seed: int) -> HuggingFaceBackbone:
    """The trained vision tower and projector under a text decoder whose weights are drawn anew.

    Raises:
        BackboneError: the model does not keep its decoder apart from what stands before it.
    """
    drawn = random_weights(backbone, seed)
    trained = {name: value for name, value in backbone.model.state_dict().items() if not _is_decoder(name)}
    if len(trained) in (0, len(backbone.model.state_dict())):
        raise BackboneError(f"{backbone.spec.model} has no part called language_model to draw anew")
    drawn.model.load_state_dict(trained, strict=False)
    drawn.spec = replace(backbone.spec, revision=f"{backbone.spec.revision}, random decoder, seed {seed}")
    return drawn


def backbones_of(trained: HuggingFaceBackbone, seed: int) -> dict[str, HuggingFaceBackbone]:
    """The trained model and its two controls, by the name of the features that they give."""
    return {
        "heads": trained,
        "random decoder": random_decoder(trained, seed),
        "random weights": random_weights(trained, seed),
    }


def features_of_task(backbones: Mapping[str, HuggingFaceBackbone], task: DemoTask) -> dict[str, Features]:
    """Every kind of features of the task's examples, by name; `backbones` come from `backbones_of`."""
    trained = backbones["heads"]
    kinds: dict[str, Callable[[Sequence[Example]], FloatArray]] = {
        "pixels": pixels,
        "tower, mean": partial(pooled_tower, trained, with_max=False),
        "tower, mean and max": partial(pooled_tower, trained, with_max=True),
        **{name: partial(_heads, backbone) for name, backbone in backbones.items()},
    }
    return {name: Features(read(task.pool), read(task.test)) for name, read in kinds.items()}


def _heads(backbone: HuggingFaceBackbone, examples: Sequence[Example]) -> FloatArray:
    return extract(backbone, examples, batch_size=BATCH_SIZE).z


def pixels(examples: Sequence[Example]) -> FloatArray:
    """`[n_samples, n_media * 64 * 64 * 3]`: the images' pixels, side by side."""
    return np.stack([np.concatenate([_pixels(image) for image in _images(example)]) for example in examples])


def pooled_tower(backbone: HuggingFaceBackbone, examples: Sequence[Example], *, with_max: bool) -> FloatArray:
    """`[n_samples, n_media * dimensions]`: the vision tower's tokens, their mean, or mean and maximum side by side.

    Raises:
        BackboneError: the model has no part called vision_tower.
    """
    base = getattr(backbone.model, "model", None)
    tower = getattr(base, "vision_tower", None)
    if tower is None:
        raise BackboneError(f"{backbone.spec.model} has no part called vision_tower, whose tokens could be pooled")
    images = [image for example in examples for image in _images(example)]
    pooled: list[NDArray[np.float32]] = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = backbone.processor.image_processor(images[start : start + BATCH_SIZE], return_tensors="pt")
        with torch.inference_mode():
            values = batch["pixel_values"].to(backbone.model.device, backbone.model.dtype)
            tokens = tower(values).last_hidden_state.float()
        parts = [tokens.mean(dim=1), tokens.amax(dim=1)] if with_max else [tokens.mean(dim=1)]
        pooled.extend(torch.cat(parts, dim=1).cpu().numpy())
    rows = np.cumsum([0, *(len(example.media) for example in examples)])
    return np.stack([np.concatenate(pooled[first:last]) for first, last in zip(rows[:-1], rows[1:], strict=True)])


def _pixels(image: Image.Image) -> FloatArray:
    small = image.resize((PIXEL_SIDE, PIXEL_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32).ravel() / 255


def _is_decoder(name: str) -> bool:
    return "language_model" in name or name.startswith("lm_head")


def _images(example: Example) -> list[Image.Image]:
    return [open_image(media) for media in example.media]
