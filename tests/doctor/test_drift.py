"""Drift is zero against oneself, grows with the noise in the weights, and is refused between strangers."""

import copy
import json

import pytest
import torch

from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
from savs.doctor import measure_drift
from savs.errors import BackboneError
from tiny_gguf import write_gguf


def noisy(backbone, size):
    """The same model with noise in every matrix, as a share of the matrix's own spread."""
    model = copy.deepcopy(backbone.model)
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.add_(size * weight.std() * torch.randn_like(weight))
    return HuggingFaceBackbone(model, backbone.processor, backbone.spec)


@pytest.mark.parametrize("kind", ["llama", "llava"])
def test_a_model_does_not_drift_from_itself(kind, backbone):
    model = backbone(kind)
    drift = measure_drift(model, model, images=model.takes_images)
    assert set(drift.layers.values()) == {0.0}
    assert (drift.votes_changed, drift.best_votes_changed, drift.answers_changed) == (0, 0, 0)
    assert drift.small
    assert drift.n_queries == 16


def test_drift_grows_with_the_noise(backbone):
    model = backbone("llama")
    little, much = (measure_drift(noisy(model, size), model, images=False) for size in (1e-3, 0.3))
    assert list(little.layers) == [0, 1, 2]
    for layer, value in little.layers.items():
        assert 0 < value < 0.02 < much.layers[layer]
    assert little.votes_changed < 0.1 < much.votes_changed
    assert not much.small
    assert json.loads(json.dumps(much.to_json()))["small"] is False


def test_fewer_bits_drift_further(backbone, model_folder, tmp_path):
    """The use that it is for: a quantised model against what it was made from."""
    original = backbone("llama")
    errors = {}
    for kind in ("F32", "Q8_0", "Q4_0"):
        file = write_gguf(model_folder("llama"), tmp_path / f"{kind}.gguf", kind=kind)
        drift = measure_drift(load_backbone(file, dtype="float32", device="cpu"), original, images=False)
        errors[kind] = max(drift.layers.values())
    assert errors["F32"] < 1e-5 < errors["Q8_0"] < 0.05 < errors["Q4_0"] < 1


def test_models_with_other_heads_are_refused(backbone):
    with pytest.raises(BackboneError, match="drift is measured between two forms of one model"):
        narrow = backbone("llama")
        wide = copy.copy(narrow)
        wide.layout = type(narrow.layout).grid(3, 8, 4)
        measure_drift(narrow, wide, images=False)
