"""Every rule on the same features, shots and test examples, draw by draw. Knows arrays and labels; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.text.tasks import TextTask
from savs.backbones.base import Backbone, Progress
from savs.classify import SAVClassifier
from savs.data.sampling import sample_shots
from savs.evaluation import draws_interval, paired_difference
from savs.extraction import extract
from savs.features import FloatArray
from savs.intervals import Interval

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
class Cell:
    """One task at one number of shots.

    Attributes:
        task: name.
        shots: a class.
        accuracy: by rule.
        orderings: what was expected.
        tied: draws' mean number of heads whose score on the shots equals that of the last head kept by `sav`.
        shared: mean share of the heads kept by `sav` that two draws have in common.
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


def measure(backbone: Backbone, task: TextTask, *, draws: int, seed: int, progress: Progress) -> list[Cell]:
    """All rules of one task at each number of shots."""
    examples = (*task.pool, *task.test)
    z = extract(backbone, examples, progress=progress).z
    n_pool = len(task.pool)
    pool, test = z[:n_pool], z[n_pool:]
    truth = np.array([str(example.label) for example in task.test])
    row = {example.id: i for i, example in enumerate(task.pool)}
    cells = []
    for shots in SHOTS:
        drawn = [sample_shots(task.pool, shots, seed + draw)[0] for draw in range(draws)]
        rows = [[row[example.id] for example in chosen] for chosen in drawn]
        labels = [np.array([str(example.label) for example in chosen]) for chosen in drawn]
        shot_features = [pool[chosen] for chosen in rows]
        right = {
            rule: np.stack(
                [
                    _answers(rule, features, names, test, seed + draw) == truth
                    for draw, (features, names) in enumerate(zip(shot_features, labels, strict=True))
                ]
            )
            for rule in RULES
        }
        tied, shared = _selection(shot_features, labels)
        cells.append(
            Cell(
                task.name,
                shots,
                {rule: draws_interval(correct, seed=seed) for rule, correct in right.items()},
                tuple(
                    Ordering(better, worse, paired_difference(right[better], right[worse], seed=seed))
                    for better, worse in EXPECTED
                ),
                tied,
                shared,
            )
        )
    return cells


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
