"""Which images a row of a batch shows, and which questions it asks about them. Knows no pixels and no model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import questions
from asking import Question, pick
from filler import fill
from images import Data, is_named, training_scene
from other_questions import COMPARED, pair_questions, pictogram_questions

#: What a row of one image shows, and how often.
KINDS = {"scene": 0.725, "pictogram": 0.1625, "letter": 0.05, "easy": 0.0625}


class Book:
    """All questions that can be asked about the training images, by image number."""

    def __init__(self, data: Data, rng: np.random.Generator, *, filled: float = 0.0) -> None:
        """Open the book; `filled` is the share of questions that are drawn with filler between their words."""
        self.filled = filled
        self.records, self.vocabularies, self.rng = data.records, data.vocabularies, rng
        self.pools = {kind: data.numbers(kind) for kind in KINDS}
        self.scenes = {int(i): training_scene(data.records[i]["index"]) for i in self.pools["scene"]}
        self.singles, self.doubles = (
            np.array([i for i, scene in self.scenes.items() if len(scene.objects) == n]) for n in (1, 2)
        )

    def single(self, index: int, n: int, *, stage: questions.Stage = "all") -> list[Question]:
        """`n` questions about one image."""
        record = self.records[index]
        if record["kind"] == "scene":
            return questions.scene_questions(self.scenes[index], self.rng, n, stage=stage)
        if is_named(record):
            return pictogram_questions(record, self.vocabularies, self.rng, n)
        pairs = [record["questions"][int(i)] for i in self.rng.integers(len(record["questions"]), size=n)]
        return [Question("easy", question, answer) for question, answer in pairs]

    def draw(self, n: int, *, stage: questions.Stage = "all") -> tuple[list[int], list[Question]]:
        """One row: image numbers, and `n` questions about them."""
        numbers, asked = self._row(n, stage)
        return numbers, [self._with_filler(q) if self.rng.random() < self.filled else q for q in asked]

    def _with_filler(self, question: Question) -> Question:
        return replace(question, text=fill(question.text, self.rng))

    def _row(self, n: int, stage: questions.Stage) -> tuple[list[int], list[Question]]:
        way = self.rng.random()
        if stage == "grounding" and way < 0.85:  # what is asked of things is plainest where there are few of them
            pool = self.singles if way < 0.1 else self.doubles
        elif stage == "all" and way < 0.2:
            return self._pair(n)
        else:  # a scene of more things would only be harder to ground
            kinds = {kind: share for kind, share in KINDS.items() if kind != "scene" or stage != "grounding"}
            shares = np.array([*kinds.values()])
            pool = self.pools[str(self.rng.choice([*kinds], p=shares / shares.sum()))]
        index = int(pool[int(self.rng.integers(len(pool)))])
        return [index], self.single(index, n, stage=stage)

    def _pair(self, n: int) -> tuple[list[int], list[Question]]:
        pool = self.singles if self.rng.random() < 0.75 else self.pools["scene"]
        while True:
            first, *others = (int(i) for i in self.rng.choice(pool, 9, replace=False))
            one = self.scenes[first]
            if pool is self.singles:
                key = pick(self.rng, COMPARED)
                value = getattr(one.objects[0], key)
                others.sort(key=lambda i: getattr(self.scenes[i].objects[0], key) != value)
            two = self.scenes[others[0]]
            if {o.name for o in one.objects} != {o.name for o in two.objects}:
                return [first, others[0]], pair_questions(one, two, self.rng, n)
