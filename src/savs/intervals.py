"""How far a measured score can be trusted: intervals for proportions, for groups and for repeated draws of the shots.

Knows arrays of right and wrong only: no example, no prediction, no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

#: Resamples of a bootstrap: the 2.5 % tail then rests on fifty of them.
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value, the interval around it, and how the interval was found."""

    value: float
    low: float
    high: float
    method: str
    confidence: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson_interval(n_right: int, n: int, *, confidence: float = 0.95, method: str = "Wilson") -> Interval:
    """The score interval of a proportion (Wilson 1927), which stays inside [0, 1] and has width at 0 and at 1."""
    result = stats.binomtest(n_right, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(n_right / n, float(result.low), float(result.high), method, confidence)


def clustered_interval(
    n_right: ArrayLike, sizes: ArrayLike, *, confidence: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Interval:
    """The share of points won when points come in clusters that stand or fall together.

    Whole clusters are resampled, so two hundred points in fifty clusters are not taken for two hundred
    independent ones. Where every cluster is all right or every one all wrong, resampling has nothing to tell
    and Wilson over clusters takes its place; a single cluster says nothing of its spread and gets [0, 1].

    Args:
        n_right: `[n_clusters]` points won in each cluster.
        sizes: `[n_clusters]` points to be won in each cluster.
        confidence: of the interval.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    won, to_win = np.asarray(n_right, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    value, n_clusters = float(won.sum() / to_win.sum()), len(won)
    if value in (0.0, 1.0):
        return wilson_interval(int(value) * n_clusters, n_clusters, confidence=confidence, method="Wilson over groups")
    if n_clusters < 2:
        return Interval(value, 0.0, 1.0, "none: a single group", confidence)

    def share(won: FloatArray, to_win: FloatArray, axis: int) -> FloatArray:
        return np.asarray(won.sum(axis=axis) / to_win.sum(axis=axis))

    low, high = _percentiles((won, to_win), share, paired=True, confidence=confidence, n=n_resamples, seed=seed)
    return Interval(value, low, high, "bootstrap over groups", confidence)


def two_sample_interval(
    positive: ArrayLike,
    negative: ArrayLike,
    statistic: Callable[[FloatArray, FloatArray], float],
    *,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """A statistic of two samples, each resampled by itself so that neither ever runs empty.

    Args:
        positive: `[n_positive]` values of the one class.
        negative: `[n_negative]` values of the other.
        statistic: of `positive` and `negative`.
        confidence: of the interval.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    samples = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    value = float(statistic(*samples))
    if min(len(sample) for sample in samples) < 2:
        return Interval(value, 0.0, 1.0, "none: a class with a single example", confidence)
    low, high = _percentiles(samples, statistic, paired=False, confidence=confidence, n=n_resamples, seed=seed)
    return Interval(value, low, high, "bootstrap over examples within each class", confidence)


def draws_interval(
    correct: ArrayLike,
    *,
    parts: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean accuracy over draws of the shots, with an interval for new shots and new test examples at once.

    Every draw is tested on the same examples, so draws and examples are crossed: each resample takes examples
    with replacement and, independently, draws with replacement (the pigeonhole bootstrap, Owen 2007, Annals of
    Applied Statistics 1(2)). A resample takes one draw less than there are, since resampling all of a handful
    understates how much they differ (McCarthy and Snowden 1985). Three draws remain few: where accuracy differs
    much between draws the interval is still too narrow, and more draws are the remedy. With a single draw only
    the examples vary, and the method says so. Where no answer is wrong, or none right, Wilson over examples
    takes its place; a single example, or cluster of examples, says nothing of its spread and gets [0, 1].

    Args:
        correct: `[n_draws, n_examples]`, whether each example was answered rightly in each draw, or the share of
            its points that it won, between 0 and 1.
        parts: `[n_examples]`, where the value is to be the mean over parts, such as subtasks: the part of each
            example. Examples are then resampled within their part.
        clusters: `[n_examples]`, examples that stand or fall together, such as several questions about one image: they
            are resampled together. Each alone by default.
        confidence: of the interval.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: `correct` is not two-dimensional, is empty, or holds something beyond 0 and 1, or there is not
            one part and one cluster an example.
    """
    right = _draws(correct, name="correct")
    n_draws, n_examples = right.shape
    which, units = _clusters(clusters, n_examples)
    members = _members(parts, n_examples)
    value = _mean_over(members, right.mean(axis=0))
    if value in (0.0, 1.0):
        n = int(which.max()) + 1
        return wilson_interval(int(value) * n, n, confidence=confidence, method=f"Wilson over {units}")
    if which.max() == 0:
        return Interval(value, 0.0, 1.0, f"none: a single {units.removesuffix('s')}", confidence)
    low, high = _crossed_percentiles(right, members, which, confidence=confidence, n_resamples=n_resamples, seed=seed)
    return Interval(value, low, high, _crossed_name(n_draws, units), confidence)


def paired_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    parts: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """How much more accurate method a is than method b, on the same examples and the same draws.

    The pairs are resampled as in `draws_interval`. A method that does not depend on the draw, such as
    zero-shot, may be given as one draw `[1, n_examples]`.

    Args:
        correct_a: `[n_draws, n_examples]`, whether a was right.
        correct_b: `[n_draws, n_examples]`, whether b was right, rows and columns in a's order.
        parts: as in `draws_interval`.
        clusters: as in `draws_interval`.
        confidence: of the interval.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: either is not an array as in `draws_interval`, or the shapes do not fit.
    """
    a, b = _draws(correct_a, name="correct_a"), _draws(correct_b, name="correct_b")
    fits = a.shape[1] == b.shape[1] and (a.shape[0] == b.shape[0] or 1 in (a.shape[0], b.shape[0]))
    if not fits:
        raise ValueError(f"paired methods need the same draws and examples; got shapes {a.shape} and {b.shape}")
    difference = a - b
    which, units = _clusters(clusters, a.shape[1])
    members = _members(parts, a.shape[1])
    value = _mean_over(members, difference.mean(axis=0))
    if which.max() == 0:
        return Interval(value, -1.0, 1.0, f"none: a single {units.removesuffix('s')}", confidence)
    low, high = _crossed_percentiles(
        difference, members, which, confidence=confidence, n_resamples=n_resamples, seed=seed
    )
    return Interval(value, low, high, f"paired {_crossed_name(len(difference), units)}", confidence)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Exact two-sided p-value that two methods are equally often right on the same examples (McNemar 1947).

    Only the examples that one method has right and the other wrong count; without any the p-value is 1.

    Args:
        correct_a: `[n_examples]`, whether a was right.
        correct_b: `[n_examples]`, whether b was right, in the same order.

    Raises:
        ValueError: the two are not vectors of one length.
    """
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"McNemar's test needs two vectors of one length; got shapes {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def sign_flip_test(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value that two methods are equally often right on the same examples, over several draws.

    Were they alike, either could be the other on any example, so the signs of the examples' differences are flipped at
    random (Fisher 1935); draws of one example keep one sign. With a single draw this is McNemar's test by simulation.

    Args:
        correct_a: `[n_draws, n_examples]`, or `[1, n_examples]` where the method does not depend on the draw.
        correct_b: likewise, columns in the same order.
        clusters: `[n_examples]`, examples that stand or fall together, and are flipped together; each alone by default.
        n_resamples: of the signs.
        seed: of the signs.

    Raises:
        ValueError: as `paired_difference`.
    """
    a, b = _draws(correct_a, name="correct_a"), _draws(correct_b, name="correct_b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"paired methods need the same examples; got shapes {a.shape} and {b.shape}")
    difference = a.mean(axis=0) - b.mean(axis=0)
    which, _ = _clusters(clusters, a.shape[1])
    sums = np.bincount(which, weights=difference)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_resamples, len(sums)))
    as_far = np.abs(signs @ sums) >= abs(float(sums.sum())) - 1e-9
    return float((as_far.sum() + 1) / (n_resamples + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, made larger so that together they err as often as one (Holm 1979).

    >>> holm([0.04, 0.01, 0.5])
    [0.08, 0.03, 0.5]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = highest
    return adjusted


def _percentiles(
    samples: tuple[FloatArray, ...],
    statistic: Callable[..., FloatArray | float],
    *,
    paired: bool,
    confidence: float,
    n: int,
    seed: int,
) -> tuple[float, float]:
    result = stats.bootstrap(
        samples,
        statistic,
        paired=paired,
        n_resamples=n,
        batch=100,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _crossed_percentiles(
    values: FloatArray,
    members: Sequence[NDArray[np.intp]],
    clusters: NDArray[np.intp],
    *,
    confidence: float,
    n_resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Percentiles of the mean over parts, each the mean over its examples in clusters drawn with replacement."""
    n_draws = len(values)
    of_parts = [(rows, np.unique(clusters[rows], return_inverse=True)[1]) for rows in members]
    sizes = [np.bincount(which) for _, which in of_parts]
    n_taken = max(1, n_draws - 1)
    rng = np.random.default_rng(seed)
    means = np.empty(n_resamples)
    for i in range(n_resamples):
        of_draws = values[rng.integers(n_draws, size=n_taken)].mean(axis=0)
        of_part = []
        for (rows, which), size in zip(of_parts, sizes, strict=True):
            taken = rng.integers(len(size), size=len(size))
            of_part.append(np.bincount(which, weights=of_draws[rows])[taken].sum() / size[taken].sum())
        means[i] = np.mean(of_part)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _members(parts: ArrayLike | None, n_examples: int) -> list[NDArray[np.intp]]:
    """The examples of each part; all of them where there are no parts."""
    if parts is None:
        return [np.arange(n_examples)]
    of_example = np.asarray(parts)
    if of_example.shape != (n_examples,):
        raise ValueError(f"parts must name the part of each of {n_examples} examples, got shape {of_example.shape}")
    return [np.flatnonzero(of_example == part) for part in np.unique(of_example)]


def _clusters(clusters: ArrayLike | None, n_examples: int) -> tuple[NDArray[np.intp], str]:
    """The number of each example's cluster, and what is resampled: examples, or groups of them."""
    if clusters is None:
        return np.arange(n_examples), "examples"
    of_example = np.asarray(clusters)
    if of_example.shape != (n_examples,):
        raise ValueError(f"clusters must name that of each of {n_examples} examples, got shape {of_example.shape}")
    names, which = np.unique(of_example, return_inverse=True)
    return which, "examples" if len(names) == n_examples else "groups"


def _mean_over(members: Sequence[NDArray[np.intp]], values: FloatArray) -> float:
    """The mean over parts of the mean of each."""
    return float(np.mean([values[rows].mean() for rows in members]))


def _crossed_name(n_draws: int, units: str) -> str:
    return f"bootstrap over {n_draws} draws and {units}" if n_draws > 1 else f"bootstrap over {units}, one draw"


def _draws(correct: ArrayLike, *, name: str) -> FloatArray:
    right = np.asarray(correct, dtype=np.float64)
    if right.ndim != 2 or right.size == 0:
        raise ValueError(f"{name} must be a non-empty [n_draws, n_examples] array, got shape {right.shape}")
    if not ((right >= 0) & (right <= 1)).all():
        raise ValueError(f"{name} must hold right (1), wrong (0), or shares between them")
    return right
