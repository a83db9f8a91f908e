"""Head features: which heads there are, and what each of them put out for each example.

Knows numpy only: no model, no file, no task.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


class HeadId(NamedTuple):
    """One attention head of the text decoder. Prints as `L14H7`."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"

    @classmethod
    def parse(cls, text: str) -> HeadId:
        """Read `L14H7` back.

        Raises:
            ValueError: `text` does not have that form.
        """
        match = re.fullmatch(r"L(\d+)H(\d+)", text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a head; expected the form L14H7 (layer 14, head 7)")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class HeadLayout:
    """Which heads a feature array holds, in which order, and how wide each is.

    `heads` are in ascending (layer, head) order: index order is then the tie rule's order.
    Where layers differ in head size, `head_dim` is the largest and narrower heads are padded with zeros,
    which leaves every cosine and every distance unchanged.
    """

    heads: tuple[HeadId, ...]
    head_dim: int

    def __post_init__(self) -> None:
        if list(self.heads) != sorted(set(self.heads)):
            raise ValueError("heads must be unique and in ascending (layer, head) order")
        if self.head_dim < 1:
            raise ValueError(f"head_dim must be positive, got {self.head_dim}")

    @classmethod
    def grid(cls, n_layers: int, n_heads: int, head_dim: int) -> HeadLayout:
        """The common case: every layer has the same number of heads."""
        heads = tuple(HeadId(layer, head) for layer in range(n_layers) for head in range(n_heads))
        return cls(heads, head_dim)

    @property
    def n_heads(self) -> int:
        """How many heads there are."""
        return len(self.heads)

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, heads per layer) of the smallest grid that holds every head."""
        return max(h.layer for h in self.heads) + 1, max(h.head for h in self.heads) + 1


@dataclass(frozen=True)
class HeadFeatures:
    """The features of some examples at every head of one backbone.

    Attributes:
        z: `[n_samples, n_heads, head_dim]`, each head's output at the last prompt token, before the
            attention output projection (arXiv 2412.00142, section 3).
        ids: `[n_samples]` example ids.
        labels: `[n_samples]` class labels, None where unknown.
        layout: which heads the second axis holds.
        fingerprint: of the backbone spec that made them; empty when not made by a backbone.
    """

    z: FloatArray
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    layout: HeadLayout
    fingerprint: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.ids), self.layout.n_heads, self.layout.head_dim)
        if self.z.shape != expected:
            raise ValueError(f"z has shape {self.z.shape}; ids and layout say {expected}")
        if len(self.labels) != len(self.ids):
            raise ValueError(f"{len(self.labels)} labels for {len(self.ids)} examples")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_samples, n_heads, head_dim)."""
        return len(self), self.layout.n_heads, self.layout.head_dim

    def read_heads(self, heads: slice | Sequence[int], rows: slice = slice(None)) -> FloatArray:
        """Some heads of all examples, or of a run of them, in the order of `heads`, which are positions in `layout`."""
        return np.asarray(self.z[rows, heads])

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> HeadFeatures:
        """The same features for some of the examples, in the order of `rows`."""
        index = np.asarray(rows, dtype=np.intp)
        return HeadFeatures(
            z=self.z[index],
            ids=tuple(self.ids[i] for i in index),
            labels=tuple(self.labels[i] for i in index),
            layout=self.layout,
            fingerprint=self.fingerprint,
        )
