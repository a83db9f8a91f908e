"""What an evaluation found: a `Report`, its parts, and its JSON form. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from savs.errors import DataError
from savs.intervals import Interval

#: What a task is scored by. Plain accuracy and the table per class stand in every report.
Metric = Literal["accuracy", "pairs", "groups", "average_precision"]

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
class SplitScore:
    """How one part of the test set (a subtask, a category) fared by itself.

    Attributes:
        split: as the examples name it.
        n: its examples.
        score: the share of them answered rightly; of whole pairs or groups, where the task is scored by these.
        majority_accuracy: accuracy of always answering its own commonest label.
    """

    split: str
    n: int
    score: Interval
    majority_accuracy: float


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
        average_precision: with the metric of that name, and beside any other where `positive` was named.
        positive: the class that average precision is about.
        splits: by name, where the examples belong to two or more.
        mean_of_splits: the mean score over the splits, whatever their size.
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
    splits: tuple[SplitScore, ...] = ()
    mean_of_splits: float | None = None

    @property
    def score(self) -> Interval:
        """The number the task is scored by: for groups, the share of groups that are wholly right."""
        precision = self.average_precision if self.metric == "average_precision" else None
        scored = (self.groups.group if self.groups else None, self.pairs, precision)
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
            values["splits"] = tuple(
                SplitScore(**{**row, "score": Interval(**row["score"])}) for row in values.get("splits", ())
            )
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise DataError(f"not a report: {error}; expected the fields that Report.to_json writes") from error


def _read_interval(fields: Mapping[str, Any] | None) -> Interval | None:
    return None if fields is None else Interval(**fields)
