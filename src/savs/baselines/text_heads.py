"""Heads that compare an input with the names of the classes: HEC-T and HEC-VT (arXiv 2603.24181).

The head features of a short text that names a class stand where class means stand in SAVs. Knows no file and no
metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from savs.backbones.base import Backbone, Progress
from savs.baselines.heads import labels_of, look_up, too_few, unseen
from savs.baselines.method import Problem
from savs.classify import SAVClassifier
from savs.classify.similarity import inner_products, normalise, softmax
from savs.data.choices import offered
from savs.data.example import Example
from savs.data.tasks import GENERIC, Task
from savs.features import FloatArray, HeadFeatures
from savs.prediction import Prediction

Float = NDArray[np.float64]

#: The text that names a class. The choice of words is ours.
NAMING = "This is {}."

#: Text heads kept, and the temperature of their softmax.
KEPT, TEMPERATURE = 20, 1.0


@dataclass(frozen=True)
class TextHeads:
    """HEC-T: heads chosen once on another task, classes known by name alone. It looks at no shot.

    Attributes:
        backbone: the frozen model, which reads the names.
        features: of every test example, found by id.
        elsewhere: of labelled examples of another task, on which heads are chosen.
        elsewhere_task: in which words the labels of those are answered.
        name: of the row.
    """

    backbone: Backbone
    features: HeadFeatures
    elsewhere: HeadFeatures
    elsewhere_task: Task = GENERIC
    name: str = "hec-t"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        if self.elsewhere.layout != self.features.layout or self.elsewhere.fingerprint != self.features.fingerprint:
            return "the features of the other task come from another backbone"
        if len({label for label in self.elsewhere.labels if label is not None}) < 2:
            return "the other task has fewer than two classes of labelled examples"
        return unseen(self.features, problem)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Choose heads on the other task, then take the class whose name is nearest."""
        rows = [row for row, label in enumerate(self.elsewhere.labels) if label is not None]
        other = self.elsewhere.take(rows)
        known, targets = np.unique(np.array([str(label) for label in other.labels]), return_inverse=True)
        there = name_probabilities(other.z, self._names([str(label) for label in known], self.elsewhere_task))
        kept = best_text_heads(there, targets)
        here = name_probabilities(look_up(self.features, problem.test), self._names(problem.classes, problem.task))
        return as_predictions(problem.test, problem.classes, here[:, kept].mean(axis=1))

    def _names(self, classes: Sequence[str], task: Task) -> FloatArray:
        return name_features(self.backbone, classes, task)


@dataclass(frozen=True)
class VisionAndTextHeads:
    """HEC-VT: the probabilities of `hec` and of text heads, mixed by a weight that the shots decide.

    Text heads are chosen on the shots as well: names are not made of shots, so that these score them fairly. The
    weight is the one of eleven from 0 to 1 that is right on most shots, `hec` being asked of shots it was not fitted
    on; of equals the nearest to one half.

    Attributes:
        backbone: the frozen model, which reads the names.
        features: of every example of the pool and of the test set, found by id.
        name: of the row.
    """

    backbone: Backbone
    features: HeadFeatures
    name: str = "hec-vt"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        few = too_few(problem, SAVClassifier.from_preset("gda-loo"))  # as for leave-one-out: two shots of each class
        if few is None and set(labels_of(problem.shots)) != set(problem.classes):
            few = "it needs shots of every class"
        return unseen(self.features, problem) or few

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Fit both kinds of heads on the shots, weigh them, and classify the test examples."""
        shots, test = look_up(self.features, problem.shots), look_up(self.features, problem.test)
        labels = labels_of(problem.shots)
        classes, targets = np.unique(labels, return_inverse=True)
        names = name_features(self.backbone, [str(label) for label in classes], problem.task)
        by_name = name_probabilities(shots, names)
        kept = best_text_heads(by_name, targets)
        vision = SAVClassifier.from_preset("hec").fit(shots, labels)
        weight = best_weight(held_out_probabilities(shots, labels), by_name[:, kept].mean(axis=1), targets)
        text = name_probabilities(test[:, kept], names[:, kept]).mean(axis=1)
        mixed = weight * vision.predict_proba(test) + (1 - weight) * text
        return as_predictions(problem.test, [str(label) for label in classes], mixed)


def name_features(backbone: Backbone, classes: Sequence[str], task: Task) -> FloatArray:
    """Head features of a text that names each class: `[n_classes, n_heads, head_dim]`."""
    prompts = [Example(f"name:{label}", NAMING.format(task.answer(label))) for label in classes]
    return backbone.head_activations(prompts)


def name_probabilities(z: FloatArray, names: FloatArray) -> Float:
    """`softmax(-1/2 |x - t_c|^2 / tau)` on features of length one: `[n_samples, n_heads, n_classes]`.

    Of vectors of length one that is `softmax(cos(x, t_c) / tau)`.

    Args:
        z: `[n_samples, n_heads, head_dim]`.
        names: `[n_classes, n_heads, head_dim]`.
    """
    x, t = normalise(z.astype(np.float64)), normalise(names.astype(np.float64))
    return softmax(inner_products(x, t) / TEMPERATURE)


def best_text_heads(probabilities: Float, targets: NDArray[np.intp]) -> NDArray[np.intp]:
    """The heads with the highest mean probability of the true class, of equals the first: `[KEPT]` at most."""
    scores = probabilities[np.arange(len(targets)), :, targets].mean(axis=0)
    return np.argsort(-scores, kind="stable")[:KEPT]


def held_out_probabilities(shots: FloatArray, labels: NDArray[np.str_]) -> Float:
    """What `hec` says of shots that it was not fitted on, in folds cut by class: `[n_shots, n_classes]`."""
    fewest = int(np.unique(labels, return_counts=True)[1].min())
    probabilities = np.empty((len(labels), len(np.unique(labels))))
    for seen, held_out in StratifiedKFold(min(5, fewest)).split(shots[:, 0], labels):
        fitted = SAVClassifier.from_preset("hec").fit(shots[seen], labels[seen])
        probabilities[held_out] = fitted.predict_proba(shots[held_out])
    return probabilities


def best_weight(vision: Float, text: Float, targets: NDArray[np.intp]) -> float:
    """The weight of `vision` with which the mixture is right most often."""
    weights = sorted((step / 10 for step in range(11)), key=lambda weight: abs(weight - 0.5))
    right = [int(((w * vision + (1 - w) * text).argmax(axis=1) == targets).sum()) for w in weights]
    return weights[int(np.argmax(right))]


def as_predictions(examples: Sequence[Example], classes: Sequence[str], probabilities: Float) -> list[Prediction]:
    """The likeliest class that each example offers."""
    may = np.where(offered(examples, classes), probabilities, 0.0)
    shares = may / may.sum(axis=1, keepdims=True)
    return [
        Prediction(e.id, classes[int(row.argmax())], {c: float(p) for c, p in zip(classes, row, strict=True)}, {})
        for e, row in zip(examples, shares, strict=True)
    ]
