"""Scenes of a few simple objects: drawing them, describing them, and telling lies about them.

Everything follows from a numpy `Generator`, so a seed is a data set. Knows no question, no label and no model:
training writes its questions over these scenes, and the demo writes others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from savs.demo.holdout import is_held_out_combination

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart", "diamond", "ring", "moon", "arrow")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "green": (40, 150, 50),
    "blue": (40, 70, 215),
    "yellow": (240, 205, 30),
    "orange": (245, 130, 20),
    "purple": (130, 40, 165),
    "pink": (250, 130, 190),
    "teal": (20, 165, 165),
    "brown": (120, 72, 35),
    "black": (20, 20, 20),
}
SIZES: dict[str, float] = {"small": 0.13, "large": 0.2}  # half the width, as a share of the image's side
TEXTURES = ("plain", "striped", "dotted")
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (250, 250, 250),
    "grey": (190, 190, 190),
    "cream": (245, 232, 205),
    "sky": (200, 225, 245),
    "mint": (208, 240, 215),
    "lilac": (226, 212, 242),
}

Relation = Literal["left of", "right of", "above", "below"]
RELATIONS: tuple[Relation, ...] = ("left of", "right of", "above", "below")
OPPOSITE: dict[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
_SUPERSAMPLING = 3
_TRIES = 200


@dataclass(frozen=True)
class Object:
    """One drawn object. `x` and `y` are its centre as shares of the image's side, from the upper left corner."""

    shape: str
    colour: str
    size: str
    texture: str
    x: float
    y: float

    @property
    def name(self) -> str:
        """Colour and shape, such as `red star`: what tells objects of one scene apart."""
        return f"{self.colour} {self.shape}"

    @property
    def is_held_out(self) -> bool:
        """Whether training never saw this shape in this colour."""
        return is_held_out_combination(self.shape, self.colour)


@dataclass(frozen=True)
class Scene:
    """Objects on a plain background, in drawing order (a later one covers an earlier one)."""

    objects: tuple[Object, ...]
    background: str


@cache
def combinations(*, held_out: bool | None) -> tuple[tuple[str, str], ...]:
    """All (shape, colour) pairs: those kept out of training, those not, or (None) both."""
    pairs = ((shape, colour) for shape in SHAPES for colour in COLOURS)
    return tuple(pair for pair in pairs if held_out is None or is_held_out_combination(*pair) == held_out)


def sample_scene(
    rng: np.random.Generator,
    *,
    n_objects: int | None = None,
    held_out: bool | None = False,
    min_distance: float = 0.33,
    distinct: Literal["pair", "shape", "colour", "both"] = "pair",
) -> Scene:
    """Draw a scene at random.

    Args:
        rng: the only source of chance.
        n_objects: how many objects; by default one to four.
        held_out: False gives only combinations of shape and colour that training sees, True only those it never
            sees, None any.
        min_distance: how far apart centres are, as a share of the side; below twice the largest half-width (0.4)
            objects may overlap. It is lowered where the objects would not fit.
        distinct: what no two objects share: the pair of shape and colour, the shape, the colour, or both of them.
    """
    count = int(rng.integers(1, 5)) if n_objects is None else n_objects
    pairs = combinations(held_out=held_out)
    for _ in range(_TRIES):
        chosen = [pairs[i] for i in rng.choice(len(pairs), size=count, replace=False)]
        shapes = {shape for shape, _ in chosen}
        colours = {colour for _, colour in chosen}
        if (distinct in ("shape", "both") and len(shapes) < count) or (
            distinct in ("colour", "both") and len(colours) < count
        ):
            continue
        break
    else:
        raise ValueError(f"cannot draw {count} objects that share no {distinct}: ask for fewer objects")
    places = _places(rng, count, min_distance)
    sizes, textures = tuple(SIZES), TEXTURES
    objects = tuple(
        Object(
            shape,
            colour,
            sizes[int(rng.integers(len(sizes)))],
            textures[int(rng.choice(len(textures), p=(0.5, 0.25, 0.25)))],
            x,
            y,
        )
        for (shape, colour), (x, y) in zip(chosen, places, strict=True)
    )
    return Scene(objects, tuple(BACKGROUNDS)[int(rng.integers(len(BACKGROUNDS)))])


def _places(rng: np.random.Generator, count: int, min_distance: float) -> list[tuple[float, float]]:
    """Centres at least `min_distance` apart, inside the image."""
    while True:
        places: list[tuple[float, float]] = []
        for _ in range(_TRIES):
            place = (float(rng.uniform(0.17, 0.83)), float(rng.uniform(0.17, 0.83)))
            if all(math.dist(place, other) >= min_distance for other in places):
                places.append(place)
            if len(places) == count:
                return places
        min_distance *= 0.9


def render(scene: Scene, size: int = 64) -> Image.Image:
    """Draw a scene as an RGB image of `size` x `size` pixels."""
    side = size * _SUPERSAMPLING
    image = Image.new("RGB", (side, side), BACKGROUNDS[scene.background])
    for item in scene.objects:
        mask = Image.new("L", (side, side), 0)
        _draw_shape(ImageDraw.Draw(mask), item.shape, item.x * side, item.y * side, SIZES[item.size] * side)
        image.paste(_paint(item, side), (0, 0), mask)
    return image.resize((size, size), Image.Resampling.BOX)


def _paint(item: Object, side: int) -> Image.Image:
    """The object's colour and texture over the whole image; the shape's mask cuts it out."""
    colour = COLOURS[item.colour]
    paint = Image.new("RGB", (side, side), colour)
    if item.texture == "plain":
        return paint
    draw = ImageDraw.Draw(paint)
    mark = tuple(int(c + (255 - c) * 0.5) for c in colour)
    pitch = side / 12
    steps = [i * pitch for i in range(13)]
    if item.texture == "striped":
        for start in steps:
            draw.rectangle((0, start, side, start + pitch * 0.45), fill=mark)
    else:
        for y in steps:
            for x in steps:
                draw.ellipse((x, y, x + pitch * 0.55, y + pitch * 0.55), fill=mark)
    return paint


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, x: float, y: float, r: float) -> None:
    """Fill one shape of half-width `r` around (x, y) into a mask."""

    def polygon(points: Sequence[tuple[float, float]]) -> None:
        draw.polygon([(x + r * px, y + r * py) for px, py in points], fill=255)

    def disc(px: float, py: float, radius: float, fill: int = 255) -> None:
        cx, cy, cr = x + r * px, y + r * py, r * radius
        draw.ellipse((cx - cr, cy - cr, cx + cr, cy + cr), fill=fill)

    if shape == "circle":
        disc(0, 0, 1)
    elif shape == "ring":
        disc(0, 0, 1)
        disc(0, 0, 0.55, fill=0)
    elif shape == "moon":
        disc(-0.1, 0, 1)
        disc(0.45, 0, 0.85, fill=0)
    elif shape == "heart":
        disc(-0.48, -0.4, 0.53)
        disc(0.48, -0.4, 0.53)
        polygon([(-0.97, -0.2), (0.97, -0.2), (0, 1)])
    else:
        polygon(_POLYGONS[shape])


def _star() -> list[tuple[float, float]]:
    angles = [math.pi * (i / 5 - 0.5) for i in range(10)]
    return [(math.cos(a) * (1.1, 0.45)[i % 2], math.sin(a) * (1.1, 0.45)[i % 2]) for i, a in enumerate(angles)]


_THIRD = 0.34
_POLYGONS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
    "diamond": [(0, -1.1), (0.75, 0), (0, 1.1), (-0.75, 0)],
    "star": _star(),
    "cross": [
        (-_THIRD, -1),
        (_THIRD, -1),
        (_THIRD, -_THIRD),
        (1, -_THIRD),
        (1, _THIRD),
        (_THIRD, _THIRD),
        (_THIRD, 1),
        (-_THIRD, 1),
        (-_THIRD, _THIRD),
        (-1, _THIRD),
        (-1, -_THIRD),
        (-_THIRD, -_THIRD),
    ],
    "arrow": [(-1, -0.3), (0.1, -0.3), (0.1, -0.95), (1.05, 0), (0.1, 0.95), (0.1, 0.3), (-1, 0.3)],
}


def describe(item: Object, *, full: bool = False) -> str:
    """`red star`, or with `full` also size and texture: `small striped red star`."""
    if not full:
        return item.name
    texture = "" if item.texture == "plain" else f"{item.texture} "
    return f"{item.size} {texture}{item.name}"


def article(noun: str) -> str:
    """The noun with `a` or `an` before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def relation(first: Object, second: Object, *, margin: float = 0.15) -> Relation | None:
    """Where `first` lies as seen from `second`, along the axis on which they lie further apart.

    None where they are less than `margin` apart on it, or where the other axis is nearly as far: then no relation is
    plain to see.
    """
    dx, dy = first.x - second.x, first.y - second.y
    far, near = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if far < margin or near > 0.75 * far:
        return None
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def related_pairs(scene: Scene) -> Iterator[tuple[Object, Relation, Object]]:
    """All ordered pairs of objects that stand in a plain relation."""
    for first in scene.objects:
        for second in scene.objects:
            if first is not second and (found := relation(first, second)):
                yield first, found, second


def caption(scene: Scene, *, full: bool = False, related: bool = False) -> str:
    """A true sentence part about a scene: `a red star and a blue ring`, or `a red star left of a blue ring`.

    With `related`, only the first pair in a plain relation is told; a scene without one is listed instead.
    """
    if related:
        for first, word, second in related_pairs(scene):
            return f"{article(describe(first, full=full))} {word} {article(describe(second, full=full))}"
    return join_names([article(describe(item, full=full)) for item in scene.objects])


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def swap_attributes(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """The same words on other objects: two objects trade colours. None where no trade makes it another scene."""
    found = [
        (i, j)
        for i in range(len(scene.objects))
        for j in range(i)
        if scene.objects[i].colour != scene.objects[j].colour and scene.objects[i].shape != scene.objects[j].shape
    ]
    if not found:
        return None
    i, j = found[int(rng.integers(len(found)))]
    objects = list(scene.objects)
    objects[i], objects[j] = (
        replace(objects[i], colour=objects[j].colour),
        replace(objects[j], colour=objects[i].colour),
    )
    swapped = replace(scene, objects=tuple(objects))
    return swapped if {o.name for o in swapped.objects} != {o.name for o in scene.objects} else None


def replace_attribute(scene: Scene, rng: np.random.Generator, *, attribute: Literal["shape", "colour"]) -> Scene:
    """One object takes a shape or colour that no object of the scene has."""
    present = {getattr(item, attribute) for item in scene.objects}
    absent = [value for value in (SHAPES if attribute == "shape" else COLOURS) if value not in present]
    i = int(rng.integers(len(scene.objects)))
    value = absent[int(rng.integers(len(absent)))]
    changed = (
        replace(scene.objects[i], shape=value) if attribute == "shape" else replace(scene.objects[i], colour=value)
    )
    return replace(scene, objects=(*scene.objects[:i], changed, *scene.objects[i + 1 :]))


def add_object(scene: Scene, rng: np.random.Generator, *, held_out: bool | None = None) -> Scene:
    """One object more, of a name that the scene does not hold, at a free place."""
    present = {item.name for item in scene.objects}
    pairs = [(s, c) for s, c in combinations(held_out=held_out) if f"{c} {s}" not in present]
    shape, colour = pairs[int(rng.integers(len(pairs)))]
    places = [(float(x), float(y)) for x, y in rng.uniform(0.17, 0.83, size=(20, 2))]
    x, y = max(places, key=lambda place: min(math.dist(place, (o.x, o.y)) for o in scene.objects))
    added = Object(shape, colour, tuple(SIZES)[int(rng.integers(len(SIZES)))], "plain", x, y)
    return replace(scene, objects=(*scene.objects, added))


def absent_names(scene: Scene, *, held_out: bool | None = None) -> tuple[str, ...]:
    """Names of objects that are not in the scene, hard ones first: those that share a shape or a colour with it."""
    shapes = {item.shape for item in scene.objects}
    colours = {item.colour for item in scene.objects}
    present = {item.name for item in scene.objects}
    absent = [(s, c) for s, c in combinations(held_out=held_out) if f"{c} {s}" not in present]
    absent.sort(key=lambda pair: -((pair[0] in shapes) + (pair[1] in colours)))
    return tuple(f"{c} {s}" for s, c in absent)
