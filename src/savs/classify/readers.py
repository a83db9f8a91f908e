"""Features as the estimator reads them: an array, or anything that gives some heads of all examples at a time.

Knows shapes only: where the numbers come from is the reader's own affair. What is worked on at a time is a block of
heads or of rows, so that memory follows neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from savs.classify.similarity import Float

#: Working memory of one block of heads or rows, in array elements (128 MB of float64).
BLOCK_ELEMENTS = 2**24


@runtime_checkable
class HeadReader(Protocol):
    """Features too many for memory."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_samples, n_heads, head_dim)."""
        ...

    def read_heads(self, heads: slice | Sequence[int], rows: slice = ...) -> NDArray[np.floating]:
        """Some heads of all examples, or of a run of them, in the order asked for: `[n_rows, len(heads), head_dim]`."""
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

    def read_heads(self, heads: slice | Sequence[int], rows: slice = slice(None)) -> NDArray[np.floating]:
        """Some heads of all examples, or of a run of them, in the order asked for."""
        return np.asarray(self.array[rows, heads])


def read_block(features: HeadReader, heads: slice | Sequence[int]) -> Float:
    """Some heads of all examples, for sums in float64.

    Raises:
        ValueError: a value is not finite, which an array is checked for before, and other features only now.
    """
    z = features.read_heads(heads).astype(np.float64)
    if not isinstance(features, InMemory) and not np.isfinite(z).all():
        raise ValueError("the features hold NaN or infinity; extract them again")
    return z


def blocks(n_items: int, elements_per_item: int) -> Iterator[slice]:
    """Cut `n_items` into slices whose working arrays stay within `BLOCK_ELEMENTS`.

    >>> [s for s in blocks(5, BLOCK_ELEMENTS // 2)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, BLOCK_ELEMENTS // max(1, elements_per_item))
    for start in range(0, n_items, step):
        yield slice(start, min(start + step, n_items))
