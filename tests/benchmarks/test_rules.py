"""The benchmark of rules counts what it says, its mean is that of tasks, and its page is made from its numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rules.measure import EXPECTED, RULES, SHOTS, Answered, Ordering, cell, measure
from benchmarks.rules.page import render
from savs.backbones.base import BackboneSpec
from savs.data.example import Example
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

    return "letters", examples("pool", 75), examples("test", 30)


def cells_of(*, good, draws):
    return [cell("letters", [part], seed=0) for part in measure(Separable(good), *task(), draws=draws, seed=0)]


def test_every_rule_is_scored_at_every_number_of_shots():
    cells = cells_of(good=20, draws=3)
    assert [found.shots for found in cells] == list(SHOTS)
    for found in cells:
        assert set(found.accuracy) == set(RULES)
        assert found.accuracy["sav"].value > 0.95
        assert found.accuracy["best head alone"].value < found.accuracy["sav"].value + 1e-9
        assert [(o.better, o.worse) for o in found.orderings] == list(EXPECTED)
    assert cells[-1].shared > 0.9  # twenty heads tell the class, and every draw finds them


def test_noise_selects_other_heads_in_every_draw():
    cells = cells_of(good=0, draws=2)
    assert all(found.shared < 0.85 and found.tied > 1 for found in cells)
    assert all(abs(found.accuracy["sav"].value - 1 / 3) < 0.25 for found in cells)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.01, 0.2, "holds"), (-0.1, 0.1, "open"), (-0.2, -0.01, "does not hold")]
)
def test_an_ordering_is_decided_by_its_interval(low, high, verdict):
    assert Ordering("a", "b", Interval((low + high) / 2, low, high, "test")).verdict == verdict


def test_the_mean_is_that_of_tasks_however_many_examples_each_has():
    """Ten examples all right and ninety all wrong: one half, and not one tenth."""

    def answered(n, share):
        return Answered("t", 5, {rule: np.full((3, n), bool(share)) for rule in RULES}, tied=n, shared=0.5)

    mean = cell("mean", [answered(10, 1), answered(90, 0)], seed=0)
    assert all(interval.value == 0.5 for interval in mean.accuracy.values())
    assert all(ordering.by.value == 0 and ordering.verdict == "open" for ordering in mean.orderings)
    assert (mean.tied, mean.shots) == (50, 5)


def test_rules_are_compared_pairwise():
    """A rule that is right wherever the other is, and on a tenth more, is above it for certain."""
    rng = np.random.default_rng(0)
    worse = rng.random((5, 200)) < 0.5
    right = {rule: worse for rule in RULES} | {"hec": worse | (rng.random((5, 200)) < 0.2)}
    found = {(o.better, o.worse): o for o in cell("t", [Answered("t", 5, right, 1, 1)], seed=0).orderings}
    assert found["hec", "sav-loo"].verdict == "holds" and found["gda-loo", "hec"].verdict == "does not hold"
    assert found["sav-loo", "sav"].verdict == "open"
    assert found["hec", "sav-loo"].by.value == pytest.approx((right["hec"] & ~worse).mean())


def test_the_page_is_made_from_the_numbers():
    results = json.loads((RESULTS / "rules.json").read_text(encoding="utf-8"))
    assert (RESULTS / "rules.md").read_text(encoding="utf-8") == render(results), (
        "run python -m benchmarks.rules --page"
    )
    assert results["setting"]["draws"] >= 5 and [mean["shots"] for mean in results["means"]] == list(SHOTS)
