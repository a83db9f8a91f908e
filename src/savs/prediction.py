"""What a classifier says of one example: the class, how the heads voted, and the share behind each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from savs.features import HeadId


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
