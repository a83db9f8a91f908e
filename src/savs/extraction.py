"""One pass over the data: examples through a frozen model, head features out, into memory or into a store.

Selects nothing, measures nothing. What is stored is never run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from savs.backbones.base import Backbone, Progress
from savs.backbones.shallow import Shallow
from savs.data.example import Example
from savs.data.keys import example_keys
from savs.errors import DataError
from savs.features import FloatArray, HeadFeatures, HeadId
from savs.store import ActivationStore, StoredFeatures, check_vacant, is_store
from savs.store.manifest import StoreDtype

#: Examples that are committed at a time, and lost when a run is killed. Of a 7B model they are 100 MB in float32.
COMMIT_EVERY = 256


def extract(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> HeadFeatures:
    """Every head's output at the last prompt token of every example, in one forward pass each.

    Args:
        backbone: the frozen model.
        examples: the inputs, with or without labels.
        batch_size: examples in one forward pass; the backbone's choice by default.
        progress: called with (examples done, examples in all).

    Returns:
        Features `[n_samples, n_heads, head_dim]` in float32, rows in the order of `examples`.

    Raises:
        DataError: there are no examples, two share an id, or media cannot be opened.
        BackboneError: the model cannot take an example.
    """
    ids = _unique_ids(examples)
    return HeadFeatures(
        z=backbone.head_activations(examples, batch_size=batch_size, progress=progress),
        ids=ids,
        labels=tuple(example.label for example in examples),
        layout=backbone.layout,
        fingerprint=backbone.spec.fingerprint(),
    )


def fill(
    store: ActivationStore,
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    keys: Sequence[str] | None = None,
    batch_size: int | None = None,
    commit_every: int = COMMIT_EVERY,
    progress: Progress | None = None,
) -> int:
    """Run what the store does not hold yet, and commit it as the work proceeds.

    A run that is killed loses at most the examples since its last commit, and the next goes on there.

    Args:
        store: of this backbone.
        backbone: the frozen model.
        examples: the inputs. Those that show the model the same are run once.
        keys: of the examples, where they are known; else every file is read for them.
        batch_size: examples in one forward pass.
        commit_every: examples that are committed together.
        progress: called with (examples that are in the store, examples in all).

    Returns:
        How many examples were run.

    Raises:
        DataError: media cannot be opened.
        BackboneError: the model cannot take an example.
        SpecMismatchError: the store is another backbone's.
        StoreError: the store cannot be written; what was committed is safe.
    """
    known = example_keys(examples) if keys is None else keys
    return _fill(store, backbone, examples, known, batch_size, commit_every, progress)


def plan(store: ActivationStore, keys: Sequence[str], commit_every: int = COMMIT_EVERY) -> Iterator[list[int]]:
    """The pieces of work that fill a store: for each commit, the positions in `keys` that are run for it.

    The cut is made over all keys and not over those that are missing, so that a job that was broken off, or is spread
    over several workers, runs the batches of one that was not, to the last bit.
    """
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    distinct = sorted(first.values())
    absent = set(store.missing(keys))
    for start in range(0, len(distinct), commit_every):
        rows = [row for row in distinct[start : start + commit_every] if keys[row] in absent]
        if rows:
            yield rows


def _fill(
    store: ActivationStore,
    backbone: Backbone,
    examples: Sequence[Example],
    keys: Sequence[str],
    batch_size: int | None,
    commit_every: int,
    progress: Progress | None,
) -> int:
    store.check(backbone.spec, backbone.layout)
    done = len(examples) - len(store.missing(keys))
    ran = 0
    # The disk is waited for while the model runs on: one commit is under way at most, and its error stops the work.
    with ThreadPoolExecutor(max_workers=1) as writer:
        committing: Future[int] | None = None
        for rows in plan(store, keys, commit_every):
            chosen = [examples[row] for row in rows]
            z = backbone.head_activations(
                chosen, batch_size=batch_size, progress=_shifted(progress, done, len(examples))
            )
            if committing is not None:
                committing.result()
            committing = writer.submit(store.append, z, [keys[row] for row in rows], [one.id for one in chosen])
            done += len(rows)
            ran += len(rows)
        if committing is not None:
            committing.result()
    if progress is not None and not ran:
        progress(len(examples), len(examples))
    return ran


class StoredBackbone:
    """A backbone that answers from a store, and runs only for what is not there yet.

    It takes a backbone's place everywhere: changing shots, labels, heads or classifier costs no forward pass, and
    where nothing is missing the model is not even loaded.

    Attributes:
        store: what it reads, and adds to.
        spec: of the backbone, as the store has it until it is loaded.
        layout: of the backbone.
    """

    def __init__(self, store: ActivationStore, load: Callable[[], Backbone]) -> None:
        self.store = store
        self.spec = store.spec
        self.layout = store.layout
        self._load = load
        self._loaded: Backbone | None = None

    @classmethod
    def at(cls, folder: str | Path, load: Callable[[], Backbone], *, dtype: StoreDtype | None = None) -> StoredBackbone:
        """With the store in a folder, which is made where there is none.

        Args:
            folder: of the store.
            load: opens the backbone; called when it is first needed.
            dtype: as for `ActivationStore.create`.

        Raises:
            StoreError: the store is damaged, of a later format, or in another precision.
            OutputExistsError: the folder holds something else.
        """
        if is_store(folder):
            return cls(ActivationStore.open(folder, dtype=dtype), load)
        check_vacant(Path(folder))
        backbone = load()
        store = ActivationStore.create(folder, spec=backbone.spec, layout=backbone.layout, dtype=dtype)
        made = cls(store, lambda: backbone)
        made._loaded = backbone
        return made

    def __repr__(self) -> str:
        return f"StoredBackbone({self.store!r})"

    @property
    def loaded(self) -> bool:
        """Whether the backbone has been needed."""
        return self._loaded is not None

    @property
    def backbone(self) -> Backbone:
        """The backbone itself, loaded when it is first needed.

        Raises:
            SpecMismatchError: it is not the one that the store belongs to.
        """
        if self._loaded is None:
            loaded = self._load()
            self.store.check(loaded.spec, loaded.layout)
            self._loaded, self.spec = loaded, loaded.spec
        return self._loaded

    def features(
        self, examples: Sequence[Example], *, batch_size: int | None = None, progress: Progress | None = None
    ) -> StoredFeatures:
        """The features of examples, on disk; what is missing is run and stored first.

        Raises:
            DataError: as `extract`.
            BackboneError, SpecMismatchError, StoreError: as `fill`.
        """
        ids = _unique_ids(examples)
        keys = self._filled(examples, batch_size, progress)
        return self.store.select(keys, ids=ids, labels=[example.label for example in examples])

    def head_activations(
        self,
        examples: Sequence[Example],
        *,
        heads: Sequence[HeadId] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """As `Backbone.head_activations`. What is run is run whole, all heads, since it is stored for all uses."""
        column = {head: i for i, head in enumerate(self.layout.heads)}
        columns = [column[head] for head in (self.layout.heads if heads is None else heads)]
        return self.store.select(self._filled(examples, batch_size, progress)).read_heads(columns)

    def generate(
        self, examples: Sequence[Example], *, max_new_tokens: int = 16, progress: Progress | None = None
    ) -> list[str]:
        """The model's own greedy answer to each example."""
        return self.backbone.generate(examples, max_new_tokens=max_new_tokens, progress=progress)

    def answer_log_likelihoods(
        self,
        examples: Sequence[Example],
        answers: Sequence[str],
        *,
        offered: NDArray[np.bool_] | None = None,
        summed: bool = False,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """As `Backbone.answer_log_likelihoods`."""
        return self.backbone.answer_log_likelihoods(
            examples, answers, offered=offered, summed=summed, progress=progress
        )

    def _filled(self, examples: Sequence[Example], batch_size: int | None, progress: Progress | None) -> list[str]:
        keys = example_keys(examples)
        if self.store.missing(keys):
            _fill(self.store, self.backbone, examples, keys, batch_size, COMMIT_EVERY, progress)
        elif progress is not None:
            progress(len(examples), len(examples))
        return keys


def extract_or_read(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> HeadFeatures | StoredFeatures:
    """`extract`, except that the features of a `StoredBackbone` stay on disk until they are read."""
    if isinstance(backbone, StoredBackbone):
        return backbone.features(examples, batch_size=batch_size, progress=progress)
    if isinstance(backbone, Shallow) and isinstance(backbone.whole, StoredBackbone):
        features = backbone.whole.features(examples, batch_size=batch_size, progress=progress)
        return replace(features, layout=backbone.layout)
    return extract(backbone, examples, batch_size=batch_size, progress=progress)


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress within a piece of work as progress of the whole."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def _unique_ids(examples: Sequence[Example]) -> tuple[str, ...]:
    ids = tuple(example.id for example in examples)
    if not ids:
        raise DataError("there are no examples to run; expected at least one")
    doubled, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise DataError(f"two examples have the id {doubled!r}; ids must be unique, since results are keyed by them")
    return ids
