"""What a classifier says of one example: the class, how the heads voted, and the share behind each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from savs.features import FloatArray, HeadId


@dataclass(frozen=True)
class Prediction:
    """The answer for one example.

    Attributes:
        id: of the example.
        label: the predicted class.
        probabilities: per class, in the order of the classifier's classes. With the paper's rule these are
            vote shares: they sum to one and are not calibrated.
        votes: per selected head, best first, the class that this head alone would choose.
    """

    id: str
    label: str
    probabilities: Mapping[str, float]
    votes: Mapping[HeadId, str]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: `id`, `label`, `probabilities`, `votes` (keyed `L14H7`)."""
        return {
            "id": self.id,
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "votes": {str(head): vote for head, vote in self.votes.items()},
        }


class HeadVoter(Protocol):
    """A fitted classifier over head features, such as `SAVClassifier`."""

    classes_: Any

    def predict(self, X: Any, offered: Any = None) -> Any:
        """`[n_samples]` labels."""
        ...

    def predict_proba(self, X: Any, offered: Any = None) -> Any:
        """`[n_samples, n_classes]`."""
        ...

    def head_votes(self, X: Any, offered: Any = None) -> Any:
        """`[n_samples, k]` labels."""
        ...


def predictions_of(
    classifier: HeadVoter,
    ids: Sequence[str],
    z: FloatArray,
    heads: Sequence[HeadId],
    offered: NDArray[np.bool_] | None = None,
) -> list[Prediction]:
    """What a fitted classifier says of each example.

    Args:
        classifier: fitted on features like `z`.
        ids: of the examples.
        z: `[n_samples, n_heads, head_dim]`.
        heads: the kept heads, best first, whose votes are told; none where what votes are no heads.
        offered: `[n_samples, n_classes]`, which classes each example may have, where not all.
    """
    if not ids:
        return []
    labels, probabilities = classifier.predict(z, offered), classifier.predict_proba(z, offered)
    votes = classifier.head_votes(z, offered) if heads else [()] * len(ids)
    classes = [str(label) for label in classifier.classes_]
    return [
        Prediction(
            id=ids[i],
            label=str(labels[i]),
            probabilities={label: float(p) for label, p in zip(classes, probabilities[i], strict=True)},
            votes={head: str(vote) for head, vote in zip(heads, votes[i], strict=True)},
        )
        for i in range(len(ids))
    ]
