"""Features as the estimator reads them: an array, or anything that gives some heads of all examples at a time.

Knows shapes only: where the numbers come from is the reader's own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from savs.classify.similarity import Float


@runtime_checkable
class HeadReader(Protocol):
    """Features too many for memory."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_samples, n_heads, head_dim)."""
        ...

    def read_heads(self, heads: slice | Sequence[int]) -> NDArray[np.floating]:
        """Some heads of all examples, in the order asked for: `[n_samples, len(heads), head_dim]`."""
        ...


@dataclass(frozen=True)
class InMemory:
    """An array `[n_samples, n_heads, head_dim]` as a `HeadReader`."""

    array: NDArray[np.floating]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_samples, n_heads, head_dim)."""
        n_samples, n_heads, head_dim = self.array.shape
        return n_samples, n_heads, head_dim

    def read_heads(self, heads: slice | Sequence[int]) -> NDArray[np.floating]:
        """Some heads of all examples, in the order asked for."""
        return np.asarray(self.array[:, heads])


def read_block(features: HeadReader, heads: slice | Sequence[int]) -> Float:
    """Some heads of all examples, for sums in float64.

    Raises:
        ValueError: a value is not finite, which an array is checked for before, and stored features only now.
    """
    z = features.read_heads(heads).astype(np.float64)
    if not isinstance(features, InMemory) and not np.isfinite(z).all():
        raise ValueError("the features hold NaN or infinity; extract them again")
    return z
