"""How well predictions fit the examples they were made for: a `Report`.

Knows examples, predictions and numbers: it loads no model, opens no media and writes no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

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
    draws_interval,
    mcnemar,
    paired_difference,
    two_sample_interval,
    wilson_interval,
)
from savs.prediction import Prediction

__all__ = [
    "ClassScore",
    "GroupScores",
    "Interval",
    "Metric",
    "Report",
    "correctness",
    "draws_interval",
    "evaluate",
    "mcnemar",
    "paired_difference",
]

#: What a task is scored by. Plain accuracy and the table per class stand in every report.
Metric = Literal["accuracy", "pairs", "groups", "average_precision"]

#: Names by which the positive class of two is known without being told, in any case of letters.
POSITIVE_NAMES = frozenset({"yes", "positive", "true", "1"})

#: The version of the JSON form.
FORMAT = 1


@dataclass(frozen=True)
class ClassScore:
    """How one class fared. `support` is the number of examples that bear its label."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class GroupScores:
    """Scores of groups of two images x two questions (NaturalBench, arXiv 2410.14669).

    Attributes:
        question: a point where a question is right on both images.
        image: a point where both questions are right on an image.
        group: a point where all four are right.
        n_groups: groups scored.
    """

    question: Interval
    image: Interval
    group: Interval
    n_groups: int


@dataclass(frozen=True)
class Report:
    """How well one set of predictions fits its examples.

    Attributes:
        n: examples scored.
        classes: the classes an answer is taken from, in the order of `confusion`.
        metric: what the task is scored by; `score` is that number.
        accuracy: share of examples answered rightly. The interval is Wilson's, or a bootstrap over groups
            where examples share one.
        macro_f1: mean F1 of the classes that occur as a label or as an answer.
        balanced_accuracy: mean recall of the classes that occur as a label.
        majority_class: the commonest label among these examples, the first of `classes` where several tie.
        majority_accuracy: accuracy of always answering `majority_class`.
        chance: accuracy of guessing evenly among the classes.
        per_class: in the order of `classes`. Precision or recall of nothing is 0.
        confusion: `[n_classes, n_classes]` counts, true x predicted. Unmatched answers have no column, so a
            row may sum to less than its class's support.
        unmatched_rate: share of answers that matched no class, None where no marker for them was given.
        groups: with the metric `groups`.
        pairs: with the metric `pairs`, the share of groups whose every example is right.
        average_precision: with the metric of that name, of the class `positive`.
        positive: the class that average precision is about.
    """

    n: int
    classes: tuple[str, ...]
    metric: Metric
    accuracy: Interval
    macro_f1: float
    balanced_accuracy: float
    majority_class: str
    majority_accuracy: float
    chance: float
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    unmatched_rate: float | None = None
    groups: GroupScores | None = None
    pairs: Interval | None = None
    average_precision: Interval | None = None
    positive: str | None = None

    @property
    def score(self) -> Interval:
        """The number the task is scored by: for groups, the share of groups that are wholly right."""
        scored = (self.groups.group if self.groups else None, self.pairs, self.average_precision)
        return next((interval for interval in scored if interval is not None), self.accuracy)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the attributes' names, and the version of this form as `format`."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Report:
        """Read back what `to_json` wrote.

        Raises:
            DataError: `fields` is no report, or one of another format.
        """
        values = dict(fields)
        version = values.pop("format", None)
        if version != FORMAT:
            raise DataError(f"not a report of format {FORMAT}: its format is {version!r}; evaluate again to write one")
        try:
            values["classes"] = tuple(values["classes"])
            values["confusion"] = tuple(tuple(row) for row in values["confusion"])
            values["per_class"] = tuple(ClassScore(**row) for row in values["per_class"])
            for name in ("accuracy", "pairs", "average_precision"):
                values[name] = _read_interval(values[name])
            if values["groups"] is not None:
                groups = dict(values["groups"])
                scores = {name: Interval(**groups[name]) for name in ("question", "image", "group")}
                values["groups"] = GroupScores(**scores, n_groups=groups["n_groups"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise DataError(f"not a report: {error}; expected the fields that Report.to_json writes") from error


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
        positive: the class that average precision is about. By default the one of the two that is called
            yes, positive, true or 1, in any case of letters.
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
    positive = _positive_class(names, positive) if metric == "average_precision" else None
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


def _read_interval(fields: Mapping[str, Any] | None) -> Interval | None:
    return None if fields is None else Interval(**fields)
