"""Average precision over draws of the shots, with intervals for new draws and new test examples at once.

The interval of `intervals.draws_interval`, for a score that is no mean over examples. Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from savs.intervals import FloatArray, Interval, wilson_interval

#: Resamples of a bootstrap.
_RESAMPLES = 1000


@dataclass(frozen=True)
class Ranking:
    """How the answers of each draw rank the test examples.

    Attributes:
        scores: `[n_draws, n_examples]` how probable the positive class is.
        positive: `[n_examples]` whether it is the label. Each part has both.
        parts: `[n_examples]` the subtask of each, where the score is the mean over subtasks.
    """

    scores: FloatArray
    positive: NDArray[np.bool_]
    parts: Sequence[str] | None = None


def average_precision(scores: FloatArray, positive: NDArray[np.bool_], counts: NDArray[np.integer]) -> FloatArray:
    """Average precision of one ranking of resampled examples: precision at each positive one, on the mean.

    Examples of one score are taken at once, as scikit-learn does.

    Args:
        scores: `[n_examples]`.
        positive: `[n_examples]`.
        counts: `[n_resamples, n_examples]` how often each example is in each resample.

    Returns:
        `[n_resamples]`
    """
    order = np.argsort(-scores, kind="stable")
    ranked = -scores[order]
    last = np.searchsorted(ranked, ranked, side="right") - 1  # of those that share a score
    taken = counts[:, order]
    won = taken * positive[order]
    precision = won.cumsum(axis=1)[:, last] / np.maximum(taken.cumsum(axis=1)[:, last], 1)
    return np.asarray((won * precision).sum(axis=1) / won.sum(axis=1))


def interval(ranking: Ranking, *, seed: int = 0) -> Interval:
    """The mean over draws (and over parts of their means) with its interval: Wilson's where no ranking errs."""
    found = _interval(*_values(ranking, seed), seed=seed, paired="")
    n = int(ranking.positive.sum())
    return found if found.value < 1 else wilson_interval(n, n, method="Wilson over positive examples")


def difference(first: Ranking, other: Ranking, *, seed: int = 0) -> Interval:
    """How far `first` is ahead, on the same draws and examples; a ranking of one draw is paired with each."""
    (a, a_resampled), (b, b_resampled) = (_values(each, seed) for each in (first, other))
    if 1 not in (len(a), len(b)):
        common = min(len(a), len(b))
        a, a_resampled, b, b_resampled = a[:common], a_resampled[:common], b[:common], b_resampled[:common]
    return _interval(a - b, a_resampled - b_resampled, seed=seed, paired="paired ")


def _values(ranking: Ranking, seed: int) -> tuple[FloatArray, FloatArray]:
    """`[n_draws]` the score of each draw, and `[n_draws, n_resamples]` of each draw on the same resamples."""
    n = len(ranking.positive)
    part_of = np.array(ranking.parts if ranking.parts is not None else [""] * n)
    found, resampled = [], []
    rng = np.random.default_rng(seed)
    for part in np.unique(part_of):
        of = np.flatnonzero(part_of == part)
        positive = ranking.positive[of]
        whole, counts = np.ones((1, len(of)), dtype=np.int64), _counts(positive, rng)
        found.append([average_precision(scores[of], positive, whole)[0] for scores in ranking.scores])
        resampled.append([average_precision(scores[of], positive, counts) for scores in ranking.scores])
    return np.mean(found, axis=0), np.mean(resampled, axis=0)


def _counts(positive: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.integer]:
    """`[n_resamples, n_examples]` how often each example is drawn, each class by itself so that neither runs empty."""
    counts = np.zeros((_RESAMPLES, len(positive)), dtype=np.int64)
    for which in (positive, ~positive):
        n = int(which.sum())
        counts[:, which] = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    return counts


def _interval(of_draws: FloatArray, resampled: FloatArray, *, seed: int, paired: str) -> Interval:
    """Draws are resampled across the resamples of examples: one fewer than there are, as `draws_interval` does."""
    n_draws = len(of_draws)
    rng = np.random.default_rng([seed, n_draws])
    picks = rng.integers(n_draws, size=(max(1, n_draws - 1), _RESAMPLES))
    low, high = np.quantile(np.take_along_axis(resampled, picks, axis=0).mean(axis=0), [0.025, 0.975])
    method = f"{paired}bootstrap over " + (f"{n_draws} draws and examples" if n_draws > 1 else "examples, one draw")
    return Interval(float(of_draws.mean()), float(low), float(high), method)
