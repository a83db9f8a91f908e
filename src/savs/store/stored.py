"""`StoredFeatures`: rows of a store, read when they are needed. Knows shards and heads; no key, no manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from savs.features import FloatArray, HeadFeatures, HeadId, HeadLayout
from savs.store.shard import Shard, as_index, damaged


@dataclass(frozen=True)
class StoredFeatures:
    """Features of some examples that stay on disk until they are read, some heads of all examples at a time.

    What `HeadFeatures` is to memory. `SAVClassifier` and `SAVModel` fit on either.

    Attributes:
        ids: `[n_samples]` example ids.
        labels: `[n_samples]` class labels, None where unknown.
        layout: the heads: those of the shards, or the first of them.
        fingerprint: of the backbone spec that made them.
        places: `[n_samples]` the shard and the row in it of each example.
    """

    ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    layout: HeadLayout
    fingerprint: str
    places: tuple[tuple[Shard, int], ...]

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.labels) == len(self.places):
            raise ValueError(f"{len(self.ids)} ids and {len(self.labels)} labels for {len(self.places)} rows")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_samples, n_heads, head_dim)."""
        return len(self), self.layout.n_heads, self.layout.head_dim

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> StoredFeatures:
        """The same features for some of the examples, in the order of `rows`."""
        index = np.asarray(rows, dtype=np.intp).tolist()
        return StoredFeatures(
            ids=tuple(self.ids[i] for i in index),
            labels=tuple(self.labels[i] for i in index),
            layout=self.layout,
            fingerprint=self.fingerprint,
            places=tuple(self.places[i] for i in index),
        )

    def read_heads(self, heads: slice | Sequence[int], rows: slice = slice(None)) -> FloatArray:
        """Some heads of all examples: float32 `[n_rows, len(heads), head_dim]`, heads in the order asked for.

        Args:
            heads: positions in `layout`.
            rows: a run of the examples, where not all.

        Raises:
            StoreError: a shard is damaged, or is gone.
        """
        if rows != slice(None):
            return self.take(np.arange(len(self))[rows]).read_heads(heads)
        columns = list(range(self.layout.n_heads))[heads] if isinstance(heads, slice) else [int(h) for h in heads]
        # Head-major, as the shards are, so that each head's rows lie together for the products that follow.
        z = np.empty((len(columns), len(self), self.layout.head_dim), dtype=np.float32)
        for shard, positions, found in self._by_shard if columns else ():
            try:
                z[:, positions] = part = shard.read(columns, found)
            except OSError as error:
                raise damaged(shard.path, f"it cannot be read: {error.strerror or error}") from error
            # Nothing else is stored; whether finite numbers are the right ones is what `verify` looks at.
            if not np.isfinite(part).all():
                raise damaged(shard.path, "it holds NaN or infinity")
        return z.transpose(1, 0, 2)

    def load(self, heads: Sequence[HeadId] | None = None) -> HeadFeatures:
        """The features in memory: of all heads, or of some, in (layer, head) order.

        Raises:
            StoreError: a shard is damaged.
            ValueError: there is no such head, or they are in another order.
        """
        layout = self.layout if heads is None else HeadLayout(tuple(heads), self.layout.head_dim)
        column = {head: i for i, head in enumerate(self.layout.heads)}
        unknown = [head for head in layout.heads if head not in column]
        if unknown:
            raise ValueError(f"the store has no head {unknown[0]}")
        z = self.read_heads([column[head] for head in layout.heads])
        return HeadFeatures(z, self.ids, self.labels, layout, self.fingerprint)

    @cached_property
    def _by_shard(self) -> list[tuple[Shard, slice | list[int], list[int]]]:
        """For each shard, where its examples stand among all, and their rows in the shard, rows ascending."""
        found: dict[Path, list[tuple[int, int]]] = {}
        shards = {shard.path: shard for shard, _ in self.places}
        for position, (shard, row) in enumerate(self.places):
            found.setdefault(shard.path, []).append((row, position))
        return [
            (shards[path], as_index([position for _, position in sorted(pairs)]), [row for row, _ in sorted(pairs)])
            for path, pairs in found.items()
        ]
