"""Questions about what is not a single scene: pictograms, and two scenes side by side."""

from __future__ import annotations

import numpy as np

from asking import Question, ask, claim, options, pick
from savs.demo.scenes import Scene, article
from wordings import ASIDES, CALLED, STATEMENTS, WORDINGS

#: What is asked about a pictogram or a letter, and how often. A letter's name tells its strokes, its group nothing.
ASKED = {
    "pictogram": ("group", "group", "group", "subgroup", "subgroup", "name"),
    "letter": ("group", "subgroup", "subgroup", "name", "name", "name"),
}
#: What two scenes are compared by, and how often: shapes are the hardest to tell.
COMPARED = ("shape", "shape", "colour", "size", "texture")


def pictogram_questions(
    item: dict[str, str], vocabularies: dict[str, list[str]], rng: np.random.Generator, n: int
) -> list[Question]:
    """`n` questions about one pictogram or letter: its group, subgroup and name, asked, claimed or chosen."""
    found = []
    for _ in range(n):
        key = pick(rng, ASKED[item["kind"]])
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
    """`n` questions about two scenes shown one after the other, which must not show the same things."""
    found: list[Question] = []
    scenes = (first, second)
    names = [{o.name for o in scene.objects} for scene in scenes]
    while len(found) < n:
        way = rng.random()
        if way < 0.3:
            where = int(rng.integers(2))
            only = sorted(names[where] - names[1 - where])
            if only:
                word = ("first", "second")[where]
                found.append(ask("pair_which", rng, word, n=article(pick(rng, only))))
        elif way < 0.85 and all(len(scene.objects) == 1 for scene in scenes):
            key = pick(rng, COMPARED)
            same = getattr(first.objects[0], key) == getattr(second.objects[0], key)
            named = pick(rng, CALLED.get(key, (key,)))
            wording, yes, no = pick(
                rng,
                (("pair_same", "yes", "no"), ("pair_same", "same", "different"), ("pair_differs", "no", "yes")),
            )
            text = pick(rng, WORDINGS[wording]).format(k=named)
            if yes == "same":
                text = f"{text} same or different?"
            if rng.random() < 0.25:
                aside = pick(rng, [each for each in COMPARED if each != key])
                text = f"{pick(rng, ASIDES).format(k=pick(rng, CALLED.get(aside, (aside,))))} {text}"
            found.append(Question("pair_same", text, yes if same else no))
        elif len(first.objects) != len(second.objects):
            answer = "first" if len(first.objects) > len(second.objects) else "second"
            found.append(ask("pair_more", rng, answer))
    return found
