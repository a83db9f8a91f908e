"""Fitting and answering from a store takes memory for a block of heads or rows, however many heads there are."""

import json
import os
import subprocess
import sys

import pytest

from peak_memory import PEAK, needs_status

FIT = (
    PEAK
    + """
import json, sys
import numpy as np
import dataclasses
from savs.classify import SAVClassifier, readers
from savs.model import SAVModel
from savs.store import ActivationStore
folder, in_memory = sys.argv[1], sys.argv[2] == "True"
readers.BLOCK_ELEMENTS = 2**20
store = ActivationStore.open(folder)
features = store.select([f"{row:032x}" for row in range(4000)])
labels = [f"class {row % 4}" for row in range(4000)]
features = dataclasses.replace(features.load() if in_memory else features, labels=tuple(labels))
SAVModel.fit_features(features, backbone=store.spec, classifier=SAVClassifier(k=4))  # with its held-out estimate
SAVClassifier.from_preset("calm").fit(features, labels).predict(features)  # which keeps every head
print(json.dumps(peak_megabytes()))
"""
)


def megabytes_to_fit(folder, *, in_memory):
    """The most memory that a process has in which a fit runs."""
    ran = subprocess.run(
        [sys.executable, "-c", FIT, str(folder), str(in_memory)],
        check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return json.loads(ran.stdout)


@needs_status
@pytest.mark.slow
def test_memory_does_not_follow_the_number_of_heads(tmp_path):
    from benchmarks.store.measure import generate

    for heads in (28, 280):
        generate(tmp_path / str(heads), examples=4000, heads=heads, head_dim=64, seed=0)
    few, many = (megabytes_to_fit(tmp_path / str(heads), in_memory=False) for heads in (28, 280))
    whole = 4000 * 280 * 64 * 4 / 2**20  # 273 MB in float32
    assert many < few + 0.1 * whole
    # With all features in memory it shows: the test is not blind.
    assert megabytes_to_fit(tmp_path / "280", in_memory=True) > many + 0.4 * whole
