"""The rows of the tables: what each method answers, draw by draw. Knows arrays and labels: no model and no interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.embedded.features import Features
from benchmarks.embedded.tasks import BenchTask
from savs.backbones.base import Backbone
from savs.baselines.zero_shot import UNMATCHED, closed_choice, match_answer
from savs.classify import SAVClassifier
from savs.data.sampling import sample_shots
from savs.data.tasks import Task
from savs.features import FloatArray

Labels = NDArray[np.str_]

FREE, CHOICE = "zero-shot, free answer", "zero-shot, closed choice"
FREE_WORDS, CHOICE_WORDS = f"{FREE}, known words", f"{CHOICE}, known words"
#: The most accurate of the rows of zero-shot answers, chosen after the fact.
BEST_ZERO_SHOT = "zero-shot, best"
SAVS = "SAVs"
#: Heads in a random choice: as many as SAVs keep.
N_HEADS = 20
MAX_NEW_TOKENS = 6


@dataclass(frozen=True)
class Method:
    """A classifier over one kind of features.

    Attributes:
        name: in the tables.
        features: the kind, as `features_of_task` names it.
        preset: of `SAVClassifier`.
        k: heads kept where the preset does not say; None keeps all.
        centred: whether the mean of the shots is taken off first. Cosines under a large mean tell little.
        random_heads: whether the heads are drawn instead of ranked, by another seed in each draw.
        is_control: whether SAVs must beat it to show that the trained decoder helps.
    """

    name: str
    features: str
    preset: str = "sav"
    k: int | None = N_HEADS
    centred: bool = False
    random_heads: bool = False
    is_control: bool = False


METHODS = (
    Method("class means, raw pixels", "pixels", centred=True, is_control=True),
    Method("class means, vision tower, mean", "tower, mean", centred=True, is_control=True),
    Method("class means, vision tower, mean and max", "tower, mean and max", centred=True, is_control=True),
    Method("SAVs, random decoder", "random decoder", is_control=True),
    Method("SAVs, random weights", "random weights"),
    Method("20 random heads", "heads", k=None, random_heads=True),
    Method("all heads", "heads", k=None),
    Method(SAVS, "heads"),
    Method("sav-loo", "heads", preset="sav-loo"),
    Method("hec", "heads", preset="hec"),
    Method("gda-loo", "heads", preset="gda-loo"),
    Method("calm", "heads", preset="calm", k=None),
)
ZERO_SHOT = (FREE, FREE_WORDS, CHOICE, CHOICE_WORDS)
CONTROLS = tuple(method.name for method in METHODS if method.is_control)
ROWS = (*ZERO_SHOT, *(method.name for method in METHODS))


def zero_shot_answers(backbone: Backbone, task: BenchTask) -> dict[str, Labels]:
    """The model's own answers to the test examples, `[1, n_test]` by name of the row.

    With the labels as they stand, and, where other words stand for them, with those words too: then the user tells
    the model what its labels mean.
    """
    data, classes = task.data, task.data.classes
    written = backbone.generate(data.test, max_new_tokens=MAX_NEW_TOKENS)

    def free(task: Task) -> Labels:
        matched = [match_answer(text, e, classes, task) for text, e in zip(written, data.test, strict=True)]
        return np.array([matched])

    def choice(task: Task) -> Labels:
        return np.array([[answer.label for answer in closed_choice(backbone, data.test, classes, task=task)]])

    as_given = replace(data.task, answers={})
    answers = {FREE: free(as_given), CHOICE: choice(as_given)}
    if data.task.answers:
        answers |= {FREE_WORDS: free(data.task), CHOICE_WORDS: choice(data.task)}
    return {name: answers[name] for name in ZERO_SHOT if name in answers}


def unmatched_rate(answers: Labels) -> float:
    """The share of free answers that name no class."""
    return float((answers == UNMATCHED).mean())


def draw_shots(task: BenchTask, shots: int, seeds: Sequence[int]) -> list[list[int]]:
    """Row numbers in the pool of each draw of the shots."""
    row = {example.id: i for i, example in enumerate(task.data.pool)}
    return [[row[example.id] for example in sample_shots(task.data.pool, shots, seed)[0]] for seed in seeds]


def few_shot_answers(
    features: Mapping[str, Features], labels: Labels, draws: Sequence[Sequence[int]]
) -> dict[str, Labels]:
    """The answers of every method in `METHODS` to the test examples, `[n_draws, n_test]` by name.

    Args:
        features: by kind.
        labels: `[n_pool]` classes of the examples to draw from.
        draws: row numbers of the shots, draw by draw.
    """
    return {
        method.name: np.stack(
            [_answers(method, features[method.features], labels, rows, seed) for seed, rows in enumerate(draws)]
        )
        for method in METHODS
    }


def _answers(method: Method, features: Features, labels: Labels, rows: Sequence[int], seed: int) -> Labels:
    shots, test = features.pool[rows], features.test
    if method.centred:
        middle = shots.mean(axis=0)
        shots, test = shots - middle, test - middle
    if method.random_heads:
        heads = _random_heads(shots, seed)
        shots, test = shots[:, heads], test[:, heads]
    classifier = SAVClassifier.from_preset(method.preset, k=method.k)
    return np.asarray(classifier.fit(shots, labels[rows]).predict(test))


def _random_heads(z: FloatArray, seed: int) -> NDArray[np.intp]:
    n_heads = z.shape[1]
    return np.asarray(np.random.default_rng(seed).choice(n_heads, size=min(N_HEADS, n_heads), replace=False))
