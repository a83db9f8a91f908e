"""Questions and answers about training images, in many wordings. Knows no pixels and no model.

A question kind is a function `(scene, rng) -> Question | None`; its wordings stand in `wordings.py`. A yes/no question
is a statement (`STATEMENTS`) in a frame (`FRAMES`), each frame with its own two answers: what a statement says and how
it is asked vary independently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from savs.demo.holdout import INVENTED_NAMES, is_held_out_combination
from savs.demo.scenes import (
    COLOURS,
    OPPOSITE,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Object,
    Scene,
    absent_names,
    add_object,
    article,
    describe,
    join_names,
    related_pairs,
    relation,
    replace_attribute,
    swap_attributes,
)
from wordings import (
    DEFINITIONS,
    FRAMES,
    MARKS,
    NUMBERS,
    PLAIN_FRAMES,
    RELATION_WORDS,
    STATEMENTS,
    WORDINGS,
)


@dataclass(frozen=True)
class Question:
    """One question with its answer, both as the model reads and writes them (lower case)."""

    kind: str
    text: str
    answer: str


def pick(rng: np.random.Generator, options: Sequence):  # noqa: ANN201
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def ask(kind: str, rng: np.random.Generator, answer: str, **slots: str) -> Question:
    """A question of a kind, in one of its wordings."""
    return Question(kind, pick(rng, WORDINGS[kind]).format(**slots), answer)


def claim(kind: str, rng: np.random.Generator, statement: str, truth: bool) -> Question:
    """A statement put in a frame."""
    frame, yes, no = pick(rng, FRAMES[:PLAIN_FRAMES] if rng.random() < 0.85 else FRAMES)
    return Question(kind, frame.format(t=statement), yes if truth else no)


def options(rng: np.random.Generator, truth: str, others: Sequence[str]) -> tuple[str, str]:
    """Lettered options in random order, and the letter of the true one."""
    texts = [truth, *others]
    order = rng.permutation(len(texts))
    mark = pick(rng, MARKS)
    listed = " ".join(mark.format(l="abcd"[i], x=texts[j]) for i, j in enumerate(order))
    return listed, "abcd"[int(np.nonzero(order == 0)[0][0])]


def _unique(scene: Scene, attribute: str) -> list[Object]:
    """Objects whose shape (or colour) no other object of the scene has."""
    values = [getattr(item, attribute) for item in scene.objects]
    return [item for item in scene.objects if values.count(getattr(item, attribute)) == 1]


def ask_caption(scene: Scene, rng: np.random.Generator) -> Question:
    """List the objects from left to right."""
    ordered = sorted(scene.objects, key=lambda item: item.x)
    full = bool(rng.random() < 0.3)
    question = ask("caption", rng, join_names([describe(item, full=full) for item in ordered]))
    return replace(question, text=f"{question.text} in detail.") if full else question


def ask_shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Shape, given colour."""
    if not (found := _unique(scene, "colour")):
        return None
    item = pick(rng, found)
    return ask("shape", rng, item.shape, c=item.colour)


def ask_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Colour, given shape."""
    if not (found := _unique(scene, "shape")):
        return None
    item = pick(rng, found)
    return ask("colour", rng, item.colour, s=item.shape)


def ask_size(scene: Scene, rng: np.random.Generator) -> Question:
    """Size or texture, given colour and shape."""
    item = pick(rng, scene.objects)
    kind = pick(rng, ("size", "texture"))
    return ask(kind, rng, getattr(item, kind), n=item.name)


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
    if not (found := _unique(scene, "shape")):
        return None
    item, truth = pick(rng, found), bool(rng.random() < 0.5)
    wrong = [c for c in COLOURS if c != item.colour and not is_held_out_combination(item.shape, c)]
    others = [o.colour for o in scene.objects if o.colour in wrong] if rng.random() < 0.6 else []
    value = item.colour if truth else pick(rng, others or wrong)
    return claim("attribute", rng, pick(rng, STATEMENTS["attribute"]).format(s=item.shape, v=value), truth)


def _noun(scene: Scene, item: Object, rng: np.random.Generator) -> str:
    """The shortest true name, or the full one: `star`, `red star` or `red thing`."""
    if rng.random() < 0.35 and item in _unique(scene, "shape"):
        return item.shape
    if rng.random() < 0.2 and item in _unique(scene, "colour"):
        return f"{item.colour} {pick(rng, ('thing', 'object'))}"
    return item.name


def ask_where(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Where one object lies, seen from another."""
    if not (found := list(related_pairs(scene))):
        return None
    first, word, second = pick(rng, found)
    return ask("where", rng, word.removesuffix(" of"), a=_noun(scene, first, rng), b=_noun(scene, second, rng))


def ask_relation(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Whether one object lies so from another; false ones turn the relation or trade the objects."""
    if not (found := list(related_pairs(scene))):
        return None
    first, word, second = pick(rng, found)
    truth = bool(rng.random() < 0.5)
    if not truth:
        word = OPPOSITE[word] if rng.random() < 0.75 else pick(rng, [r for r in RELATIONS if r != word])
    told = pick(rng, STATEMENTS["relation"]).format(
        a=_noun(scene, first, rng), b=_noun(scene, second, rng), r=pick(rng, RELATION_WORDS[word])
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
            return ask("neighbour", rng, describe(plain[0]), b=_noun(scene, centre, rng), r=words)
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
    return ask("half", rng, answer, n=_noun(scene, item, rng), x=shown[0], y=shown[1])


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


def invented_word(rng: np.random.Generator) -> str:
    """A word of two or three syllables that means nothing, and is not one of the evaluation's."""
    while True:
        syllables = [pick(rng, "bdfgklmnprstvz") + pick(rng, "aeiou") for _ in range(int(rng.integers(2, 4)))]
        word = "".join(syllables) + (pick(rng, "nrslk") if rng.random() < 0.4 else "")
        if word not in INVENTED_NAMES:
            return word


def ask_invented(scene: Scene, rng: np.random.Generator) -> Question:
    """An invented word, defined in the prompt, is used: is there one, or which of two words fits."""
    word, truth = invented_word(rng), bool(rng.random() < 0.5)
    noun = pick(rng, scene.objects).name if truth else pick(rng, absent_names(scene, held_out=False)[:14])
    if rng.random() < 0.5:
        inner = claim("exists", rng, pick(rng, STATEMENTS["exists"]).format(x=f"a {word}"), truth)
        return Question("invented", pick(rng, DEFINITIONS).format(w=word, x=article(noun), q=inner.text), inner.answer)
    here, gone = pick(rng, scene.objects).name, pick(rng, absent_names(scene, held_out=False)[:14])
    other = invented_word(rng)
    pair = [(word, here), (other, gone)]
    if rng.random() < 0.5:
        pair.reverse()
    listed, _ = options(rng, word, [other])
    inner_text = pick(rng, (f"is it a {pair[0][0]} or a {pair[1][0]}?", "what do you see?", "which word fits?"))
    first = pick(rng, DEFINITIONS).format(w=pair[0][0], x=article(pair[0][1]), q="")
    second = pick(rng, DEFINITIONS).format(w=pair[1][0], x=article(pair[1][1]), q=inner_text)
    return Question("invented", first + second, word)


Asker = Callable[[Scene, np.random.Generator], Question | None]
SCENE_KINDS: tuple[tuple[Asker, float], ...] = (
    (ask_caption, 0.7),
    (ask_shape, 2.6),
    (ask_colour, 2.0),
    (ask_size, 1.8),
    (ask_count, 2.0),
    (ask_exists, 5.0),
    (ask_match, 1.6),
    (ask_attribute, 2.6),
    (ask_where, 2.6),
    (ask_relation, 2.0),
    (ask_neighbour, 1.0),
    (ask_half, 0.6),
    (ask_background, 0.2),
    (ask_more, 0.3),
    (ask_choice, 1.0),
    (ask_invented, 0.5),
)
#: What is asked in a stage of training. Naming comes before judging, and judging before everything at once.
Stage = Literal["naming", "judging", "all"]
_JUDGING = {ask_exists: 8.0, ask_attribute: 4.0, ask_match: 3.0, ask_relation: 2.0, ask_shape: 1.0, ask_colour: 1.0}
_WEIGHTS: dict[Stage, np.ndarray] = {
    "naming": np.array([4.0, 3.0, 3.0, 2.0, 1.0, 2.0] + [0.25] * (len(SCENE_KINDS) - 6)),
    "judging": np.array([_JUDGING.get(asker, 0.1) for asker, _ in SCENE_KINDS]),
    "all": np.array([weight for _, weight in SCENE_KINDS]),
}


def scene_questions(scene: Scene, rng: np.random.Generator, n: int, *, stage: Stage = "all") -> list[Question]:
    """`n` questions about one scene."""
    weights = _WEIGHTS[stage]
    found: list[Question] = []
    while len(found) < n:
        for i in rng.choice(len(SCENE_KINDS), n, p=weights / weights.sum()):
            if question := SCENE_KINDS[int(i)][0](scene, rng):
                found.append(question)
    return found[:n]


def pictogram_questions(
    item: dict[str, str], vocabularies: dict[str, list[str]], rng: np.random.Generator, n: int
) -> list[Question]:
    """`n` questions about one pictogram: its group, subgroup and name, asked, claimed or chosen."""
    found = []
    for _ in range(n):
        key = pick(rng, ("group", "group", "group", "subgroup", "subgroup", "name"))
        way, truth = rng.random(), bool(rng.random() < 0.5)
        others = [v for v in (pick(rng, vocabularies[key]) for _ in range(6)) if v != item[key]]
        if way < 0.4:
            found.append(ask(f"pictogram_{key}", rng, item[key]))
        elif way < 0.7 or not others:
            told = item[key] if truth or not others else others[0]
            statement = pick(rng, STATEMENTS["name" if key == "name" else "group"]).format(g=told)
            found.append(claim(f"claim_{key}", rng, statement, told == item[key]))
        else:
            shown = list(dict.fromkeys(others))[: int(rng.integers(1, 4))]
            listed, letter = options(rng, item[key], shown)
            question = pick(rng, WORDINGS[f"pictogram_{key}"])
            text = pick(rng, WORDINGS["choice_fact"]).format(q=question, o=listed)
            found.append(Question(f"choice_{key}", text, letter))
    return found


def pair_questions(first: Scene, second: Scene, rng: np.random.Generator, n: int) -> list[Question]:
    """`n` questions about two scenes shown one after the other."""
    found: list[Question] = []
    scenes = (first, second)
    names = [{o.name for o in scene.objects} for scene in scenes]
    while len(found) < n:
        way = rng.random()
        if way < 0.45:
            where = int(rng.integers(2))
            only = sorted(names[where] - names[1 - where])
            if only:
                word = ("first", "second")[where]
                found.append(ask("pair_which", rng, word, n=article(pick(rng, only))))
        elif way < 0.85 and all(len(scene.objects) == 1 for scene in scenes):
            key = pick(rng, ("shape", "colour", "size", "texture"))
            same = getattr(first.objects[0], key) == getattr(second.objects[0], key)
            word, yes, no = pick(
                rng,
                (("same", "yes", "no"), ("same", "same", "different"), ("different", "no", "yes")),
            )
            text = pick(rng, WORDINGS["pair_same"]).format(k=key, same=word)
            if yes == "same":
                text = f"{text} same or different?"
            found.append(Question("pair_same", text, yes if same else no))
        elif len(first.objects) != len(second.objects):
            answer = "first" if len(first.objects) > len(second.objects) else "second"
            found.append(ask("pair_more", rng, answer))
    return found
