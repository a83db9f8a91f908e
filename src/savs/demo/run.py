"""What `savs demo` does: fit and evaluate on the demo's tasks, over several draws of the shots.

Every number comes from features that were extracted once, one forward pass an example. Prints and draws nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from savs.backbones.base import Backbone, Progress
from savs.baselines.zero_shot import UNMATCHED, closed_choice, free_answer
from savs.classify import SAVClassifier
from savs.data.clusters import clusters_of
from savs.data.sampling import sample_shots
from savs.demo.tasks import POOL_PER_CLASS, SHOWN_TASKS, DemoTask, load_demo_task
from savs.evaluation import correctness, evaluate
from savs.extraction import extract
from savs.features import HeadFeatures, HeadId
from savs.grouping import clusters_of_groups
from savs.intervals import Interval, draws_interval
from savs.model import SAVModel
from savs.prediction import Prediction
from savs.report import Report

#: Where the accuracy curves are measured.
SHOT_COUNTS = (1, 2, 5, 10, 20, 40)
HEAD_COUNTS = (1, 2, 5, 10, 20, 40)

#: Presets that are measured beside the paper's rule.
VARIANTS = ("sav-loo", "hec")

#: Entered around one stage of the work, such as `claims: shots`; gives its progress callback.
Stage = Callable[[str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True)
class Curve:
    """Accuracy against a number: shots a class, or heads kept."""

    x: tuple[int, ...]
    accuracy: tuple[Interval, ...]


@dataclass(frozen=True)
class TaskResult:
    """What came of one task.

    Attributes:
        task: the task and its data.
        shots: examples of each class used to fit.
        draws: how many times the shots were drawn.
        majority: accuracy of always giving the commonest label of the test set.
        savs: accuracy of the paper's rule, over draws and examples.
        variants: accuracy of the presets in `VARIANTS`.
        savs_whole: where examples are scored in pairs or groups, the share that is right throughout.
        zero_shot_free: accuracy of the model's own written answer.
        zero_shot_choice: accuracy of the likeliest label word.
        unmatched_rate: share of written answers that name no class.
        by_shots: accuracy against shots.
        by_heads: accuracy against heads kept.
        model: the classifier of the first draw.
        report: its evaluation.
        predictions: its answers, in the order of the test set.
        points: `[n_test, 2]`, t-SNE of the best head's features on the test set.
        seconds: for all of it.
    """

    task: DemoTask
    shots: int
    draws: int
    majority: float
    savs: Interval
    savs_whole: Interval | None
    variants: Mapping[str, Interval]
    zero_shot_free: Interval
    zero_shot_choice: Interval
    unmatched_rate: float
    by_shots: Curve
    by_heads: Curve
    model: SAVModel
    report: Report
    predictions: tuple[Prediction, ...]
    points: NDArray[np.floating]
    seconds: float

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / len(self.task.classes)

    @property
    def zero_shot(self) -> Interval:
        """The better of the two zero-shot answers."""
        return max(self.zero_shot_free, self.zero_shot_choice, key=lambda interval: interval.value)

    @property
    def selected_heads(self) -> tuple[HeadId, ...]:
        """The heads kept in the first draw, best first."""
        return self.model.selected_heads

    def to_json(self) -> dict[str, Any]:
        """Every number, for a program."""
        return {
            "task": self.task.name,
            "asks": self.task.asks,
            "classes": list(self.task.classes),
            "shots": self.shots,
            "draws": self.draws,
            "test_examples": len(self.task.test),
            "chance": self.chance,
            "majority": self.majority,
            "zero_shot": {
                "free_answer": _interval(self.zero_shot_free),
                "closed_choice": _interval(self.zero_shot_choice),
                "unmatched_rate": self.unmatched_rate,
            },
            "savs": _interval(self.savs),
            "savs_whole_groups": None if self.savs_whole is None else _interval(self.savs_whole),
            "variants": {name: _interval(interval) for name, interval in self.variants.items()},
            "accuracy_by_shots": _curve(self.by_shots),
            "accuracy_by_heads": _curve(self.by_heads),
            "selected_heads": [str(head) for head in self.selected_heads],
            "seconds": round(self.seconds, 2),
        }


def run_demo(
    backbone: Backbone,
    *,
    tasks: Sequence[str] = SHOWN_TASKS,
    shots: int = 20,
    draws: int = 5,
    seed: int = 0,
    stage: Stage = lambda _title: nullcontext(),
) -> list[TaskResult]:
    """Fit and evaluate on each task.

    Args:
        backbone: the frozen model.
        tasks: names out of `demo.tasks.DEMO_TASKS`.
        shots: labelled examples of each class, at most `POOL_PER_CLASS`.
        draws: how many times the shots are drawn; the test set stays.
        seed: of the data and the draws.
        stage: called with the name of each piece of work; what it gives is entered around it.

    Raises:
        ValueError: there are fewer than two draws, or more shots than examples to draw them from.
    """
    if draws < 2:
        raise ValueError(f"draws={draws}; an interval over draws needs at least two")
    if not 1 <= shots <= POOL_PER_CLASS:
        raise ValueError(f"shots={shots}; expected 1 to {POOL_PER_CLASS}, the examples of each class to draw from")
    return [_run_task(backbone, load_demo_task(name, seed=seed), shots, draws, seed, stage) for name in tasks]


def _run_task(backbone: Backbone, task: DemoTask, shots: int, draws: int, seed: int, stage: Stage) -> TaskResult:
    start = time.perf_counter()
    with stage(f"{task.name}: shots") as progress:
        pool = extract(backbone, task.pool, progress=progress)
    with stage(f"{task.name}: test") as progress:
        test = extract(backbone, task.test, progress=progress)
    with stage(f"{task.name}: zero-shot, written") as progress:
        answers = free_answer(backbone, task.test, task.classes, task=task.task, max_new_tokens=6, progress=progress)
    with stage(f"{task.name}: zero-shot, likeliest") as progress:
        choices = closed_choice(backbone, task.test, task.classes, task=task.task, progress=progress)
    written = evaluate(task.test, answers, classes=task.classes, unmatched=UNMATCHED)

    def draws_of(classifier: SAVClassifier, shots: int) -> list[NDArray[np.str_]]:
        """The labels given to the test set, draw by draw."""
        labels = np.array([str(label) for label in pool.labels])
        rows = [_draw(task, shots, seed + draw) for draw in range(draws)]
        return [clone(classifier).fit(pool.z[chosen], labels[chosen]).predict(test.z) for chosen in rows]

    truth = np.array([str(label) for label in test.labels])
    clusters = clusters_of(task.test)

    def accuracy(classifier: SAVClassifier, shots: int = shots) -> Interval:
        right = np.stack([given == truth for given in draws_of(classifier, shots)])
        return draws_interval(right, clusters=clusters, seed=seed)

    n_heads = backbone.layout.n_heads
    counts = (*(k for k in HEAD_COUNTS if k < n_heads), n_heads)
    first = _draw(task, shots, seed)
    model = SAVModel.fit_features(pool.take(first), backbone=backbone, task=task.task)
    predictions = tuple(model.predict_features(test))
    report = evaluate(task.test, predictions, metric=task.task.metric, classes=model.classes)  # type: ignore[arg-type]
    return TaskResult(
        task=task,
        shots=shots,
        draws=draws,
        majority=report.majority_accuracy,
        savs=accuracy(SAVClassifier()),
        savs_whole=None if task.task.metric == "accuracy" else _whole(task, draws_of(SAVClassifier(), shots), seed),
        variants={name: accuracy(SAVClassifier.from_preset(name)) for name in VARIANTS},
        zero_shot_free=written.accuracy,
        zero_shot_choice=evaluate(task.test, choices, classes=task.classes).accuracy,
        unmatched_rate=written.unmatched_rate or 0.0,
        by_shots=Curve(SHOT_COUNTS, tuple(accuracy(SAVClassifier(), count) for count in SHOT_COUNTS)),
        by_heads=Curve(counts, tuple(accuracy(SAVClassifier(k)) for k in counts)),
        model=model,
        report=report,
        predictions=predictions,
        points=embed(test, model.selected_heads[0], seed),
        seconds=time.perf_counter() - start,
    )


def _draw(task: DemoTask, shots: int, seed: int) -> list[int]:
    """Row numbers in the pool of one draw of the shots."""
    row = {example.id: i for i, example in enumerate(task.pool)}
    drawn, _ = sample_shots(task.pool, shots, seed)
    return [row[example.id] for example in drawn]


def _whole(task: DemoTask, draws: Sequence[NDArray[np.str_]], seed: int) -> Interval:
    """Share of the groups that are right throughout, over draws and groups."""
    right = []
    for labels in draws:
        answers = [Prediction(example.id, str(label), {}, {}) for example, label in zip(task.test, labels, strict=True)]
        right.append(correctness(task.test, answers, unit="group"))
    groups = clusters_of_groups(task.test, clusters_of(task.test))
    return draws_interval(np.stack(right), clusters=groups, seed=seed)


def embed(test: HeadFeatures, head: HeadId, seed: int) -> NDArray[np.floating]:
    """t-SNE of one head's features, in the plane (arXiv 2412.00142, figure 3)."""
    z = test.z[:, test.layout.heads.index(head)]
    embedding = TSNE(metric="cosine", init="random", perplexity=min(30.0, (len(z) - 1) / 3), random_state=seed)
    with threadpool_limits(1):  # its threads wait by spinning, which stalls for minutes where cores are shared
        return np.asarray(embedding.fit_transform(z))


def _interval(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _curve(curve: Curve) -> list[dict[str, float]]:
    return [{"at": x, **_interval(y)} for x, y in zip(curve.x, curve.accuracy, strict=True)]
