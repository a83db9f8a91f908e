"""What is known of a classifier from its shots alone. Knows features and labels; no model, no file, no test set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from savs.classify import SAVClassifier
from savs.features import HeadFeatures
from savs.intervals import Interval, wilson_interval
from savs.store import StoredFeatures


@dataclass(frozen=True)
class FitSummary:
    """What is known of a classifier from its shots alone.

    Attributes:
        shots: labelled examples of each class.
        accuracy: on shots that were held out in turn (stratified folds, heads chosen anew in each); None where a
            class has too few shots to spare one.
        best_head_score: of the best head.
        worst_kept_score: of the last head that was kept.
        n_heads: heads there were to choose from.
    """

    shots: dict[str, int]
    accuracy: Interval | None
    best_head_score: float
    worst_kept_score: float
    n_heads: int


def held_out_accuracy(
    classifier: SAVClassifier, features: HeadFeatures | StoredFeatures, labels: Any
) -> Interval | None:
    """Accuracy on shots held out in turn, heads chosen anew each time; None where a class has too few to spare one."""
    fewest = min(Counter(labels.tolist()).values())
    if fewest <= classifier.min_shots:  # one is held out, the others must do
        return None
    right = 0
    folds = StratifiedKFold(n_splits=min(5, fewest), shuffle=True, random_state=0)
    for seen, held_out in folds.split(np.zeros(len(labels)), labels):
        fitted = clone(classifier).fit(features.take(seen), labels[seen])
        right += int((fitted.predict(features.take(held_out)) == labels[held_out]).sum())
    return wilson_interval(right, len(labels))
