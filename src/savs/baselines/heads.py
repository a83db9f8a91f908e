"""Rows of a comparison that read attention heads: SAVs, its presets, and its ablations.

They work on features that were extracted before, of the pool that shots are drawn from and of the test set, so that
no row costs a forward pass. Knows no backbone and no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.base import clone

from savs.backbones.base import Progress
from savs.baselines.method import Problem
from savs.classify import SAVClassifier
from savs.data.choices import offered
from savs.data.example import Example
from savs.features import FloatArray, HeadFeatures, HeadId
from savs.prediction import Prediction, predictions_of


@dataclass(frozen=True)
class SAVs:
    """The estimator with any of its choices: SAVs (arXiv 2412.00142), the presets of table 3a, `hec`, `calm`.

    Attributes:
        features: of every example of the pool and of the test set, found by id.
        classifier: unfitted; the paper's rule by default.
        name: of the row.
    """

    features: HeadFeatures
    classifier: SAVClassifier = field(default_factory=SAVClassifier)
    name: str = "sav"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return unseen(self.features, problem) or too_few(problem, self.classifier)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Fit on the shots and classify the test examples."""
        shots, labels = look_up(self.features, problem.shots), labels_of(problem.shots)
        fitted = clone(self.classifier).fit(shots, labels)
        kept = [self.features.layout.heads[i] for i in fitted.selected_heads_]
        return answers_of(fitted, problem, look_up(self.features, problem.test), kept)


@dataclass(frozen=True)
class TransferredHeads:
    """SAVs whose heads were chosen on another task (arXiv 2412.00142, table 2a).

    The heads come from `elsewhere`; what each class looks like to them comes from the shots.

    Attributes:
        features: of every example of the pool and of the test set, found by id.
        elsewhere: of labelled examples of another task, by the same backbone.
        classifier: unfitted; chooses the heads on `elsewhere`, and votes with them.
        name: of the row.
    """

    features: HeadFeatures
    elsewhere: HeadFeatures
    classifier: SAVClassifier = field(default_factory=SAVClassifier)
    name: str = "transferred-heads"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        if self.elsewhere.layout != self.features.layout or self.elsewhere.fingerprint != self.features.fingerprint:
            return "the features of the other task come from another backbone"
        if len({label for label in self.elsewhere.labels if label is not None}) < 2:
            return "the other task has fewer than two classes of labelled examples"
        return unseen(self.features, problem) or too_few(problem, self.classifier)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Choose heads on the other task, fit them on the shots, and classify the test examples."""
        labelled = [row for row, label in enumerate(self.elsewhere.labels) if label is not None]
        other = self.elsewhere.take(labelled)
        chosen = clone(self.classifier).fit(other.z, np.array(other.labels)).selected_heads_
        shots = look_up(self.features, problem.shots)[:, chosen]
        fitted = clone(self.classifier).set_params(k=None).fit(shots, labels_of(problem.shots))
        kept = [self.features.layout.heads[chosen[i]] for i in fitted.selected_heads_]
        test = look_up(self.features, problem.test)[:, chosen]
        return answers_of(fitted, problem, test, kept)


@dataclass(frozen=True)
class SparseLayers:
    """Whole layers in place of heads (arXiv 2412.00142, table 3b): a layer's heads side by side are one unit.

    Attributes:
        features: of every example of the pool and of the test set, found by id.
        classifier: unfitted; keeps two layers by default.
        name: of the row.
    """

    features: HeadFeatures
    classifier: SAVClassifier = field(default_factory=lambda: SAVClassifier(k=2))
    name: str = "sparse-layers"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return unseen(self.features, problem) or too_few(problem, self.classifier)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Fit layers on the shots and classify the test examples. No single head votes."""
        heads = self.features.layout.heads
        shots = layers_of(look_up(self.features, problem.shots), heads)
        fitted = clone(self.classifier).fit(shots, labels_of(problem.shots))
        test = layers_of(look_up(self.features, problem.test), heads)
        return answers_of(fitted, problem, test, ())


def answers_of(fitted: SAVClassifier, problem: Problem, z: FloatArray, heads: Sequence[HeadId]) -> list[Prediction]:
    """What a fitted classifier answers, each example with one of the choices that it offers."""
    may = offered(problem.test, [str(label) for label in fitted.classes_])
    return predictions_of(fitted, [example.id for example in problem.test], z, heads, may)


def look_up(features: HeadFeatures, examples: Sequence[Example]) -> FloatArray:
    """The features of some examples, by id and in their order: `[n_samples, n_heads, head_dim]`."""
    row = {example_id: i for i, example_id in enumerate(features.ids)}
    return features.z[[row[example.id] for example in examples]]


def layers_of(z: FloatArray, heads: Sequence[HeadId]) -> FloatArray:
    """Each layer's heads side by side, layers with fewer heads padded with zeros.

    Args:
        z: `[n_samples, n_heads, head_dim]`.
        heads: which head each column of `z` is, in (layer, head) order.

    Returns:
        `[n_samples, n_layers, heads_a_layer * head_dim]`.
    """
    columns: dict[int, list[int]] = {}
    for column, head in enumerate(heads):
        columns.setdefault(head.layer, []).append(column)
    widest = max(len(of_layer) for of_layer in columns.values())
    layers = np.zeros((len(z), len(columns), widest * z.shape[2]), dtype=z.dtype)
    for row, of_layer in enumerate(columns.values()):
        layers[:, row, : len(of_layer) * z.shape[2]] = z[:, of_layer].reshape(len(z), -1)
    return layers


def labels_of(examples: Sequence[Example]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """The labels, as an array."""
    return np.array([str(example.label) for example in examples])


def unseen(features: HeadFeatures, problem: Problem) -> str | None:
    """Say which example has no features, if one has none."""
    known = set(features.ids)
    missing = [example.id for example in (*problem.shots, *problem.test) if example.id not in known]
    return f"{len(missing)} examples have no features, the first {missing[0]!r}" if missing else None


def too_few(problem: Problem, classifier: SAVClassifier) -> str | None:
    """Say which class has too few shots for the rule, if one has."""
    counts = Counter(example.label for example in problem.shots)
    if len(counts) < 2:
        return "it needs shots of at least two classes"
    label, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < classifier.min_shots:
        return f"it scores heads on examples they have not seen, and class {label!r} has a single shot"
    return None
