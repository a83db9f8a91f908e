"""One pass over the data: examples through a frozen model, head features out. Selects nothing, measures nothing."""

from __future__ import annotations

from collections.abc import Sequence

from savs.backbones.base import Backbone, Progress
from savs.data.example import Example
from savs.errors import DataError
from savs.features import HeadFeatures


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
    ids = tuple(example.id for example in examples)
    if not ids:
        raise DataError("there are no examples to run; expected at least one")
    if len(set(ids)) < len(ids):
        doubled = next(example_id for example_id in ids if ids.count(example_id) > 1)
        raise DataError(f"two examples have the id {doubled!r}; ids must be unique, since results are keyed by them")
    return HeadFeatures(
        z=backbone.head_activations(examples, batch_size=batch_size, progress=progress),
        ids=ids,
        labels=tuple(example.label for example in examples),
        layout=backbone.layout,
        fingerprint=backbone.spec.fingerprint(),
    )
