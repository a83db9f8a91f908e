"""How far the features of one model are from those of another with the same heads: a quantised one and its original.

Knows two loaded backbones and numbers; prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.classify import SAVClassifier
from savs.doctor.inputs import image_examples, text_examples
from savs.errors import BackboneError
from savs.features import FloatArray

if TYPE_CHECKING:
    from savs.backbones.base import Backbone, BackboneSpec

#: Above this share of changed votes among the best heads a user should know.
MANY = 0.05


@dataclass(frozen=True)
class Drift:
    """Differences between the features of a model and of its original, on built-in examples.

    Attributes:
        spec: of the model.
        original: of the model that it is held against.
        layers: layer to the size of the features' difference, as a share of the original's size (Frobenius norms).
        votes_changed: share of all heads' votes on the queries that differ, each model with its own class means.
        best_votes_changed: the same among the heads that SAVs keep on the original.
        answers_changed: queries that the two models' SAVs answer differently.
        n_queries: how many there are.
    """

    spec: BackboneSpec
    original: BackboneSpec
    layers: dict[int, float]
    votes_changed: float
    best_votes_changed: float
    answers_changed: int
    n_queries: int

    @property
    def small(self) -> bool:
        """Whether hardly any vote of the best heads changes."""
        return self.best_votes_changed <= MANY

    def to_json(self) -> dict[str, Any]:
        """Every number, for a program."""
        return {**asdict(self), "small": self.small}


def measure_drift(backbone: Backbone, original: Backbone, *, images: bool) -> Drift:
    """Run both models over the same labelled examples, half of them shots and half queries.

    Args:
        backbone: the model, such as a quantised one.
        original: what it was made from.
        images: whether examples hold drawn images; both models must then take them.

    Raises:
        BackboneError: the two do not have the same heads.
    """
    if backbone.layout != original.layout:
        raise BackboneError(
            f"{backbone.spec.model} has {backbone.layout.n_heads} heads of size {backbone.layout.head_dim} and "
            f"{original.spec.model} has {original.layout.n_heads} of size {original.layout.head_dim}; drift is "
            "measured between two forms of one model"
        )
    examples = image_examples() if images else text_examples()
    labels = np.array([str(example.label) for example in examples])
    found, expected = (model.head_activations(examples) for model in (backbone, original))
    half = len(examples) // 2
    votes = [_votes(z, labels, half) for z in (found, expected)]
    answers = [SAVClassifier().fit(z[:half], labels[:half]).predict(z[half:]) for z in (found, expected)]
    best = SAVClassifier().fit(expected[:half], labels[:half]).selected_heads_
    changed = votes[0] != votes[1]
    return Drift(
        spec=backbone.spec,
        original=original.spec,
        layers=_by_layer(found, expected, [head.layer for head in original.layout.heads]),
        votes_changed=float(changed.mean()),
        best_votes_changed=float(changed[:, best].mean()),
        answers_changed=int((answers[0] != answers[1]).sum()),
        n_queries=len(examples) - half,
    )


def _votes(z: FloatArray, labels: NDArray[np.str_], half: int) -> NDArray[np.str_]:
    """`[n_queries, n_heads]`: the nearest class mean of every head, heads in the layout's order."""
    classifier = SAVClassifier(k=None).fit(z[:half], labels[:half])
    votes = np.empty((len(z) - half, z.shape[1]), dtype=labels.dtype)
    votes[:, classifier.selected_heads_] = classifier.head_votes(z[half:])
    return votes


def _by_layer(found: FloatArray, expected: FloatArray, layers: Sequence[int]) -> dict[int, float]:
    of_head = np.array(layers)
    return {
        layer: float(
            np.linalg.norm(found[:, of_head == layer] - expected[:, of_head == layer])
            / np.linalg.norm(expected[:, of_head == layer])
        )
        for layer in sorted(set(layers))
    }
