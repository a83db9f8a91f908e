"""How well predictions fit the examples they were made for: a `Report`.

Knows examples, predictions and numbers: it loads no model, opens no media and writes no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, precision_recall_fscore_support

from savs.data.example import Example
from savs.errors import DataError
from savs.grouping import group_rows, some, two_by_two, where
from savs.intervals import (
    FloatArray,
    Interval,
    clustered_interval,
    two_sample_interval,
    wilson_interval,
)
from savs.prediction import Prediction
from savs.report import ClassScore, GroupScores, Metric, Report, SplitScore

#: Names by which the positive class of two is known without being told, in any case of letters.
POSITIVE_NAMES = frozenset({"yes", "positive", "true", "1"})


def evaluate(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    metric: Metric = "accuracy",
    classes: Sequence[str] | None = None,
    positive: str | None = None,
    unmatched: str | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Report:
    """Score predictions against the labels of their examples, joined by id.

    Args:
        examples: labelled examples with unique ids.
        predictions: one for each example, in any order.
        metric: what the task is scored by. `pairs` and `groups` need examples with a `group`; `groups` needs
            two images x two questions in each; `average_precision` needs two classes and probabilities.
        classes: what an answer is taken from. By default the classes that the predictions give probabilities
            for; where they give none, every label and answer that occurs. Sorted unless given.
        positive: the class that average precision is about; naming it asks for average precision beside any metric,
            where labels of both classes occur. With the metric of that name, by default the one of the two that is
            called yes, positive, true or 1, in any case of letters.
        unmatched: the label that marks an answer which matched no class. It counts as wrong, is reported as
            `unmatched_rate` and is no class.
        confidence: of the intervals.
        seed: of the bootstraps.

    Raises:
        DataError: ids are repeated or do not match, a label is missing or unknown, or the examples do not
            have what the metric needs. The message names them.
    """
    answers = _join(examples, predictions)
    truth = _labels(examples)
    names = _class_names(truth, answers, classes, unmatched)
    said = [answer.label for answer in answers]
    right = np.array([label == answer for label, answer in zip(truth, said, strict=True)])

    precision, recall, f1, support = precision_recall_fscore_support(truth, said, labels=names, zero_division=0)
    occurring = [name for name in names if name in {*truth, *said}]
    frequency = Counter(truth)
    majority = max(names, key=lambda name: frequency[name])
    positive = _positive_class(names, positive) if metric == "average_precision" or positive is not None else None
    if metric != "average_precision" and len(frequency) < 2:
        positive = None  # said beside the score, where it can be
    splits = _split_scores(examples, right, metric, confidence=confidence, seed=seed)
    return Report(
        n=len(examples),
        classes=names,
        metric=metric,
        accuracy=_accuracy(examples, right, confidence=confidence, seed=seed),
        macro_f1=float(f1_score(truth, said, labels=occurring, average="macro", zero_division=0)),
        balanced_accuracy=float(recall[support > 0].mean()),
        majority_class=majority,
        majority_accuracy=frequency[majority] / len(examples),
        chance=1 / len(names),
        per_class=tuple(
            ClassScore(name, float(p), float(r), float(f), int(n))
            for name, p, r, f, n in zip(names, precision, recall, f1, support, strict=True)
        ),
        confusion=tuple(tuple(row) for row in confusion_matrix(truth, said, labels=names).tolist()),
        unmatched_rate=None if unmatched is None else said.count(unmatched) / len(said),
        groups=_group_scores(examples, right, confidence=confidence, seed=seed) if metric == "groups" else None,
        pairs=_pair_score(examples, right, confidence=confidence) if metric == "pairs" else None,
        average_precision=None
        if positive is None
        else _average_precision(truth, answers, positive, confidence=confidence, seed=seed),
        positive=positive,
        splits=splits,
        mean_of_splits=sum(part.score.value for part in splits) / len(splits) if splits else None,
    )


def correctness(
    examples: Sequence[Example], predictions: Sequence[Prediction], *, unit: Literal["example", "group"] = "example"
) -> NDArray[np.bool_]:
    """Which examples, or which whole groups, are answered rightly: one row of what `draws_interval` takes.

    Args:
        examples: labelled examples with unique ids.
        predictions: one for each example, in any order.
        unit: `example`, or `group` for groups whose every example is right.

    Returns:
        `[n_examples]` in the order of `examples`, or `[n_groups]` in the order the groups first occur.

    Raises:
        DataError: ids are repeated or do not match, a label is missing, or a group is.
    """
    answers = _join(examples, predictions)
    right = np.array([label == answer.label for label, answer in zip(_labels(examples), answers, strict=True)])
    if unit == "example":
        return right
    return np.array([right[rows].all() for rows in group_rows(examples).values()])


def _join(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions in the order of the examples."""
    if not examples:
        raise DataError("there are no examples to evaluate")
    for what, ids in (("examples", [e.id for e in examples]), ("predictions", [p.id for p in predictions])):
        repeated = [name for name, count in Counter(ids).items() if count > 1]
        if repeated:
            raise DataError(
                f"ids must be unique, but {len(repeated)} occur more than once in the {what}: {some(repeated)}"
            )
    by_id = {prediction.id: prediction for prediction in predictions}
    missing = [example.id for example in examples if example.id not in by_id]
    if missing:
        raise DataError(f"{len(missing)} of {len(examples)} examples have no prediction: {some(missing)}")
    unknown = by_id.keys() - {example.id for example in examples}
    if unknown:
        raise DataError(f"{len(unknown)} predictions are for no example given: {some(sorted(unknown))}")
    return [by_id[example.id] for example in examples]


def _labels(examples: Sequence[Example]) -> list[str]:
    unlabelled = [where(example) for example in examples if example.label is None]
    if unlabelled:
        raise DataError(f"{len(unlabelled)} examples have no label to compare with: {some(unlabelled)}")
    return [example.label for example in examples if example.label is not None]


def _class_names(
    truth: Sequence[str], answers: Sequence[Prediction], classes: Sequence[str] | None, unmatched: str | None
) -> tuple[str, ...]:
    said = {answer.label for answer in answers} - {unmatched}
    scored = {name for answer in answers for name in answer.probabilities} - {unmatched}
    names = tuple(classes) if classes is not None else tuple(sorted(scored or {*truth, *said}))
    if len(set(names)) != len(names) or unmatched in names:
        raise DataError(f"classes must be unique and without the marker of unmatched answers ({unmatched!r}): {names}")
    strange = sorted(set(truth) - set(names))
    if strange:
        raise DataError(f"labels that are none of the classes: {some(strange)}; the classes are {some(names)}")
    strange = sorted(said - set(names))
    if strange:
        raise DataError(
            f"predicted labels that are none of the classes: {some(strange)}; the classes are {some(names)}"
        )
    return names


def _accuracy(examples: Sequence[Example], right: NDArray[np.bool_], *, confidence: float, seed: int) -> Interval:
    clusters = [("example", e.id) if e.group is None else ("group", e.group) for e in examples]
    index = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    if len(index) == len(examples):
        return wilson_interval(int(right.sum()), len(right), confidence=confidence)
    rows = np.array([index[cluster] for cluster in clusters])
    return clustered_interval(np.bincount(rows, weights=right), np.bincount(rows), confidence=confidence, seed=seed)


def _pair_score(examples: Sequence[Example], right: NDArray[np.bool_], *, confidence: float) -> Interval:
    groups = group_rows(examples)
    single = [group for group, rows in groups.items() if len(rows) < 2]
    if single:
        raise DataError(f"a pair needs at least two examples; {len(single)} groups have one: {some(single)}")
    n_right = sum(bool(right[rows].all()) for rows in groups.values())
    return wilson_interval(n_right, len(groups), confidence=confidence)


def _group_scores(
    examples: Sequence[Example], right: NDArray[np.bool_], *, confidence: float, seed: int
) -> GroupScores:
    tables = np.array(
        [
            two_by_two(group, [examples[row] for row in rows], right[rows])
            for group, rows in group_rows(examples).items()
        ]
    )  # [n_groups, 2 images, 2 questions]
    two_each = np.full(len(tables), 2)
    return GroupScores(
        question=clustered_interval(tables.all(axis=1).sum(axis=1), two_each, confidence=confidence, seed=seed),
        image=clustered_interval(tables.all(axis=2).sum(axis=1), two_each, confidence=confidence, seed=seed),
        group=wilson_interval(int(tables.all(axis=(1, 2)).sum()), len(tables), confidence=confidence),
        n_groups=len(tables),
    )


def _split_scores(
    examples: Sequence[Example], right: NDArray[np.bool_], metric: Metric, *, confidence: float, seed: int
) -> tuple[SplitScore, ...]:
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        if example.split is not None:
            rows.setdefault(example.split, []).append(row)
    if len(rows) < 2:
        return ()
    scores = []
    for split, of in sorted(rows.items()):
        members = [examples[row] for row in of]
        if metric in ("pairs", "groups"):
            whole = [bool(right[of][inside].all()) for inside in group_rows(members).values()]
            score = wilson_interval(sum(whole), len(whole), confidence=confidence)
        else:
            score = _accuracy(members, right[of], confidence=confidence, seed=seed)
        commonest = max(Counter(example.label for example in members).values())
        scores.append(SplitScore(split, len(of), score, commonest / len(of)))
    return tuple(scores)


def _positive_class(classes: Sequence[str], positive: str | None) -> str:
    if len(classes) != 2:
        raise DataError(f"average precision needs two classes, got {len(classes)}: {some(classes)}")
    if positive is not None:
        if positive not in classes:
            raise DataError(f"positive={positive!r} is none of the classes {some(classes)}")
        return positive
    known = [name for name in classes if name.strip().casefold() in POSITIVE_NAMES]
    if len(known) != 1:
        raise DataError(f"which of {some(classes)} is the positive class? Name it with positive=")
    return known[0]


def _average_precision(
    truth: Sequence[str], answers: Sequence[Prediction], positive: str, *, confidence: float, seed: int
) -> Interval:
    silent = [answer.id for answer in answers if positive not in answer.probabilities]
    if silent:
        raise DataError(
            f"average precision needs a probability of {positive!r} in every prediction; {len(silent)} have none: "
            f"{some(silent)}"
        )
    is_positive = np.array([label == positive for label in truth])
    if not is_positive.any() or is_positive.all():
        raise DataError(f"average precision needs labels of both classes; every label is {truth[0]!r}")
    score = np.array([answer.probabilities[positive] for answer in answers])

    def statistic(of_positive: FloatArray, of_negative: FloatArray) -> float:
        labels = np.repeat([1, 0], [len(of_positive), len(of_negative)])
        return float(average_precision_score(labels, np.concatenate([of_positive, of_negative])))

    return two_sample_interval(
        score[is_positive], score[~is_positive], statistic, confidence=confidence, n_resamples=1000, seed=seed
    )
