"""Which heads are kept: a score for every head, and one rule for ties. Knows nothing of how heads decide."""

from __future__ import annotations

from typing import Literal

import numpy as np

from savs.classify.similarity import Float, Index, best_class, margins, softmax

Ranking = Literal["accuracy", "probability", "margin"]


def score_heads(decisions: Float, y: Index, *, ranking: Ranking, temperature: float) -> tuple[Float, Float]:
    """Score every head by its decisions on labelled examples.

    Args:
        decisions: `[n_samples, n_heads, n_classes]`, highest wins; equal scores go to the lowest class index.
        y: `[n_samples]` true class indices.
        ranking: `accuracy` is the paper's rule, the share of examples that the head gets right. `probability` is
            the mean probability of the true class (HEC). `margin` is accuracy with ties broken by the mean margin.
        temperature: of the softmax, for `probability`.

    Returns:
        Scores `[n_heads]` and tie-breaking values `[n_heads]`; of both, more is better.
    """
    if ranking == "probability":
        true_class = softmax(decisions / temperature)[np.arange(len(y)), :, y]
        return true_class.mean(axis=0), np.zeros(decisions.shape[1])
    accuracy = (best_class(decisions) == y[:, None]).mean(axis=0)
    tie_break = margins(decisions, y).mean(axis=0) if ranking == "margin" else np.zeros(decisions.shape[1])
    return accuracy, tie_break


def rank_heads(scores: Float, tie_break: Float) -> Index:
    """All heads, best first: by score, then by `tie_break`, then by index, which is (layer, head) order.

    >>> rank_heads(np.array([0.5, 0.9, 0.9, 0.9]), np.array([0.0, 0.1, 0.3, 0.1])).tolist()
    [2, 1, 3, 0]
    """
    return np.lexsort((np.arange(len(scores)), -tie_break, -scores))
