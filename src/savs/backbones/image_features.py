"""What a model makes of images, kept by the content of their pixels: an image that comes again is not run again.

Knows a model's own way from pixels to features; no prompt, no attention, no file. Keys are digests of what the
processor made: a file that changes is another image, and equal images are one wherever they lie.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from savs.backbones.encoding import Inputs


class ImageFeatures:
    """A store of image features in memory, the least lately used of which leave first.

    Args:
        base: the model without its vocabulary projection.

    Attributes:
        limit: bytes that may be kept; none at all with 0.
        obstacle: why none are kept whatever the limit; empty where nothing speaks against.
    """

    def __init__(self, base: Any) -> None:
        self.limit = 0
        self._base = base
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._makes = getattr(base, "get_image_features", None)
        self._takes = frozenset(inspect.signature(self._makes).parameters) if self._makes else frozenset[str]()
        takes_features = "mm_encoder_outputs" in inspect.signature(base.forward).parameters
        self.obstacle = "" if self._makes and takes_features else "a forward pass that takes images as pixels alone"
        #: Whether the model gives, and takes, the features of several images as one tensor.
        self._as_one_tensor = False

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(features.nbytes for features in self._kept.values())

    def hold(self, limit: int) -> None:
        """Keep so many bytes from now on."""
        self.limit = limit
        self._shrink()

    def give_up(self, reason: str) -> None:
        """Keep none from now on."""
        self.obstacle = reason
        self._kept.clear()

    def in_place_of_pixels(self, inputs: Inputs) -> dict[str, Any]:
        """The inputs of a forward pass with features where there were pixels, run for images that are not kept alone.

        Args:
            inputs: on the model's device.

        Returns:
            The inputs as they came where they have no pixels, nothing is to be kept, or images cannot be told apart.
        """
        if not self.limit or self.obstacle or self._makes is None:
            return dict(inputs)
        images = _one_by_one({name: value for name, value in inputs.items() if name in self._takes})
        if images is None:
            return dict(inputs)
        keys = [_digest(image) for image in images]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        absent = {key: image for key, image in zip(keys, images, strict=True) if key not in found}
        if absent:
            with torch.inference_mode():
                output = self._makes(**_side_by_side(list(absent.values())), return_dict=True)
            made = output.pooler_output
            if len(made) != len(absent) or set(output.keys()) - set(BaseModelOutputWithPooling.__annotations__):
                self.give_up("features that are not one for each image")
                return dict(inputs)
            self._as_one_tensor = isinstance(made, Tensor)
            found |= {key: features.clone() for key, features in zip(absent, made, strict=True)}
        for key in keys:
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        self._shrink()
        features = [found[key] for key in keys]
        output = BaseModelOutputWithPooling(pooler_output=torch.stack(features) if self._as_one_tensor else features)  # type: ignore[arg-type]
        rest = {name: value for name, value in inputs.items() if name != "pixel_values"}
        return rest | {"mm_encoder_outputs": {"image": output}}

    def _shrink(self) -> None:
        size = self.size
        while size > self.limit:
            size -= self._kept.popitem(last=False)[1].nbytes


def _one_by_one(inputs: Inputs) -> list[dict[str, Tensor]] | None:
    """What belongs to each image, or None where that does not show.

    Patches of all images in a row are told apart by the grids that come with them; else every tensor has a row for
    each image, or for the images of an example together.
    """
    if not isinstance(inputs.get("pixel_values"), Tensor) or not all(isinstance(v, Tensor) for v in inputs.values()):
        return None
    rows = {name: torch.split(value, 1) for name, value in inputs.items()}
    if "image_grid_thw" in inputs:
        patches = inputs["image_grid_thw"].prod(dim=-1).tolist()
        rows["pixel_values"] = torch.split(inputs["pixel_values"], patches)
    if len({len(parts) for parts in rows.values()}) > 1:
        return None
    return [dict(zip(rows, parts, strict=True)) for parts in zip(*rows.values(), strict=True)]


def _side_by_side(images: Sequence[dict[str, Tensor]]) -> Inputs:
    return {name: torch.cat([image[name] for image in images]) for name in images[0]}


def _digest(image: dict[str, Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(image.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\0".encode())
        digest.update(value.contiguous().view(torch.uint8).cpu().numpy().data)
    return digest.digest()
