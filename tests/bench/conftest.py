"""Small data for the benchmark: a column of a few drawn examples, and a bench on a tiny model."""

from dataclasses import replace

import pytest

from savs.bench.cells import Cells
from savs.bench.columns import column
from savs.bench.data import drawn
from savs.bench.runner import Bench, Setting


@pytest.fixture(scope="session")
def small():
    """A drawn column with few examples to draw shots from, and few to answer."""
    kept = {}

    def make(name, *, shots=6, test=16):
        if (name, shots, test) not in kept:
            data = drawn(column(name), max_test=test)
            pool = [
                example
                for part in data.parts
                for label in data.classes
                for example in [e for e in data.of_part(part).pool if e.label == label][:shots]
            ]
            kept[name, shots, test] = replace(data, pool=tuple(pool))
        return kept[name, shots, test]

    return make


@pytest.fixture
def bench(backbone, small, tmp_path):
    """A bench on a tiny model with random weights."""
    return Bench(backbone("llava"), Cells(tmp_path / "cells"), small, Setting(shots=4, draws=3, costly_draws=1))
