"""The arithmetic of the method, as pure functions of arrays. Knows no estimator, no file and no model.

Axis words, everywhere: `n_samples`, `n_heads`, `head_dim`, `n_classes`. Targets `y` are class indices.
All sums run in float64: running sums in low precision drift, and a sum that depends on the order of the shots
would let the order decide which head is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Index = NDArray[np.intp]

#: Scores of two classes that differ by less, as a share of their size where that is above one, are equal. A matrix
#: product may give the same sum other last digits in another column or row, and rounding must not choose a class.
ROUNDING = 1e-12


def normalise(vectors: Float) -> Float:
    """Scale the last axis to length one; a zero vector stays zero, so that its cosine with anything is zero."""
    length = np.sqrt(np.vecdot(vectors, vectors))[..., None]
    unit: Float = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit


def class_means(z: Float, y: Index, n_classes: int) -> Float:
    """Mean of each class at each head (arXiv 2412.00142, section 3, step 2).

    Args:
        z: `[n_samples, n_heads, head_dim]`.
        y: `[n_samples]`, every class present.
        n_classes: number of classes.

    Returns:
        `[n_classes, n_heads, head_dim]`.
    """
    means = np.empty((n_classes, *z.shape[1:]))
    for c in range(n_classes):
        values = np.ascontiguousarray(z[y == c].transpose(1, 2, 0))
        # Adding in sorted order makes the mean a function of the set of examples, to the last bit.
        values.sort(axis=-1)
        means[c] = values.mean(axis=-1)
    return means


def inner_products(z: Float, weights: Float) -> Float:
    """Every example with every class at every head, as one matrix product a head.

    Args:
        z: `[n_samples, n_heads, head_dim]`.
        weights: `[n_classes, n_heads, head_dim]`.

    Returns:
        `[n_samples, n_heads, n_classes]`.
    """
    product = z.transpose(1, 0, 2) @ weights.transpose(1, 2, 0)
    return product.transpose(1, 0, 2)


def leave_one_out_cosines(z: Float, y: Index, means: Float) -> Float:
    """Cosine of each example with the class means made without it.

    Only the mean of an example's own class changes: `mu' = (n mu - z) / (n - 1)`.

    Args:
        z: `[n_samples, n_heads, head_dim]`.
        y: `[n_samples]`, at least two examples a class.
        means: `[n_classes, n_heads, head_dim]`, over all of `z`.

    Returns:
        `[n_samples, n_heads, n_classes]`.
    """
    unit = normalise(z)
    cosines = inner_products(unit, normalise(means))
    count = np.bincount(y)[y][:, None, None]
    own_mean = (count * means[y] - z) / (count - 1)
    cosines[np.arange(len(y)), :, y] = np.einsum("nhd,nhd->nh", unit, normalise(own_mean))
    return cosines


def best_class(scores: Float) -> Index:
    """The class with the highest score; of equals, up to `ROUNDING`, the lowest index: `[..., n_classes]` -> `[...]`.

    >>> best_class(np.array([[0.1 + 0.2, 0.3, 0.0], [0.3, 0.1 + 0.2, 0.0], [0.0, 0.3, 0.4]])).tolist()
    [0, 0, 2]
    """
    best = scores.max(axis=-1, keepdims=True)
    return np.asarray((scores >= best - ROUNDING * np.maximum(1.0, np.abs(best))).argmax(axis=-1))


def softmax(logits: Float) -> Float:
    """Softmax over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float64)


def margins(scores: Float, y: Index) -> Float:
    """Score of the true class less that of the best other class.

    Args:
        scores: `[n_samples, n_heads, n_classes]`.
        y: `[n_samples]`.

    Returns:
        `[n_samples, n_heads]`.
    """
    rows = np.arange(len(y))
    others = scores.copy()
    others[rows, :, y] = -np.inf
    return np.asarray(scores[rows, :, y] - others.max(axis=-1), dtype=np.float64)
