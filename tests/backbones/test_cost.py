"""What is counted is what was run."""

import sys

import numpy as np
import pytest

from savs.backbones.cost import measured
from savs.data.example import Example


@pytest.fixture
def examples(picture):
    return [Example(f"e{i}", "what is it?", (picture(i),)) for i in range(5)]


def test_a_pass_an_example_whatever_the_batches(backbone, examples):
    model = backbone("llava")
    model.head_activations(examples, batch_size=5)  # the first time, the model may be asked more
    for batch_size in (1, 2, 5):
        with measured(model) as cost:
            model.head_activations(examples, batch_size=batch_size)
        assert cost.forwards == 5
        assert cost.seconds > 0


def test_generated_tokens_count(backbone, examples):
    model = backbone("llava")
    with measured(model) as prompt_alone:
        model.generate(examples[:1], max_new_tokens=1)
    with measured(model) as three:
        model.generate(examples[:1], max_new_tokens=3)
    assert prompt_alone.forwards == 1
    assert three.forwards == 3


def test_nothing_is_counted_after_the_block_or_without_a_backbone(backbone, examples):
    model = backbone("llava")
    with measured(model) as cost:
        pass
    model.head_activations(examples)
    assert cost.forwards == 0
    with measured(None) as nothing:
        pass
    assert nothing.forwards is None


def test_the_hook_leaves_when_the_work_fails(backbone):
    model = backbone("llava")
    before = len(model.sources[0].projection._forward_pre_hooks)
    with pytest.raises(RuntimeError), measured(model):
        raise RuntimeError
    assert len(model.sources[0].projection._forward_pre_hooks) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its peak and lets it begin anew")
def test_the_peak_is_that_of_the_block():
    with measured(None) as small:
        pass
    with measured(None) as large:
        np.ones(40_000_000)
    with measured(None) as after:
        pass
    assert large.peak_bytes - small.peak_bytes > 250_000_000
    assert after.peak_bytes < large.peak_bytes


def test_a_system_that_does_not_tell_the_peak_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr("savs.backbones.cost._PROCESS", tmp_path / "none")
    with measured(None) as untold:
        pass
    assert untold.peak_bytes is None
    assert untold.seconds > 0
