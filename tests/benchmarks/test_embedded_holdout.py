"""Signs that are tested on are of concepts that training never saw."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.embedded import tasks

LABELS = ("faces", "food")


@pytest.fixture(autouse=True)
def signs(monkeypatch):
    """As many signs of each label as the tasks ask for; the code of a sign says whether it is held out."""
    counts = {"out": 2 * tasks.GROUP_SHOTS, "in": tasks.SUBGROUP_POOL}
    found = [
        tasks.Sign(f"{kind}-{label}-{i}", "", label, label, kind == "out")
        for kind, count in counts.items()
        for label in LABELS
        for i in range(count)
    ]
    monkeypatch.setattr(tasks, "openmoji", lambda: list(found))
    monkeypatch.setattr(tasks, "_rendered", lambda svg: Image.new("RGB", (8, 8)))


def kinds(examples):
    return {example.id.partition("-")[0] for example in examples}


def test_groups_take_all_their_signs_from_held_out_concepts():
    data = tasks._groups(np.random.default_rng(0)).data
    assert data.task.labels == LABELS
    assert kinds(data.pool) == kinds(data.test) == {"out"}
    assert not {example.id for example in data.pool} & {example.id for example in data.test}


def test_subgroups_test_on_held_out_concepts_alone():
    data = tasks._subgroups(np.random.default_rng(0)).data
    assert data.task.labels == LABELS
    assert kinds(data.pool) == {"in"} and kinds(data.test) == {"out"}
    assert len(data.test) == len(LABELS) * 2 * tasks.GROUP_SHOTS
