"""What the embedded model can do, by its own greedy answers, on things it never saw: `python training/gates.py`.

Scenes are drawn fresh, by seeds that training never uses; pictograms are of held-out concepts; easy-VQA's questions are
of its test half. Run by itself it prints the scores of a model folder; `train.py` writes them into the card.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import questions
from asking import Question, ask, pick
from fetch import HANDS, easy_vqa_test, pictograms
from other_questions import pair_questions
from runfiles import MODEL
from savs.demo.scenes import Scene, absent_names, article, render, sample_scene
from savs.processes import side_by_side
from wordings import STATEMENTS, UNTRAINED_FRAMES

SEED = 909_090


@dataclass(frozen=True)
class Asked:
    """One question with the images it is about."""

    images: tuple[Image.Image, ...]
    question: Question


@dataclass(frozen=True)
class Gate:
    """A kind of question, the share of right answers that it must reach (0: told, not required), and chance."""

    name: str
    needed: float
    chance: str
    draw: Callable[[np.random.Generator, int], list[Asked]]


def about_scenes(*askers: questions.Asker, held_out: bool | None = False) -> Callable[..., list[Asked]]:
    """Questions of some kinds about fresh scenes of one to three objects."""

    def draw(rng: np.random.Generator, n: int) -> list[Asked]:
        found: list[Asked] = []
        while len(found) < n:
            scene: Scene = sample_scene(rng, n_objects=int(rng.integers(1, 4)), held_out=held_out)
            asker = askers[int(rng.integers(len(askers)))]
            if question := asker(scene, rng):
                found.append(Asked((render(scene),), question))
        return found

    return draw


def exists_in_unseen_wordings(scene: Scene, rng: np.random.Generator) -> Question:
    """Whether a thing is there, in frames that training leaves to this gate."""
    present = bool(rng.random() < 0.5)
    noun = pick(rng, scene.objects).name if present else pick(rng, absent_names(scene, held_out=False))
    statement = pick(rng, STATEMENTS["exists"]).format(x=article(noun))
    return Question("exists", pick(rng, UNTRAINED_FRAMES).format(t=statement), "yes" if present else "no")


def about_pairs(rng: np.random.Generator, n: int) -> list[Asked]:
    """Questions about two fresh scenes of one object each."""
    found = []
    while len(found) < n:
        first, second = sample_scene(rng, n_objects=1), sample_scene(rng, n_objects=1)
        if first.objects[0].name != second.objects[0].name:
            asked = pair_questions(first, second, rng, 1)[0]
            found.append(Asked((render(first), render(second)), asked))
    return found


def about_easy(rng: np.random.Generator, n: int) -> list[Asked]:
    """Questions of easy-VQA's test half, as they stand there."""
    pairs = [(item.image, pair) for item in easy_vqa_test() for pair in item.questions]
    chosen = rng.choice(len(pairs), n, replace=False)
    return [Asked((pairs[i][0],), Question("easy", *pairs[i][1])) for i in chosen]


def about_pictograms(key: str) -> Callable[..., list[Asked]]:
    """The group or subgroup of pictograms whose concept training never saw."""

    def draw(rng: np.random.Generator, n: int) -> list[Asked]:
        unseen = [p for hand in HANDS for p in pictograms(hand) if p.held_out]
        chosen = rng.permutation(len(unseen))[:n]
        return [Asked((unseen[i].draw(),), ask(f"pictogram_{key}", rng, getattr(unseen[i], key))) for i in chosen]

    return draw


GATES = (
    Gate("existence", 0.85, "0.50", about_scenes(questions.ask_exists)),
    Gate("caption matching", 0.85, "0.50", about_scenes(questions.ask_match)),
    Gate("colour, given shape", 0.90, "0.10", about_scenes(questions.ask_colour)),
    Gate("shape, given colour", 0.90, "0.10", about_scenes(questions.ask_shape)),
    Gate("count", 0.90, "0.30", about_scenes(questions.ask_count)),
    Gate("attribute", 0.90, "0.45", about_scenes(questions.ask_attribute, questions.ask_size)),
    Gate("relations", 0.80, "0.38", about_scenes(questions.ask_where, questions.ask_relation)),
    Gate("easy-VQA, test half", 0.90, "", about_easy),
    Gate("group of unseen pictograms", 0.70, "0.10", about_pictograms("group")),
    Gate("subgroup of unseen pictograms", 0.0, "0.01", about_pictograms("subgroup")),
    Gate("neighbour, given relation", 0.0, "0.01", about_scenes(questions.ask_neighbour)),
    Gate("multiple choice", 0.0, "0.37", about_scenes(questions.ask_choice)),
    Gate("two images", 0.0, "0.50", about_pairs),
    Gate("existence, unseen wordings", 0.0, "0.50", about_scenes(exists_in_unseen_wordings)),
    Gate("existence, unseen combinations", 0.0, "0.50", about_scenes(questions.ask_exists, held_out=True)),
    Gate("colour, unseen combinations", 0.0, "0.10", about_scenes(questions.ask_colour, held_out=True)),
    Gate("shape, unseen combinations", 0.0, "0.10", about_scenes(questions.ask_shape, held_out=True)),
)


class Model:
    """The model folder, as a user would load it."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def answer(self, asked: Asked, *, length: int = 12) -> str:
        """The greedy answer to one question."""
        content = [{"type": "image"} for _ in asked.images] + [{"type": "text", "text": asked.question.text}]
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = self.processor(images=list(asked.images), text=prompt, return_tensors="pt")
        written = self.model.generate(**inputs, max_new_tokens=length, do_sample=False)[
            0, inputs["input_ids"].shape[1] :
        ]
        return self.processor.decode(written, skip_special_tokens=True).strip()

    def score(self, asked: Sequence[Asked]) -> float:
        """The share of questions answered word for word, whatever its spaces."""
        pairs = [(self.answer(one), one.question.answer) for one in asked]
        return float(np.mean([answer.replace(" ", "") == truth.replace(" ", "") for answer, truth in pairs]))


@cache
def opened(folder: Path) -> Model:
    """The model folder, opened once in each process."""
    return Model(folder)


def score_gate(folder: Path, n: int, number: int) -> float:
    """The share of right answers to `n` questions of one gate."""
    torch.set_default_device("cpu")
    return opened(folder).score(GATES[number].draw(np.random.default_rng([SEED, number]), n))


def score_all(folder: Path, n: int) -> dict[str, float]:
    """The share of right answers to `n` questions of every gate, by its name; each is printed as it is known."""
    scores = {}
    with side_by_side(os.cpu_count() or 1) as pool:
        for gate, right in zip(GATES, pool.map(partial(score_gate, folder, n), range(len(GATES))), strict=True):
            scores[gate.name] = right
            print(json.dumps({"gate": gate.name, "needed": gate.needed, "right": round(right, 3)}), flush=True)
    return scores


def main() -> None:
    """Score a model folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("-n", type=int, default=400, help="questions a gate")
    given = parser.parse_args()
    score_all(given.model, given.n)


if __name__ == "__main__":
    main()
