"""What a model is tried on: prompts of many lengths and drawn images, with labels. Knows no model and no check."""

from __future__ import annotations

import numpy as np
from PIL import Image

from savs.data.example import Example, Media
from savs.demo.scenes import SHAPES, render, sample_scene

#: Kinds of thing, and things of each kind.
THINGS = {
    "animal": ("fox", "heron", "beetle", "salmon", "goat", "owl", "lizard", "whale"),
    "food": ("bread", "soup", "cheese", "apple", "rice", "honey", "pasta", "olive"),
    "tool": ("hammer", "saw", "wrench", "drill", "chisel", "spade", "pliers", "axe"),
    "place": ("harbour", "desert", "village", "forest", "island", "airport", "castle", "valley"),
}
#: Written before the question, so that prompts of one batch differ in length.
_ASIDES = ("", "Think first. ", "Take the plain sense of the word, as a child would. ", "In short: ")
#: Sides of drawn images: not all alike, so that processors that cut or scale by shape have something to do.
_SIDES = (64, 96, 160, 80)


def text_examples(per_class: int = 8) -> list[Example]:
    """Labelled prompts of four kinds of thing, one of each kind in turn, of mixed lengths."""
    return [
        Example(f"{kind}-{i}", f"{_ASIDES[(i + j) % len(_ASIDES)]}What kind of thing is this: {things[i]}?", label=kind)
        for i in range(per_class)
        for j, (kind, things) in enumerate(THINGS.items())
    ]


def image_examples(per_class: int = 8, *, images: int = 1) -> list[Example]:
    """Labelled drawings of four shapes, one of each shape in turn; prompts of mixed lengths.

    Args:
        per_class: drawings of each shape.
        images: in each example; all show its shape.
    """
    rng = np.random.default_rng(0)
    examples = []
    for i in range(per_class):
        for j, shape in enumerate(SHAPES[:4]):
            media = tuple(Media(_drawing(rng, shape, _SIDES[(i + j) % len(_SIDES)])) for _ in range(images))
            text = f"{_ASIDES[(i + 3 * j) % len(_ASIDES)]}Which shape is drawn?"
            examples.append(Example(f"{shape}-{i}", text, media, label=shape))
    return examples


def _drawing(rng: np.random.Generator, shape: str, side: int) -> Image.Image:
    while True:
        scene = sample_scene(rng, n_objects=1, held_out=None)
        if scene.objects[0].shape == shape:
            return render(scene, side)
