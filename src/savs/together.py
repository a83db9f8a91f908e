"""Several classifiers on one backbone: every example is run once, and each classifier reads its own heads.

Adds nothing to what a classifier says of an example. No arithmetic, no file.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from savs.backbones.base import Backbone, BackboneSpec, Progress
from savs.data.example import Example
from savs.errors import SpecMismatchError
from savs.features import FloatArray, HeadId, HeadLayout
from savs.model import SAVModel
from savs.prediction import Prediction

#: Examples that are sorted by length and asked at a time; their answers are written before the next are begun. Few at
#: first, so that lines come soon; then more, so that batches are full. Where their size is given, so many batches.
_FIRST, _MOST, _BATCHES = 64, 256, 8


def predict_many(
    models: Sequence[SAVModel],
    examples: Sequence[Example],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> list[list[Prediction]]:
    """What each classifier says of each example, in one forward pass an example for all of them.

    Args:
        models: fitted on one backbone, for tasks that ask alike; the first one's backbone is run.
        examples: as the tasks ask them.
        batch_size: examples in one forward pass.
        progress: called with (examples done, examples in all).

    Returns:
        One list a classifier, in the order of `models`, as its own `predict` would give.

    Raises:
        SpecMismatchError: as `check_together`.
        DataError: media cannot be opened.
        BackboneError: the backbone cannot be loaded or cannot take an example.
        ValueError: there are no classifiers.
    """
    check_together(models)
    if not examples:
        return [[] for _ in models]
    heads = tuple(sorted({head for model in models for head in model.selected_heads}))
    backbone = models[0].backbone
    z = backbone.head_activations(examples, heads=heads, batch_size=batch_size, progress=progress)
    read = cast(Backbone, _AlreadyRead(backbone.spec, backbone.layout, heads, z))
    return [copy.copy(model).attach(read).predict(examples) for model in models]


def windows(
    examples: Sequence[Example], first: int | None = None, *, batch_size: int | None = None
) -> Iterator[Sequence[Example]]:
    """The examples in the parts that are asked one after another, by one process as by many workers.

    Where the cuts are decides which examples share a batch, and with it the last digits of the answers.

    Args:
        examples: the inputs.
        first: examples of the first part; the later ones grow.
        batch_size: examples in one forward pass.
    """
    start, step = 0, first or (_BATCHES * batch_size if batch_size else _FIRST)
    while start < len(examples):
        yield examples[start : start + step]
        start, step = start + step, max(step, min(2 * step, _MOST))


def check_together(models: Sequence[SAVModel]) -> None:
    """Refuse classifiers that one forward pass cannot serve.

    Raises:
        SpecMismatchError: two were fitted on different backbones, ask different prompts, or read rows differently; the
            message says what differs.
        ValueError: there are none.
    """
    if not models:
        raise ValueError("there are no classifiers; expected at least one")
    first = models[0]
    for other in models[1:]:
        differences = first.spec.differences(other.spec)
        if differences:
            raise SpecMismatchError(
                f"the classifiers for {first.task.name} and {other.task.name} were fitted on different backbones: "
                + "; ".join(differences)
                + " (here: the first). Ask them one after the other"
            )
        for name in ("template", "fields", "defaults"):
            here, there = getattr(first.task, name), getattr(other.task, name)
            if here != there:
                raise SpecMismatchError(
                    f"the classifiers for {first.task.name} and {other.task.name} ask differently: {name} is {here!r} "
                    f"in the first and {there!r} in the other. One prompt cannot serve both: ask them one after the "
                    "other"
                )
        if first.task.layouts != other.task.layouts:
            raise SpecMismatchError(
                f"the classifiers for {first.task.name} and {other.task.name} read rows differently: the layouts of "
                "their tasks are not the same, and a row that one turns into its columns may say something else to the "
                "other. Ask them one after the other"
            )


@dataclass(frozen=True)
class _AlreadyRead:
    """Stands for a backbone that has run some examples: gives the heads that were read."""

    spec: BackboneSpec
    layout: HeadLayout
    heads: tuple[HeadId, ...]
    z: FloatArray

    def head_activations(
        self,
        examples: Sequence[Example],
        *,
        heads: Sequence[HeadId] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """The wanted ones of the heads that were read, of all examples."""
        column = {head: i for i, head in enumerate(self.heads)}
        return self.z[:, [column[head] for head in heads or self.heads]]
