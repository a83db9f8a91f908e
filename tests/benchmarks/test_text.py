"""The text benchmark counts what it says, and its page is made from its numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.embedded.sources import COUNTRIES
from benchmarks.text.measure import EXPECTED, RULES, SHOTS, Ordering, measure
from benchmarks.text.page import render
from benchmarks.text.tasks import POOL, TextTask, load_tasks
from savs.backbones.base import BackboneSpec
from savs.data.example import Example
from savs.errors import DataError
from savs.features import HeadLayout
from savs.intervals import Interval

RESULTS = Path(__file__).parents[2] / "docs" / "results"


class Separable:
    """A backbone whose first `good` heads tell the class, and whose others are noise."""

    spec = BackboneSpec(model="fake", revision="0", dtype="float32", attention="none")
    layout = HeadLayout.grid(4, 8, 6)

    def __init__(self, good):
        self.good = good

    def head_activations(self, examples, *, heads=None, batch_size=None, progress=None):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(len(examples), 32, 6)).astype(np.float32)
        for row, example in enumerate(examples):
            z[row, : self.good, "abc".index(example.label)] += 6
        return z


def task():
    def examples(part, n):
        return tuple(Example(f"{part}{i}", f"{part} {i}", label="abc"[i % 3]) for i in range(n))

    return TextTask("letters", "what", "{}", examples("pool", 75), examples("test", 30), COUNTRIES)


def test_every_rule_is_scored_at_every_number_of_shots():
    cells = measure(Separable(good=20), task(), draws=3, seed=0, progress=None)
    assert [cell.shots for cell in cells] == list(SHOTS)
    for cell in cells:
        assert set(cell.accuracy) == set(RULES)
        assert cell.accuracy["sav"].value > 0.95
        assert cell.accuracy["best head alone"].value < cell.accuracy["sav"].value + 1e-9
        assert [(o.better, o.worse) for o in cell.orderings] == list(EXPECTED)
    assert cells[-1].shared > 0.9  # twenty heads tell the class, and every draw finds them


def test_noise_selects_other_heads_in_every_draw():
    cells = measure(Separable(good=0), task(), draws=2, seed=0, progress=None)
    assert all(cell.shared < 0.85 and cell.tied > 1 for cell in cells)
    assert all(abs(cell.accuracy["sav"].value - 1 / 3) < 0.25 for cell in cells)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.01, 0.2, "holds"), (-0.1, 0.1, "open"), (-0.2, -0.01, "does not hold")]
)
def test_an_ordering_is_decided_by_its_interval(low, high, verdict):
    assert Ordering("a", "b", Interval((low + high) / 2, low, high, "test")).verdict == verdict


def test_the_page_is_made_from_the_numbers():
    results = json.loads((RESULTS / "text.json").read_text(encoding="utf-8"))
    assert (RESULTS / "text.md").read_text(encoding="utf-8") == render(results), "run python -m benchmarks.text --page"
    assert results["setting"]["draws"] >= 5


@pytest.mark.slow
def test_the_tasks_are_balanced_where_they_are_tested_and_never_tested_on_shots():
    try:
        tasks = load_tasks()
    except DataError as error:
        pytest.skip(f"the tables of names cannot be fetched: {error}")
    assert [len(task.classes) for task in tasks] == [8, 14, 4]
    for task in tasks:
        labels = [example.label for example in task.test]
        assert len({labels.count(label) for label in task.classes}) == 1
        pool = [example.label for example in task.pool]
        assert min(pool.count(label) for label in task.classes) >= POOL
        assert not {example.text for example in task.pool} & {example.text for example in task.test}
