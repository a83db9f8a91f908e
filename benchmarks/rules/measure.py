"""Every rule on the same features, shots and test examples, draw by draw. Knows arrays and labels; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones.base import Backbone, Progress
from savs.classify import SAVClassifier
from savs.data.example import Example
from savs.data.sampling import sample_shots
from savs.extraction import extract
from savs.features import FloatArray
from savs.intervals import Interval, draws_interval, paired_difference

SHOTS = (5, 10, 20)
N_HEADS = 20
#: Preset and number of heads of each rule.
RULES: Mapping[str, tuple[str, int | None]] = {
    "sav": ("sav", N_HEADS),
    "sav-loo": ("sav-loo", N_HEADS),
    "hec": ("hec", N_HEADS),
    "gda-loo": ("gda-loo", N_HEADS),
    "calm": ("calm", None),
    "calm, 20 heads": ("calm", N_HEADS),
    "best head alone": ("sav", 1),
    "all heads": ("sav", None),
    "20 random heads": ("sav", N_HEADS),
}
RANDOM = "20 random heads"
#: What was expected before anything was measured: the first rule is more accurate than the second.
EXPECTED = (("sav-loo", "sav"), ("hec", "sav-loo"), ("gda-loo", "hec"), ("sav", "calm"))


@dataclass(frozen=True)
class Ordering:
    """Whether one rule is more accurate than another, as was expected."""

    better: str
    worse: str
    by: Interval

    @property
    def verdict(self) -> str:
        """`holds`, `does not hold`, or `open` where the interval of the difference holds zero."""
        return "holds" if self.by.low > 0 else "does not hold" if self.by.high < 0 else "open"


@dataclass(frozen=True)
class Answered:
    """What the rules answered in one task at one number of shots.

    Attributes:
        task: name.
        shots: a class.
        right: by rule, `[n_draws, n_test]`, whether each test example was answered rightly in each draw.
        tied: draws' mean number of heads whose score on the shots equals that of the last head kept by `sav`.
        shared: mean share of the heads kept by `sav` that two draws have in common.
    """

    task: str
    shots: int
    right: Mapping[str, NDArray[np.bool_]]
    tied: float
    shared: float


@dataclass(frozen=True)
class Cell:
    """One task, or the mean of several, at one number of shots.

    Attributes:
        task: name.
        shots: a class.
        accuracy: by rule.
        orderings: what was expected.
        tied: as in `Answered`.
        shared: likewise.
    """

    task: str
    shots: int
    accuracy: Mapping[str, Interval]
    orderings: tuple[Ordering, ...]
    tied: float
    shared: float

    def to_json(self) -> dict[str, Any]:
        """Every number."""
        return {**asdict(self), "orderings": [{**asdict(o), "verdict": o.verdict} for o in self.orderings]}


def measure(
    backbone: Backbone,
    name: str,
    pool: Sequence[Example],
    test: Sequence[Example],
    *,
    draws: int,
    seed: int,
    progress: Progress | None = None,
) -> list[Answered]:
    """All rules of one task at each number of shots.

    Args:
        backbone: that reads the heads.
        name: of the task.
        pool: labelled examples that shots are drawn from, as many of each class as the most shots.
        test: labelled examples that are answered.
        draws: of the shots, the same for every rule.
        seed: of the first draw.
        progress: told of examples read.
    """
    z = extract(backbone, (*pool, *test), progress=progress).z
    of_pool, of_test = z[: len(pool)], z[len(pool) :]
    truth = np.array([str(example.label) for example in test])
    row = {example.id: i for i, example in enumerate(pool)}
    answered = []
    for shots in SHOTS:
        drawn = [sample_shots(pool, shots, seed + draw)[0] for draw in range(draws)]
        features = [of_pool[[row[example.id] for example in chosen]] for chosen in drawn]
        labels = [np.array([str(example.label) for example in chosen]) for chosen in drawn]
        right = {
            rule: np.stack(
                [
                    _answers(rule, of_shots, names, of_test, seed + draw) == truth
                    for draw, (of_shots, names) in enumerate(zip(features, labels, strict=True))
                ]
            )
            for rule in RULES
        }
        answered.append(Answered(name, shots, right, *_selection(features, labels)))
    return answered


def cell(name: str, parts: Sequence[Answered], *, seed: int) -> Cell:
    """The accuracy of every rule with its interval: of one task, or the mean of several at one number of shots.

    Args:
        name: of the cell.
        parts: tasks, answered with as many draws; examples are resampled within their task.
        seed: of the bootstraps.
    """
    right = {rule: np.concatenate([part.right[rule] for part in parts], axis=1) for rule in RULES}
    part_of = np.repeat(range(len(parts)), [next(iter(part.right.values())).shape[1] for part in parts])
    return Cell(
        name,
        parts[0].shots,
        {rule: draws_interval(correct, parts=part_of, seed=seed) for rule, correct in right.items()},
        tuple(
            Ordering(better, worse, paired_difference(right[better], right[worse], parts=part_of, seed=seed))
            for better, worse in EXPECTED
        ),
        float(np.mean([part.tied for part in parts])),
        float(np.mean([part.shared for part in parts])),
    )


def _answers(rule: str, shots: FloatArray, labels: NDArray[np.str_], test: FloatArray, seed: int) -> NDArray[np.str_]:
    preset, k = RULES[rule]
    if rule == RANDOM:
        heads = np.random.default_rng(seed).choice(shots.shape[1], size=N_HEADS, replace=False)
        shots, test = shots[:, heads], test[:, heads]
    return np.asarray(SAVClassifier.from_preset(preset, k=k).fit(shots, labels).predict(test))


def _selection(shots: Sequence[FloatArray], labels: Sequence[NDArray[np.str_]]) -> tuple[float, float]:
    """How many heads tie at the edge of the paper's selection, and how alike two draws' selections are."""
    fitted = [SAVClassifier(N_HEADS).fit(z, y) for z, y in zip(shots, labels, strict=True)]
    edges = [classifier.head_scores_[classifier.selected_heads_[-1]] for classifier in fitted]
    tied = [int((classifier.head_scores_ == edge).sum()) for classifier, edge in zip(fitted, edges, strict=True)]
    kept = [set(classifier.selected_heads_.tolist()) for classifier in fitted]
    pairs = [(a, b) for i, a in enumerate(kept) for b in kept[i + 1 :]]
    return float(np.mean(tied)), float(np.mean([len(a & b) / N_HEADS for a, b in pairs]))
