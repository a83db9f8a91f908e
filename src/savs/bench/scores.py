"""From answers to numbers: the scores of a column, their intervals over draws and examples, and paired differences.

Knows examples and labels: no method, no model and no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.baselines.zero_shot import UNMATCHED
from savs.bench import precision
from savs.bench.data import ColumnData
from savs.bench.precision import Ranking
from savs.grouping import clusters_of_groups, group_rows, two_by_two
from savs.intervals import Interval, draws_interval, mcnemar, paired_difference, sign_flip_test
from savs.prediction import Prediction

FloatArray = NDArray[np.float64]

#: Scores that a group has two points of, so that it may win half.
_OF_TWO_POINTS = ("question", "image")


@dataclass(frozen=True)
class Points:
    """What the answers of one row won, draw by draw.

    Attributes:
        won: `[n_draws, n_units]` by score: 1 or 0 for each example or pair, or the share of its points for a group.
        parts: `[n_units]` the subtask of each unit, where scores are averaged over subtasks.
        unmatched: share of the answers that name no class.
        clusters: `[n_units]` which units stand or fall together, such as several claims about one image.
        ranking: how the answers rank the examples, where average precision is the score; `won` is then empty.
    """

    won: Mapping[str, FloatArray]
    parts: tuple[str, ...] | None
    unmatched: float
    clusters: NDArray[np.intp]
    ranking: Ranking | None = None


@dataclass(frozen=True)
class Lead:
    """How far the row that others are measured against is ahead of another.

    Attributes:
        by: the difference, paired over the draws that both have and over examples, pairs or groups.
        p_value: of the first draw alone, since draws share their test examples: McNemar's, or by flipping signs where
            units win shares of their points, or stand or fall together. None for average precision, where no answer
            is right or wrong.
    """

    by: Interval
    p_value: float | None


def points(data: ColumnData, draws: Sequence[Sequence[Prediction]], *, ranked: bool = False) -> Points:
    """What each draw's answers won, by the scores of the column.

    Args:
        data: with the test examples.
        draws: the answers of each draw, in the order of the test examples.
        ranked: whether groups of captions are scored by which of two the answers find likelier, as is usual for models
            that judge none by itself (Winoground, arXiv 2204.03162, section 3): see `_won_by_rank`.
    """
    truth = np.array([str(example.label) for example in data.test])
    said = np.array([[answer.label for answer in answers] for answers in draws])
    by_rank = ranked and data.column.metric == "groups" and data.task.caption is not None
    return Points(
        won=_won_by_rank(data, draws) if by_rank else _won(data, said == truth),
        parts=_parts(data),
        unmatched=float((said == UNMATCHED).mean()),
        clusters=clusters_of_groups(data.test, data.clusters)
        if data.column.metric in ("pairs", "groups")
        else data.clusters,
        ranking=_ranking(data, draws) if data.column.metric == "average_precision" else None,
    )


def interval(points: Points, score: str, *, seed: int = 0) -> Interval:
    """The score with its interval over draws and examples."""
    if points.ranking is not None:
        return precision.interval(points.ranking, seed=seed)
    return draws_interval(points.won[score], parts=points.parts, clusters=points.clusters, seed=seed)


def lead(first: Points, other: Points, score: str, *, seed: int = 0) -> Lead:
    """How far `first` is ahead of `other` on the draws that both have; a row without draws is paired with each."""
    if first.ranking is not None and other.ranking is not None:
        return Lead(precision.difference(first.ranking, other.ranking, seed=seed), None)
    a, b = first.won[score], other.won[score]
    if 1 not in (len(a), len(b)):
        common = min(len(a), len(b))
        a, b = a[:common], b[:common]
    clusters = first.clusters
    if score in _OF_TWO_POINTS or len(np.unique(clusters)) < len(clusters):
        p_value = sign_flip_test(a[:1], b[:1], clusters=clusters, seed=seed)
    else:
        p_value = mcnemar(a[0] == 1, b[0] == 1)
    return Lead(paired_difference(a, b, parts=first.parts, clusters=clusters, seed=seed), p_value)


def majority(data: ColumnData) -> dict[str, float]:
    """The scores of always giving the commonest label of the test examples, of each subtask."""
    if data.column.metric == "average_precision":
        return chance(data)
    truth = [str(example.label) for example in data.test]
    commonest = {}
    for part in data.parts:
        counts = Counter(str(example.label) for example in data.of_part(part).test)
        commonest[part] = min(counts, key=lambda label: (-counts[label], label))
    said = [commonest[example.split if data.column.by_part else None] for example in data.test]
    right = np.array([[a == b for a, b in zip(said, truth, strict=True)]])
    return {score: _mean(won, _parts(data)) for score, won in _won(data, right).items()}


def chance(data: ColumnData) -> dict[str, float]:
    """The scores to be expected of guessing evenly among the classes, or among the choices that an example offers.

    For average precision it is the share of the positive class, which any constant answer has too.
    """
    if data.column.metric == "average_precision":
        of_each = [np.mean([e.label == data.task.positive for e in data.of_part(part).test]) for part in data.parts]
        return {"average_precision": float(np.mean(of_each))}
    of_part = {}
    for part in data.parts:
        found = data.of_part(part)
        of_part[part] = float(np.mean([1 / len(example.choices or found.classes) for example in found.test]))
    once = float(np.mean(list(of_part.values())))
    powers = {"accuracy": 1, "pair": 2, "question": 2, "image": 2, "group": 4}
    return {score: once ** powers[score] for score in data.column.scores}


def _won_by_rank(data: ColumnData, draws: Sequence[Sequence[Prediction]]) -> dict[str, FloatArray]:
    """A question is right where the right image of its caption is the likelier, an image where the right caption is."""
    tables = _tables(
        data,
        np.array([[a.probabilities[str(e.label)] for a, e in zip(of, data.test, strict=True)] for of in draws]),
    )
    # Of two, one fits and one does not: the first is the likelier where the two truths have more than one together.
    question, image = tables.sum(axis=2) > 1 + 1e-9, tables.sum(axis=3) > 1 + 1e-9
    both = question.all(axis=2) & image.all(axis=2)
    return {"question": question.mean(axis=2), "image": image.mean(axis=2), "group": both.astype(np.float64)}


def _tables(data: ColumnData, values: NDArray[Any]) -> NDArray[Any]:
    """`[n_draws, n_test]` as `[n_draws, n_groups, 2 images, 2 questions]`."""
    groups = group_rows(data.test).items()
    return np.array(
        [[two_by_two(group, [data.test[row] for row in of], draw[of]) for group, of in groups] for draw in values]
    )


def _won(data: ColumnData, right: NDArray[np.bool_]) -> dict[str, FloatArray]:
    metric = data.column.metric
    if metric == "average_precision":
        return {}
    if metric == "pairs":
        rows = group_rows(data.test)
        return {"pair": np.stack([right[:, of].all(axis=1) for of in rows.values()], axis=1).astype(np.float64)}
    if metric == "groups":
        tables = _tables(data, right)
        return {
            "question": tables.all(axis=2).mean(axis=2),
            "image": tables.all(axis=3).mean(axis=2),
            "group": tables.all(axis=(2, 3)).astype(np.float64),
        }
    return {"accuracy": right.astype(np.float64)}


def _ranking(data: ColumnData, draws: Sequence[Sequence[Prediction]]) -> Ranking:
    positive = str(data.task.positive)
    return Ranking(
        scores=np.array([[answer.probabilities.get(positive, 0.0) for answer in answers] for answers in draws]),
        positive=np.array([example.label == positive for example in data.test]),
        parts=_parts(data),
    )


def _parts(data: ColumnData) -> tuple[str, ...] | None:
    return tuple(str(example.split) for example in data.test) if data.column.by_part else None


def _mean(won: FloatArray, parts: Sequence[str] | None) -> float:
    if parts is None:
        return float(won.mean())
    names = np.array(parts)
    return float(np.mean([won[:, names == part].mean() for part in sorted(set(parts))]))
