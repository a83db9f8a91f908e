"""From answers to numbers with intervals: one `TaskResult` a task, and whether the aims are met.

Knows labels and arrays of right and wrong: no model, no feature and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.embedded.methods import (
    BEST_ZERO_SHOT,
    CHOICE,
    CONTROLS,
    FREE,
    FREE_WORDS,
    SAVS,
    ZERO_SHOT,
    Labels,
    unmatched_rate,
)
from benchmarks.embedded.tasks import BenchTask
from savs.data.clusters import clusters_of
from savs.grouping import clusters_of_groups, group_rows, two_by_two
from savs.intervals import N_RESAMPLES, Interval, draws_interval, paired_difference

Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """SAVs less another method, in accuracy, paired over draws and examples."""

    other: str
    by: Interval

    @property
    def verdict(self) -> str:
        """`above`, `below`, or `level` where the interval holds zero."""
        return "above" if self.by.low > 0 else "below" if self.by.high < 0 else "level"


@dataclass(frozen=True)
class TaskResult:
    """What came of one task.

    Attributes:
        name: of the task.
        asks: what is to be told apart.
        source: where fetched data come from, or empty.
        note: what a reader must know about the data.
        prompt: the task's template.
        classes: the labels.
        words: what stands for a label in words that the model knows, where that is not the label.
        words_known: whether the labels or those words mean something to the model.
        question_matters: whether the prompt differs from example to example.
        shots: labelled examples a class.
        n_test: test examples.
        majority: accuracy of always giving the commonest label of the test examples.
        unmatched: share of written answers that name no class, by row.
        accuracy: by row.
        whole: by kind of score (`pair`, or `question`, `image`, `group`), then by row; empty without groups.
        n_apart: test examples that are like none of the pool, where others are.
        apart: accuracy on these, by row; empty where all are alike in that.
        zero_shot: SAVs less the best of the zero-shot rows.
        zero_shot_as_given: SAVs less the better zero-shot answer in the labels as they stand.
        control: SAVs less the best control.
    """

    name: str
    asks: str
    source: str
    note: str
    prompt: str
    classes: tuple[str, ...]
    words: Mapping[str, str]
    words_known: bool
    question_matters: bool
    shots: int
    n_test: int
    majority: float
    unmatched: Mapping[str, float]
    accuracy: Mapping[str, Interval]
    whole: Mapping[str, Mapping[str, Interval]]
    n_apart: int
    apart: Mapping[str, Interval]
    zero_shot: Difference
    zero_shot_as_given: Difference
    control: Difference

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / len(self.classes)

    def interval(self, row: str) -> Interval:
        """The accuracy of a row; `BEST_ZERO_SHOT` is a row, too."""
        if row != BEST_ZERO_SHOT:
            return self.accuracy[row]
        return max((self.accuracy[name] for name in ZERO_SHOT if name in self.accuracy), key=lambda found: found.value)

    def to_json(self) -> dict[str, Any]:
        """Every number, for a program."""
        return {**asdict(self), "chance": self.chance}


def measure(
    task: BenchTask, answers: Mapping[str, Labels], *, shots: int, seed: int, n_resamples: int = N_RESAMPLES
) -> TaskResult:
    """Score the answers of every row to one task's test examples.

    Args:
        task: with its test examples.
        answers: `[n_draws, n_test]` labels by row; `[1, n_test]` where they do not depend on the draw.
        shots: labelled examples a class that the few-shot rows had.
        seed: of the bootstraps.
        n_resamples: of each bootstrap.
    """
    data = task.data
    clusters = clusters_of(data.test)
    interval = partial(draws_interval, seed=seed, n_resamples=n_resamples)
    less = partial(_difference, clusters=clusters, seed=seed, n_resamples=n_resamples)
    truth = np.array([str(example.label) for example in data.test])
    right = {name: labels == truth for name, labels in answers.items()}
    counts = [int((truth == label).sum()) for label in data.classes]
    whole = {name: _whole(task, correct) for name, correct in right.items()}
    kinds = next(iter(whole.values())).keys()
    # A group has one point, or two beside each other: of its questions, or of its images.
    groups = clusters_of_groups(data.test, clusters) if kinds else clusters[:0]
    points = {kind: np.repeat(groups, whole[SAVS][kind].shape[1] // len(groups)) for kind in kinds}
    apart = np.flatnonzero(task.apart) if task.apart else np.arange(0)
    return TaskResult(
        name=task.name,
        asks=data.asks,
        source=data.task.source,
        note=task.note,
        prompt=data.task.template,
        classes=data.classes,
        words=data.task.answers,
        words_known=task.words_known,
        question_matters=task.question_matters,
        shots=shots,
        n_test=len(truth),
        majority=max(counts) / len(truth),
        unmatched={name: unmatched_rate(answers[name]) for name in (FREE, FREE_WORDS) if name in answers},
        accuracy={name: interval(correct, clusters=clusters) for name, correct in right.items()},
        whole={kind: {name: interval(whole[name][kind], clusters=points[kind]) for name in whole} for kind in kinds},
        n_apart=len(apart),
        apart={name: interval(correct[:, apart], clusters=clusters[apart]) for name, correct in right.items()}
        if len(apart)
        else {},
        zero_shot=less(right, ZERO_SHOT),
        zero_shot_as_given=less(right, (FREE, CHOICE)),
        control=less(right, CONTROLS),
    )


def _difference(
    right: Mapping[str, Right], others: Sequence[str], *, clusters: NDArray[np.intp], seed: int, n_resamples: int
) -> Difference:
    """SAVs less the most accurate of the others."""
    best = max((name for name in others if name in right), key=lambda name: right[name].mean())
    by = paired_difference(right[SAVS], right[best], clusters=clusters, seed=seed, n_resamples=n_resamples)
    return Difference(best, by)


def _whole(task: BenchTask, correct: Right) -> dict[str, Right]:
    """Points of whole groups, `[n_draws, n_points]` by kind of score; none where examples stand alone."""
    test, metric = task.data.test, task.data.task.metric
    if metric == "accuracy":
        return {}
    rows = group_rows(test)
    if metric == "pairs":
        return {"pair": np.stack([correct[:, members].all(axis=1) for members in rows.values()], axis=1)}
    tables = np.array(
        [
            [two_by_two(group, [test[row] for row in members], draw[members]) for group, members in rows.items()]
            for draw in correct
        ]
    )  # [n_draws, n_groups, 2 images, 2 questions]
    return {
        "question": tables.all(axis=2).reshape(len(correct), -1),
        "image": tables.all(axis=3).reshape(len(correct), -1),
        "group": np.asarray(tables.all(axis=(2, 3))),
    }


@dataclass(frozen=True)
class Aim:
    """Something the benchmark was to show, what it showed, and whether that is it."""

    says: str
    found: str
    met: bool


#: SAVs less zero-shot on the mean over the tasks whose labels the model has no words for.
MEAN_GAIN = 0.25
#: Accuracies that SAVs were to reach.
LEAST = {"digits": 0.88, "invented names": 0.90, "textile": 0.62}
#: Tasks on which SAVs were to be off chance.
OFF_CHANCE = ("claims", "matching")


def aims(results: Sequence[TaskResult]) -> list[Aim]:
    """Each aim that the measured tasks can decide, decided by the paper's rule alone."""
    by_name = {result.name: result for result in results}
    found: list[Aim] = []
    if without := [result for result in results if not result.words_known]:
        gain = float(np.mean([result.zero_shot_as_given.by.value for result in without]))
        told = float(np.mean([result.zero_shot.by.value for result in without]))
        names = ", ".join(result.name for result in without)
        found.append(
            Aim(
                f"25 points above the better zero-shot on the mean over tasks whose labels have no words ({names})",
                f"{100 * gain:+.1f} points against the labels as they stand; {100 * told:+.1f} against zero-shot that "
                "is told which known word each label stands for",
                gain >= MEAN_GAIN,
            )
        )
    for name, least in LEAST.items():
        if name in by_name:
            value = by_name[name].accuracy[SAVS].value
            found.append(Aim(f"{name}: at least {least:.0%}", f"{100 * value:.1f}%", value >= least))
    for name in OFF_CHANCE:
        if name in by_name:
            result = by_name[name]
            interval = result.accuracy[SAVS]
            found.append(
                Aim(
                    f"{name}: clearly off chance",
                    f"{100 * interval.low:.1f}% at the interval's low end, chance {result.chance:.0%}",
                    interval.low > result.chance,
                )
            )
    found += [
        _against(
            result,
            result.zero_shot,
            "level with the better zero-shot, or above",
            needed=("above", "level"),
            beside=f"; zero-shot {100 * result.interval(BEST_ZERO_SHOT).value:.1f}%, majority "
            f"{100 * result.majority:.1f}%",
        )
        for result in results
        if result.words_known
    ]
    found += [
        _against(result, result.control, "above pixels, pooled tower and random decoder", needed=("above",))
        for result in results
        if result.question_matters
    ]
    return found


def _against(result: TaskResult, difference: Difference, says: str, *, needed: Sequence[str], beside: str = "") -> Aim:
    by = difference.by
    return Aim(
        f"{result.name}: {says}",
        f"{100 * by.value:+.1f} [{100 * by.low:+.1f}, {100 * by.high:+.1f}] points against {difference.other}: "
        f"{difference.verdict}{beside}",
        difference.verdict in needed,
    )
