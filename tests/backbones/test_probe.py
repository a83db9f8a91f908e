"""Heads are held against the projections that read them, and modules can be listed without weights."""

import json

import pytest
import torch
import transformers as t

from savs.backbones.huggingface import load_backbone
from savs.backbones.probe import candidates, projection_errors, relative_difference
from savs.data.example import Example
from savs.errors import HeadSearchError
from tiny_models import MODELS


@pytest.mark.parametrize("kind", MODELS)
def test_heads_through_the_projection_are_its_output_in_every_layer(kind, backbone, picture):
    model = backbone(kind)
    example = Example("a", "How many?", (picture(0),) if model.takes_images else ())
    errors = projection_errors(model, example)
    assert list(errors) == [0, 1, 2]  # the deepest too, before which a pass for features stops
    assert max(errors.values()) < 1e-5


def test_another_examples_heads_are_not(backbone):
    model = backbone("llama")
    read = model.head_activations
    try:
        model.head_activations = lambda examples: read([Example("b", "something else entirely")])
        assert min(projection_errors(model, Example("a", "How many?"))[layer] for layer in (1, 2)) > 0.01
    finally:
        del model.head_activations


def test_the_difference_is_a_share_of_the_largest():
    assert relative_difference(torch.tensor([1.0, 8.0]), torch.tensor([1.0, 10.0])) == pytest.approx(0.2)
    assert relative_difference(torch.tensor([3.0]), torch.tensor([0.0])) == 3.0
    assert relative_difference(torch.tensor([float("nan")]), torch.tensor([1.0])) != 0


def test_candidates_name_linear_modules_by_layer_and_work_as_patterns(model_folder):
    found = {one.pattern: one for one in candidates(model_folder("llava"))}
    pattern = r"model\.language_model\.layers\.\d+\.self_attn\.o_proj"
    assert (found[pattern].layers, found[pattern].width_in, found[pattern].width_out) == (3, 32, 32)
    assert not any("lm_head" in pattern for pattern in found)
    model = load_backbone(model_folder("llava"), dtype="float32", device="cpu", attention_modules=pattern)
    assert model.layout.shape == (3, 4)


def test_candidates_of_a_model_whose_heads_are_not_found_need_no_weights(model_folder, tmp_path):
    config = t.MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=400, state_size=4)
    config.architectures = ["MambaForCausalLM"]
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert r"backbone\.layers\.\d+\.mixer\.out_proj" in {one.pattern for one in candidates(tmp_path)}


def test_what_is_not_found_is_an_error_of_its_own(backbone):
    from savs.backbones.attention import map_attention

    with pytest.raises(HeadSearchError, match="attention_modules='nothing' names no linear module of LlamaForCausalLM"):
        map_attention(backbone("llama").model, pattern="nothing")
