"""Slightly other pictures of the same thing: moved, blurred, tinted, with noise. Knows no kind of image."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

#: The share of images that are out of focus, and the radius of the Gaussian, in pixels, at least and most.
BLURRED, RADIUS = 0.3, (0.4, 1.4)


def augment(image: Image.Image, rng: np.random.Generator, *, strong: bool) -> np.ndarray:
    """A slightly other picture of the same thing, as uint8 `[height, width, 3]`: moved, blurred, tinted, with noise."""
    moved = move(image, rng, reach=0.22 if strong else 0.06, turn=6.0 if strong else 0.0)
    return shade(blur(moved, rng), rng, tint=0.1 if strong else 0.04, light=6.0, noise=6.0)


def move(image: Image.Image, rng: np.random.Generator, *, reach: float, turn: float) -> Image.Image:
    """The picture scaled and shifted by up to `reach`, and turned by some `turn` degrees: its edges may be cut off."""
    side = image.size[0]
    angle = np.deg2rad(float(rng.normal(0, turn)))
    scale = 1 + float(rng.uniform(-reach, reach))
    shift = rng.uniform(-reach, reach, 2) * side / 2
    cos, sin, centre = np.cos(angle) * scale, np.sin(angle) * scale, side / 2
    matrix = (
        *(cos, sin, centre - cos * centre - sin * centre + shift[0]),
        *(-sin, cos, centre + sin * centre - cos * centre + shift[1]),
    )
    corner = image.getpixel((1, 1))
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=corner)


def blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture, and in three cases of ten the picture out of focus."""
    if rng.random() >= BLURRED:
        return image
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(*RADIUS))))


def shade(image: Image.Image, rng: np.random.Generator, *, tint: float, light: float, noise: float) -> np.ndarray:
    """Pixels in another light: each channel scaled by some `tint`, all moved by some `light`, up to `noise` on each."""
    pixels = np.asarray(image, np.float32) * rng.normal(1, tint, 3) + float(rng.normal(0, light))
    pixels = pixels + rng.normal(0, float(rng.uniform(0, noise)), pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)
