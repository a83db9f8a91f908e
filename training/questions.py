"""Questions and answers about scenes, in many wordings. Knows no pixels and no model.

A question kind is a function `(scene, rng) -> Question | None`; its wordings stand in `wordings.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from asking import Question, ask, claim, options, pick, short_name, unique
from placing import ask_half, ask_neighbour, ask_places, ask_relation, ask_spot, ask_where
from savs.demo.holdout import is_held_out_combination
from savs.demo.scenes import (
    COLOURS,
    OPPOSITE,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    absent_names,
    add_object,
    article,
    describe,
    join_names,
    related_pairs,
    replace_attribute,
    swap_attributes,
)
from wordings import CALLED, NUMBERS, STATEMENTS, WORDINGS


def ask_caption(scene: Scene, rng: np.random.Generator) -> Question:
    """List the objects from left to right."""
    ordered = sorted(scene.objects, key=lambda item: item.x)
    full = bool(rng.random() < 0.3)
    question = ask("caption", rng, join_names([describe(item, full=full) for item in ordered]))
    return replace(question, text=f"{question.text} in detail.") if full else question


def ask_shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Shape, given colour."""
    if not (found := unique(scene, "colour")):
        return None
    item = pick(rng, found)
    return ask("shape", rng, item.shape, c=item.colour)


def ask_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Colour, given shape."""
    if not (found := unique(scene, "shape")):
        return None
    item = pick(rng, found)
    return ask("colour", rng, item.colour, s=item.shape)


def ask_size(scene: Scene, rng: np.random.Generator) -> Question:
    """Size or texture, given colour and shape."""
    item = pick(rng, scene.objects)
    kind = pick(rng, ("size", "texture"))
    return ask(kind, rng, getattr(item, kind), n=item.name)


def ask_only(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Shape, colour, size or texture of the one thing that is there, which is not named."""
    if len(scene.objects) > 1:
        return None
    kind = pick(rng, ("shape", "colour", "size", "texture"))
    return ask("only", rng, getattr(scene.objects[0], kind), k=pick(rng, CALLED.get(kind, (kind,))))


def ask_count(scene: Scene, rng: np.random.Generator) -> Question:
    """How many objects, of a shape, of a colour or at all; as a question or as a claim."""
    by = rng.random()
    if by < 0.4:
        value = pick(rng, scene.objects).shape if rng.random() < 0.85 else pick(rng, SHAPES)
        count, plural = sum(o.shape == value for o in scene.objects), {"cross": "crosses"}.get(value, f"{value}s")
    elif by < 0.7:
        value = pick(rng, scene.objects).colour if rng.random() < 0.85 else pick(rng, tuple(COLOURS))
        count, plural = sum(o.colour == value for o in scene.objects), f"{value} {pick(rng, ('things', 'objects'))}"
    else:
        count, plural = len(scene.objects), pick(rng, ("objects", "shapes", "things", "figures"))
    if rng.random() < 0.75:
        return ask("count", rng, NUMBERS[count], p=plural)
    truth = rng.random() < 0.5
    told = count if truth else pick(rng, [n for n in range(5) if n != count and abs(n - count) < 3])
    return claim("count", rng, pick(rng, STATEMENTS["count"]).format(k=NUMBERS[told], p=plural), truth)


def _probe(scene: Scene, rng: np.random.Generator, truth: bool) -> str:
    """Something that is, or is not, in the scene: a colour and shape, a shape, a colour, with or without details."""
    kind = rng.random()
    if kind < 0.3:
        present = {o.shape for o in scene.objects}
        return pick(rng, [s for s in SHAPES if (s in present) == truth])
    if kind < 0.55:
        present = {o.colour for o in scene.objects}
        noun = pick(rng, ("thing", "object", "shape"))
        return f"{pick(rng, [c for c in COLOURS if (c in present) == truth])} {noun}"
    if kind < 0.9 or not truth:
        return pick(rng, scene.objects).name if truth else pick(rng, absent_names(scene, held_out=False)[:14])
    return describe(pick(rng, scene.objects), full=True)


def ask_exists(scene: Scene, rng: np.random.Generator) -> Question:
    """Whether something is there; sometimes whether it is not."""
    present = bool(rng.random() < 0.5)
    noun = _probe(scene, rng, present)
    if rng.random() < 0.2:
        return claim("exists", rng, pick(rng, STATEMENTS["absent"]).format(x=noun), not present)
    return claim("exists", rng, pick(rng, STATEMENTS["exists"]).format(x=article(noun)), present)


def _listed(scene: Scene, rng: np.random.Generator) -> str:
    order = rng.permutation(len(scene.objects))
    detail = bool(rng.random() < 0.2)
    return join_names([article(describe(scene.objects[i], full=detail)) for i in order])


def _false_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene that differs by a swap, a replacement or an addition; none names what is held out, not even as a lie."""
    for _ in range(20):
        way = rng.random()
        if way < 0.4:
            changed = swap_attributes(scene, rng)
        elif way < 0.85 or len(scene.objects) > 3:
            changed = replace_attribute(scene, rng, attribute=pick(rng, ("shape", "colour")))
        else:
            changed = add_object(scene, rng, held_out=False)
        if changed and not any(item.is_held_out for item in changed.objects):
            return changed
    return add_object(scene, rng, held_out=False)


def ask_match(scene: Scene, rng: np.random.Generator) -> Question:
    """Whether a caption fits, against swapped, replaced and added attributes and objects."""
    truth = bool(rng.random() < 0.5)
    told = _listed(scene if truth else _false_scene(scene, rng), rng)
    return claim("match", rng, pick(rng, STATEMENTS["exists"]).format(x=told), truth)


def ask_attribute(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether an object has a colour; the false colour is often that of its neighbour."""
    if not (found := unique(scene, "shape")):
        return None
    item, truth = pick(rng, found), bool(rng.random() < 0.5)
    wrong = [c for c in COLOURS if c != item.colour and not is_held_out_combination(item.shape, c)]
    others = [o.colour for o in scene.objects if o.colour in wrong] if rng.random() < 0.6 else []
    value = item.colour if truth else pick(rng, others or wrong)
    return claim("attribute", rng, pick(rng, STATEMENTS["attribute"]).format(s=item.shape, v=value), truth)


def ask_detail(scene: Scene, rng: np.random.Generator) -> Question:
    """All attributes of one object, of which the shortest name is given."""
    item = pick(rng, scene.objects)
    return ask("detail", rng, describe(item, full=True), n=short_name(scene, item, rng))


def ask_background(scene: Scene, rng: np.random.Generator) -> Question:
    """The background's colour."""
    return ask("background", rng, scene.background)


def ask_more(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Which of two shapes or colours is there more of."""
    attribute = pick(rng, ("shape", "colour"))
    values = [getattr(o, attribute) for o in scene.objects]
    most = max(values, key=values.count)
    fewer = [v for v in (SHAPES if attribute == "shape" else COLOURS) if values.count(v) < values.count(most)]
    near = [v for v in fewer if v in values]
    less = pick(rng, near if near and rng.random() < 0.6 else fewer)

    def noun(value: str) -> str:
        return f"{value} things" if attribute == "colour" else {"cross": "crosses"}.get(value, f"{value}s")

    shown = [noun(most), noun(less)]
    if rng.random() < 0.5:
        shown.reverse()
    return ask("more", rng, noun(most), a=shown[0], b=shown[1])


def ask_choice(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Lettered options: which object, which fact, or which caption."""
    n, way = int(rng.integers(2, 5)), rng.random()
    if way < 0.4:
        item = pick(rng, scene.objects)
        absent = absent_names(scene, held_out=False)[:16]
        listed, letter = options(rng, item.name, [absent[i] for i in rng.choice(len(absent), n - 1, replace=False)])
        return Question("choice", pick(rng, WORDINGS["choice"]).format(o=listed), letter)
    if way < 0.7:
        asked = pick(rng, (ask_shape, ask_colour, ask_where, ask_size))(scene, rng)
        if asked is None:
            return None
        pools: dict[str, Sequence[str]] = {
            "shape": SHAPES,
            "colour": tuple(COLOURS),
            "where": ("left", "right", "above", "below"),
            "size": tuple(SIZES),
            "texture": TEXTURES,
        }
        others = [v for v in pools[asked.kind] if v != asked.answer]
        shown = [others[i] for i in rng.permutation(len(others))[: n - 1]]
        listed, letter = options(rng, asked.answer, shown)
        return Question("choice_fact", pick(rng, WORDINGS["choice_fact"]).format(q=asked.text, o=listed), letter)
    pairs = list(related_pairs(scene))
    if way < 0.85 and pairs:
        first, word, second = pick(rng, pairs)
        truth = f"a {first.name} {word} a {second.name}"
        others = [f"a {first.name} {OPPOSITE[word]} a {second.name}"]
    else:
        truth, others = _listed(scene, rng), [_listed(_false_scene(scene, rng), rng)]
    listed, letter = options(rng, truth, others)
    return Question("choice_caption", pick(rng, WORDINGS["choice_caption"]).format(o=listed), letter)


Asker = Callable[[Scene, np.random.Generator], Question | None]
#: What is asked in a stage of training, and how often. Naming comes before telling things apart by their colour, shape
#: and place (`grounding`: dense, about scenes of one or two objects), and that before everything at once.
Stage = Literal["naming", "grounding", "all"]
STAGES: tuple[Stage, ...] = ("naming", "grounding", "all")
SCENE_KINDS: tuple[tuple[Asker, tuple[float, float, float]], ...] = (
    (ask_caption, (4.0, 0.5, 0.7)),
    (ask_shape, (3.0, 1.0, 2.2)),
    (ask_colour, (3.0, 1.5, 2.4)),
    (ask_size, (2.0, 1.5, 2.2)),
    (ask_only, (4.0, 1.0, 2.0)),
    (ask_count, (2.0, 1.0, 3.6)),
    (ask_exists, (2.0, 3.0, 4.0)),
    (ask_match, (0.2, 1.5, 2.4)),
    (ask_attribute, (0.2, 2.0, 2.6)),
    (ask_where, (0.2, 9.0, 2.6)),
    (ask_relation, (0.2, 5.0, 2.8)),
    (ask_neighbour, (0.2, 1.0, 1.0)),
    (ask_half, (0.2, 2.5, 0.8)),
    (ask_spot, (0.2, 3.0, 1.4)),
    (ask_places, (0.2, 1.5, 0.6)),
    (ask_detail, (0.2, 2.5, 1.4)),
    (ask_background, (0.2, 0.1, 0.3)),
    (ask_more, (0.2, 0.1, 0.4)),
    (ask_choice, (0.2, 0.2, 1.6)),
)


def scene_questions(scene: Scene, rng: np.random.Generator, n: int, *, stage: Stage = "all") -> list[Question]:
    """`n` questions about one scene."""
    weights = np.array([weights[STAGES.index(stage)] for _, weights in SCENE_KINDS])
    found: list[Question] = []
    while len(found) < n:
        for i in rng.choice(len(SCENE_KINDS), n, p=weights / weights.sum()):
            if question := SCENE_KINDS[int(i)][0](scene, rng):
                found.append(question)
    return found[:n]
