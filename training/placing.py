"""Questions about where things lie: in the image, and from one another. Knows no pixels and no model."""

from __future__ import annotations

import numpy as np

from asking import Question, ask, claim, pick, pick_plain, short_name
from savs.demo.scenes import OPPOSITE, RELATIONS, Object, Scene, describe, related_pairs, relation
from wordings import RELATION_WORDS, STATEMENTS, WORDINGS


def ask_where(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Where one object lies, seen from another."""
    if not (found := list(related_pairs(scene))):
        return None
    first, word, second = pick(rng, found)
    text = pick_plain(rng, WORDINGS["where"]).format(a=short_name(scene, first, rng), b=short_name(scene, second, rng))
    return Question("where", text, word.removesuffix(" of"))


def ask_relation(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether one object lies so from another; false ones turn the relation or trade the objects."""
    if not (found := list(related_pairs(scene))):
        return None
    first, word, second = pick(rng, found)
    truth = bool(rng.random() < 0.5)
    if not truth:
        word = OPPOSITE[word] if rng.random() < 0.75 else pick(rng, [r for r in RELATIONS if r != word])
    told = pick_plain(rng, STATEMENTS["relation"]).format(
        a=short_name(scene, first, rng), b=short_name(scene, second, rng), r=pick_plain(rng, RELATION_WORDS[word])
    )
    return claim("relation", rng, told, truth)


def ask_neighbour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What lies on a side of an object, where only one thing does."""
    for _ in range(4):
        centre, word = pick(rng, scene.objects), pick(rng, RELATIONS)
        found = [o for o in scene.objects if o is not centre and _side(o, centre, word)]
        plain = [o for o in found if relation(o, centre) == word]
        if len(found) == 1 and plain:
            words = pick(rng, RELATION_WORDS[word])
            return ask("neighbour", rng, describe(plain[0]), b=short_name(scene, centre, rng), r=words)
    return None


def _side(first: Object, second: Object, word: str) -> bool:
    gaps = {"left of": second.x - first.x, "right of": first.x - second.x}
    gaps |= {"above": second.y - first.y, "below": first.y - second.y}
    return gaps[word] > 0.05


def ask_half(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Left or right, top or bottom half."""
    axis, words = pick(rng, (("x", ("left", "right")), ("y", ("top", "bottom"))))
    found = [o for o in scene.objects if abs(getattr(o, axis) - 0.5) > 0.08]
    if not found:
        return None
    item = pick(rng, found)
    answer = words[int(getattr(item, axis) > 0.5)]
    shown = words if rng.random() < 0.5 else words[::-1]
    return ask("half", rng, answer, n=short_name(scene, item, rng), x=shown[0], y=shown[1])


def spot(item: Object) -> str:
    """The ninth of the image in which an object lies: `top left`, `middle centre`."""
    row, column = (1 + (v > 0.6) - (v < 0.4) for v in (item.y, item.x))
    return f"{('top', 'middle', 'bottom')[row]} {('left', 'centre', 'right')[column]}"


def ask_spot(scene: Scene, rng: np.random.Generator) -> Question | None:
    """In which ninth of the image an object lies, or what lies in one."""
    item = pick(rng, scene.objects)
    if rng.random() < 0.6:
        return ask("spot", rng, spot(item), n=short_name(scene, item, rng))
    if [spot(o) for o in scene.objects].count(spot(item)) > 1:
        return None
    return ask("at_spot", rng, describe(item), x=spot(item))


def ask_places(scene: Scene, rng: np.random.Generator) -> Question:
    """Every object with its place, from left to right."""
    ordered = sorted(scene.objects, key=lambda item: item.x)
    return ask("places", rng, ", ".join(f"{describe(item)} {spot(item)}" for item in ordered))
