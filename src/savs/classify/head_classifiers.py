"""How one head classifies: four rules, each fitted for many heads at once, no head knowing of another.

A rule turns labelled features into `FittedHeads`, and can say how it would have decided on each of those examples
had it not seen it (`leave_one_out`). It ranks nothing and combines nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from typing_extensions import override

from savs.classify.readers import blocks
from savs.classify.similarity import Float, Index, class_means, inner_products, leave_one_out_cosines, normalise


class FittedHeads(ABC):
    """Heads that are ready to classify."""

    @abstractmethod
    def decide(self, z: Float) -> Float:
        """Score each class: `[n_samples, n_heads, head_dim]` -> `[n_samples, n_heads, n_classes]`, highest wins."""

    @classmethod
    @abstractmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The heads of several fits on the same examples, one after the other."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was learned, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[Any]]) -> Self:
        """Heads out of arrays that `tensors` gave, others beside them being ignored."""
        return cls(**{f.name: tensors[f.name] for f in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class LinearHeads(FittedHeads):
    """Scores that are linear in the feature's direction: `z / |z| . weights + bias`.

    Attributes:
        weights: `[n_classes, n_heads, head_dim]`.
        bias: `[n_classes, n_heads]`.
    """

    weights: Float
    bias: Float

    @override
    def decide(self, z: Float) -> Float:
        return inner_products(normalise(z), self.weights) + self.bias.T

    @classmethod
    @override
    def joined(cls, parts: Sequence[Self]) -> Self:
        weights = np.concatenate([part.weights for part in parts], axis=1)
        return cls(weights=weights, bias=np.concatenate([part.bias for part in parts], axis=1))


@dataclass(frozen=True)
class NeighbourHeads(FittedHeads):
    """The share of each class among the nearest stored examples.

    Attributes:
        shots: `[n_shots, n_heads, head_dim]`, of length one.
        targets: `[n_shots]` class indices.
    """

    n_neighbours: ClassVar[int] = 5

    shots: Float
    targets: Index

    @override
    def decide(self, z: Float) -> Float:
        return _neighbour_shares(normalise(z), self.shots, self.targets, self.n_neighbours)

    @classmethod
    @override
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(shots=np.concatenate([part.shots for part in parts], axis=1), targets=parts[0].targets)


class HeadClassifier(ABC):
    """A rule by which a single head tells classes apart.

    Attributes:
        temperature: softmax(score / temperature) makes scores into probabilities.
        fitted: what `fit` returns.
    """

    temperature: ClassVar[float]
    fitted: ClassVar[type[FittedHeads]] = LinearHeads

    @abstractmethod
    def fit(self, z: Float, y: Index, n_classes: int) -> FittedHeads:
        """Fit every head on `z` `[n_samples, n_heads, head_dim]` with class indices `y` `[n_samples]`."""

    def leave_one_out(self, z: Float, y: Index, n_classes: int) -> Float:
        """What `fit(all but i).decide(i)` gives for each i, in closed form: `[n_samples, n_heads, n_classes]`.

        Raises:
            ValueError: the rule has no closed form.
        """
        raise ValueError(
            f"{type(self).__name__} has no closed leave-one-out form; use scored_on='cross_validation' instead"
        )


class Centroid(HeadClassifier):
    """Nearest class mean by cosine (arXiv 2412.00142, section 3). Temperature from CALM (arXiv 2602.07077)."""

    temperature = 0.07

    @override
    def fit(self, z: Float, y: Index, n_classes: int) -> LinearHeads:
        means = class_means(z, y, n_classes)
        return LinearHeads(weights=normalise(means), bias=np.zeros(means.shape[:2]))

    @override
    def leave_one_out(self, z: Float, y: Index, n_classes: int) -> Float:
        return leave_one_out_cosines(z, y, class_means(z, y, n_classes))


class GaussianDiscriminant(HeadClassifier):
    """Gaussians with one covariance for all classes, on unit-length features (HEC-V, arXiv 2603.24181).

    With within-class scatter `W`, `N` examples and `S = W / (N - 1)`, the precision is
    `P = head_dim * inverse(W + shrinkage * tr(S) * I)` and the score of a class is
    `-1/2 (x - mu)^T P (x - mu) + log prior`. The part that all classes share cancels in every comparison and in
    the softmax, which leaves a score linear in x: nothing but one vector and one number a class is kept.
    """

    temperature = 10.0
    shrinkage = 1.0

    @override
    def fit(self, z: Float, y: Index, n_classes: int) -> LinearHeads:
        x, means, eigenvalues, basis = self._spectrum(z, y, n_classes)
        ridge = self.shrinkage * eigenvalues.sum(axis=-1, keepdims=True) / (len(y) - 1)
        rotated = _rotate(means, basis)
        scaled = rotated * _reciprocal(eigenvalues + ridge) * _head_sizes(x)[:, None]
        prior = np.log(np.bincount(y, minlength=n_classes) / len(y))
        return LinearHeads(
            weights=np.einsum("chk,hdk->chd", scaled, basis),
            bias=prior[:, None] - 0.5 * np.einsum("chk,chk->ch", rotated, scaled),
        )

    @override
    def leave_one_out(self, z: Float, y: Index, n_classes: int) -> Float:
        """Without example i of class c, `W' = W - a v v^T`, with `v = x_i - mu_c` and `a = n_c / (n_c - 1)`.

        In the eigenbasis of `W` the ridge stays diagonal whatever its size, and Sherman-Morrison takes the rank-one
        part, so that one decomposition a head serves all examples.
        """
        x, means, eigenvalues, basis = self._spectrum(z, y, n_classes)
        size = _head_sizes(x)
        count = np.bincount(y, minlength=n_classes)
        a = (count / (count - 1.0))[y][:, None]

        x, means = _rotate(x, basis), _rotate(means, basis)
        v = x - means[y]
        trace = eigenvalues.sum(axis=-1) - a * np.einsum("nhk,nhk->nh", v, v)
        ridge = self.shrinkage * np.maximum(trace, 0.0) / (len(y) - 2)
        inverse = _reciprocal(eigenvalues + ridge[:, :, None])

        weighted_v = inverse * v
        s = np.einsum("nhk,nhk->nh", weighted_v, v)
        shrink = _reciprocal(1.0 - a * s)
        along_v = np.einsum("nhk,nhk->nh", weighted_v, x)[:, :, None] - inner_products(weighted_v, means)
        distance = (
            np.einsum("nhk,nhk->nh", inverse * x, x)[:, :, None]
            - 2.0 * inner_products(inverse * x, means)
            + inner_products(inverse, means**2)
            + (a * shrink)[:, :, None] * along_v**2
        )
        rows = np.arange(len(y))
        distance[rows, :, y] = a**2 * s * shrink

        remaining = np.tile(count, (len(y), 1)).astype(np.float64)
        remaining[rows, y] -= 1.0
        return np.asarray(-0.5 * size[:, None] * distance + np.log(remaining / (len(y) - 1.0))[:, None, :])

    def _spectrum(self, z: Float, y: Index, n_classes: int) -> tuple[Float, Float, Float, Float]:
        """Unit features, class means, and the eigenvalues `[n_heads, k]` and eigenvectors of the scatter."""
        x = normalise(z)
        means = class_means(x, y, n_classes)
        residual = (x - means[y]).transpose(1, 0, 2)
        eigenvalues, basis = np.linalg.eigh(residual.transpose(0, 2, 1) @ residual)
        return x, means, np.maximum(eigenvalues, 0.0), basis


class NearestNeighbours(HeadClassifier):
    """Share of the classes among the nearest examples by cosine (arXiv 2412.00142, table 3a)."""

    temperature = 1.0
    fitted = NeighbourHeads

    @override
    def fit(self, z: Float, y: Index, n_classes: int) -> NeighbourHeads:
        return NeighbourHeads(shots=normalise(z), targets=y)

    @override
    def leave_one_out(self, z: Float, y: Index, n_classes: int) -> Float:
        unit = normalise(z)
        return _neighbour_shares(unit, unit, y, min(NeighbourHeads.n_neighbours, len(y) - 1), without_itself=True)


class LinearProbe(HeadClassifier):
    """Logistic regression on each head's unit-length features (arXiv 2412.00142, table 3a)."""

    temperature = 1.0
    inverse_regularisation = 10.0

    @override
    def fit(self, z: Float, y: Index, n_classes: int) -> LinearHeads:
        unit = normalise(z)
        weights = np.zeros((n_classes, z.shape[1], z.shape[2]))
        bias = np.zeros((n_classes, z.shape[1]))
        for head in range(z.shape[1]):
            probe = LogisticRegression(C=self.inverse_regularisation, max_iter=1000).fit(unit[:, head], y)
            if n_classes == 2:  # scikit-learn keeps one row for two classes
                weights[1, head], bias[1, head] = probe.coef_[0], probe.intercept_[0]
            else:
                weights[:, head], bias[:, head] = probe.coef_, probe.intercept_
        return LinearHeads(weights=weights, bias=bias)


HEAD_CLASSIFIERS: dict[str, HeadClassifier] = {
    "centroid": Centroid(),
    "gda": GaussianDiscriminant(),
    "knn": NearestNeighbours(),
    "linear": LinearProbe(),
}


#: Cosines are compared to so many decimals: what differs further on is rounding (see `similarity.ROUNDING`).
_DECIMALS = 12


def _rotate(vectors: Float, basis: Float) -> Float:
    """Coordinates of `[m, n_heads, head_dim]` in each head's basis `[n_heads, head_dim, k]`."""
    return np.asarray((vectors.transpose(1, 0, 2) @ basis).transpose(1, 0, 2))


def _reciprocal(values: Float) -> Float:
    """1 / x, and zero where x is zero: a direction without any variance carries no weight, as in a pseudo-inverse."""
    inverse: Float = np.divide(1.0, values, out=np.zeros_like(values), where=values > np.finfo(np.float64).tiny)
    return inverse


def _head_sizes(x: Float) -> Float:
    """`[n_heads]` widths without the zero padding of narrower heads."""
    return np.asarray(np.any(x != 0, axis=0).sum(axis=-1), dtype=np.float64)


def _neighbour_shares(unit: Float, shots: Float, targets: Index, k: int, *, without_itself: bool = False) -> Float:
    """Class shares among the k most similar shots, some rows at a time: `[n, n_heads, n_classes]`.

    Of shots that are equally near, up to rounding, those of the lower class come first, whatever their order.

    Args:
        unit: `[n, n_heads, head_dim]`, of length one.
        shots: `[n_shots, n_heads, head_dim]`, of length one.
        targets: `[n_shots]` class indices.
        k: neighbours that are asked.
        without_itself: example i is shot i, and does not count.
    """
    shares = np.empty((*unit.shape[:2], int(targets.max()) + 1))
    for rows in blocks(len(unit), unit.shape[1] * len(shots)):
        distance = -inner_products(unit[rows], shots).round(_DECIMALS)
        if without_itself:
            itself = np.arange(rows.start, rows.stop)
            distance[itself - rows.start, :, itself] = np.inf
        nearest = np.lexsort((np.broadcast_to(targets, distance.shape), distance))[..., :k]
        shares[rows] = (targets[nearest][..., None] == np.arange(shares.shape[-1])).mean(axis=-2)
    return shares
