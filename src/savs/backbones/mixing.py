"""Which rows may share a batch: asked of a model, by running a few of them alone too.

Some models let a prompt see what it is padded with (PaliGemma reads it in both directions), some processors pad small
images to large ones (Emu3), and HunYuanVL numbers the images of a whole batch and turns their tokens by that number.
What is run, and what its results are, is not known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product
from typing import Generic, NamedTuple, TypeVar

#: Tokens of a row, and width and height of each of its images: rows of one kind need no padding.
Kind = tuple[int, tuple[tuple[int, int], ...]]
T = TypeVar("T")

_log = logging.getLogger(__name__)


class _Batch(NamedTuple):
    """What may do harm in a batch of several rows."""

    images: bool
    unlike_lengths: bool
    unlike_images: bool


class Mixing(Generic[T]):
    """What is known of one model, in one way to run it.

    Args:
        name: of the model, for the log.
        agree: whether what a row gives among others is what it gives alone.
    """

    def __init__(self, name: str, agree: Callable[[T, T], bool]) -> None:
        self._name = name
        self._agree = agree
        self._harmless: dict[_Batch, bool] = {}

    @property
    def padding_is_harmless(self) -> bool | None:
        """Whether rows of unlike kinds may share a batch; None where that was not needed yet."""
        found = [harmless for batch, harmless in self._harmless.items() if batch.unlike_lengths or batch.unlike_images]
        return all(found) if found else None

    def asks(self, kinds: Sequence[Kind]) -> bool:
        """Whether running these rows answers for others that follow."""
        return len(kinds) > 1 and self._known(_batch(kinds)) is None

    def run(self, kinds: Sequence[Kind], run: Callable[[Sequence[int]], Iterable[T]]) -> list[T]:
        """What each row gives: together where they leave each other as they are, else only with its like, or alone.

        Args:
            kinds: of the rows.
            run: gives the results of some rows, by their numbers, in one batch.
        """
        rows = range(len(kinds))
        batch = _batch(kinds)
        harmless = len(kinds) == 1 or self._known(batch)
        if harmless is not False:
            results = list(run(rows))
            if harmless is None:
                harmless = all(self._agree(results[row], next(iter(run([row])))) for row in _suspects(kinds, batch))
                self._learn(batch, harmless)
            if harmless:
                return results
        alike: dict[object, list[int]] = {}
        unlike = batch.unlike_lengths or batch.unlike_images
        for row, kind in enumerate(kinds):
            alike.setdefault(kind if unlike else row, []).append(row)
        found: dict[int, T] = {}
        for part in alike.values():
            of_part = self.run([kinds[row] for row in part], partial(_some, run, part))
            found.update(zip(part, of_part, strict=True))
        return [found[row] for row in rows]

    def _known(self, batch: _Batch) -> bool | None:
        """Whether a batch is harmless: not where a part of what differs in it does harm by itself."""
        parts = [self._harmless.get(part) for part in _parts(batch)]
        return False if False in parts else parts[0]

    def _learn(self, batch: _Batch, harmless: bool) -> None:
        if harmless:
            self._harmless.update(dict.fromkeys(_parts(batch), True))
            return
        self._harmless[batch] = False
        unlike = {"length": batch.unlike_lengths, "size of images": batch.unlike_images}
        what = " or ".join(name for name, differs in unlike.items() if differs)
        rows = f"prompts of unlike {what} apart" if what else "its prompts one by one"
        _log.info("%s runs %s: they change each other in a batch", self._name, rows)


def _parts(batch: _Batch) -> list[_Batch]:
    """A batch, and those that differ in less."""
    lengths, images = ({differs, False} for differs in (batch.unlike_lengths, batch.unlike_images))
    return sorted((_Batch(batch.images, *unlike) for unlike in product(lengths, images)), reverse=True)


def _batch(kinds: Sequence[Kind]) -> _Batch:
    lengths, images = ({kind[part] for kind in kinds} for part in (0, 1))
    return _Batch(any(images), len(lengths) > 1, len(images) > 1)


def _suspects(kinds: Sequence[Kind], batch: _Batch) -> list[int]:
    """The rows that would show harm: the last has most before it, and the shortest and the smallest are padded most."""
    suspects = {len(kinds) - 1}
    if batch.unlike_lengths:
        suspects.add(kinds.index(min(kinds)))
    if batch.unlike_images:  # of which a model may see no more than the nearest of some patches, so that one could pass
        suspects |= set(sorted(range(len(kinds)), key=lambda row: kinds[row][1])[:3])
    return sorted(suspects)


def _some(run: Callable[[Sequence[int]], Iterable[T]], rows: Sequence[int], which: Sequence[int]) -> Iterable[T]:
    return run([rows[i] for i in which])
