"""What commands do before a model is loaded: read the data, look for leaks, find the backbone. Prints what it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.cli.console import waiting, warn
from savs.cli.stores import open_stored, reopened

if TYPE_CHECKING:
    from savs.backbones.base import Backbone
    from savs.data.example import Example
    from savs.data.formats import BadRow
    from savs.data.sampling import Leak
    from savs.data.tasks import Task
    from savs.model import SAVModel

#: Leaks that are told one by one; more are counted.
_SHOWN_LEAKS = 3


def read(
    source: str, *, task: Task, image_root: Path | None, skip_bad: bool, require_labels: bool
) -> tuple[list[Example], list[BadRow]]:
    """The examples of a data set, and the rows that were left out."""
    from savs.data.readers import read_examples

    bad: list[BadRow] = []
    with waiting(f"reading {source}"):
        examples = read_examples(
            source,
            task=task,
            image_root=image_root,
            on_bad=bad.append if skip_bad else None,
            require_labels=require_labels,
        )
    return examples, bad


def open_classifier(location: str) -> SAVModel:
    """A saved classifier, without its backbone."""
    from savs.model import SAVModel

    return SAVModel.from_pretrained(location)


def attach_backbone(
    model: SAVModel, location: str | None, device: str | None, *, store: Path | None = None, asked: Sequence[Example]
) -> Backbone:
    """Load the backbone of a saved classifier, or, with a store, only if it is needed for what will be asked."""

    def load() -> Backbone:
        return reopened(model.spec, location, device)

    return model.attach(load() if store is None else open_stored(store, load, asked)).backbone


def warn_of_leaks(leaks: Sequence[Leak]) -> None:
    """Say how many test examples the classifier has seen, and name the first."""
    if not leaks:
        return
    kinds = ", ".join(f"{count} by {kind}" for kind, count in Counter(leak.kind for leak in leaks).items())
    warn(f"{len(leaks)} test example{'s' if len(leaks) > 1 else ''} leak from the shots ({kinds}): scores are too high")
    for leak in leaks[:_SHOWN_LEAKS]:
        warn(str(leak))
    if len(leaks) > _SHOWN_LEAKS:
        warn(f"and {len(leaks) - _SHOWN_LEAKS} more")


def leaks_to_json(leaks: Sequence[Leak] | None) -> dict[str, Any]:
    """What was found, for a program: `checked` is false where there was nothing to compare with."""
    found = leaks or ()
    return {
        "checked": leaks is not None,
        "count": len(found),
        "leaks": [{"kind": leak.kind, "train": leak.train.id, "test": leak.test.id} for leak in found],
    }
