"""Quantised and spread models work, or are refused in one sentence that says what to do."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers as t
from safetensors.torch import load_file, save_file

from savs.backbones import loading
from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
from savs.backbones.quantised import unpacking_at_once
from savs.data.example import Example
from savs.errors import BackboneError

EXAMPLES = [Example(str(i), "word " * i) for i in range(1, 7)]


@pytest.fixture
def quantised(model_folder, tmp_path):
    """A folder whose configuration says that its weights are quantised."""

    def make(**settings):
        folder = shutil.copytree(model_folder("llama"), tmp_path / settings["quant_method"])
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "quantization_config": settings}))
        return folder

    return make


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False}, "optimum"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True}, "gptqmodel"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "compressed-tensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_missing_package_is_named_with_its_command(settings, package, quantised):
    pytest.importorskip("accelerate")
    method = settings["quant_method"]
    pattern = rf"cannot load the weights of .*, which are quantised with {method}: .*pip install .*{package}"
    with pytest.raises(BackboneError, match=pattern) as caught:
        load_backbone(quantised(**settings), dtype="float32", device="cpu")
    assert "\n" not in str(caught.value)


def test_a_method_that_transformers_does_not_know_is_refused(quantised):
    """It would read the quantised numbers as the weights themselves."""
    with pytest.raises(BackboneError, match="is quantised with 'mystery', which the installed transformers does not"):
        load_backbone(quantised(quant_method="mystery"), dtype="float32", device="cpu")


def test_weights_that_are_unpacked_for_want_of_a_gpu_are_told(quantised, backbone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "modules_to_not_convert": ["model", "lm_head"]}
    model = load_backbone(quantised(**settings), dtype="float32", device="cpu")
    assert model.spec.quantised == "fp8, unpacked"
    assert model.spec.fingerprint() != backbone("llama").spec.fingerprint()
    np.testing.assert_array_equal(model.head_activations(EXAMPLES), backbone("llama").head_activations(EXAMPLES))


def test_weights_that_the_first_whole_pass_would_unpack_are_asked_for_plain():
    """Heads are read from a part of the model: a pass through the whole, which would unpack them, never comes."""
    config = t.LlamaConfig(quantization_config={"quant_method": "compressed-tensors", "format": "pack-quantized"})
    assert unpacking_at_once(config).quantization_config["dequantize"] is True
    assert "dequantize" not in config.quantization_config  # what stood in the folder is told as it was
    for other in (t.LlamaConfig(), t.LlamaConfig(quantization_config={"quant_method": "gptq", "bits": 4})):
        assert unpacking_at_once(other) is other


def test_plain_weights_are_not_called_quantised(backbone):
    assert backbone("llama").spec.quantised == ""


def test_a_checkpoint_that_lacks_weights_is_refused(model_folder, tmp_path):
    """transformers would draw them at random, and heads would mean nothing."""
    folder = shutil.copytree(model_folder("llama"), tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    for layer in (0, 2):
        del weights[f"model.layers.{layer}.self_attn.k_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    pattern = r"holes has no weights for model\.layers\.0\.self_attn\.k_proj\.weight and 1 more.*at random"
    with pytest.raises(BackboneError, match=pattern):
        load_backbone(folder, dtype="float32", device="cpu")


def test_spreading_needs_a_package(model_folder, monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(BackboneError, match=r"device='auto' needs accelerate.*pip install \"savs\[accelerate\]\""):
        load_backbone(model_folder("llama"), device="auto")


def test_auto_gives_what_one_device_gives(model_folder, backbone):
    pytest.importorskip("accelerate")
    spread = load_backbone(model_folder("llama"), dtype="float32", device="auto")
    expected = backbone("llama").head_activations(EXAMPLES)
    np.testing.assert_allclose(spread.head_activations(EXAMPLES), expected, atol=1e-4)


@pytest.mark.parametrize("on_disk", [["model.layers.1"], ["model.embed_tokens", "model.layers.0", "model.layers.2"]])
def test_a_model_spread_over_memory_and_disk_gives_the_same_heads(on_disk, model_folder, backbone, tmp_path):
    pytest.importorskip("accelerate")
    parts = [
        "model.embed_tokens",
        *(f"model.layers.{i}" for i in range(3)),
        "model.norm",
        "model.rotary_emb",
        "lm_head",
    ]
    model = t.AutoModelForCausalLM.from_pretrained(
        model_folder("llama"),
        device_map={part: "disk" if part in on_disk else "cpu" for part in parts},
        offload_folder=tmp_path,
        dtype=torch.float32,
    )
    assert any(parameter.device.type == "meta" for parameter in model.parameters())
    plain = backbone("llama")
    spread = HuggingFaceBackbone(model.eval(), plain.processor, plain.spec)
    np.testing.assert_allclose(spread.head_activations(EXAMPLES), plain.head_activations(EXAMPLES), atol=1e-5)
    early = plain.layout.heads[:5]  # the pass stops in the middle, and the next one starts from the top again
    np.testing.assert_allclose(
        spread.head_activations(EXAMPLES, heads=early), plain.head_activations(EXAMPLES, heads=early), atol=1e-5
    )
    np.testing.assert_allclose(spread.head_activations(EXAMPLES), plain.head_activations(EXAMPLES), atol=1e-5)
    assert spread.generate(EXAMPLES[:2], max_new_tokens=2) == plain.generate(EXAMPLES[:2], max_new_tokens=2)
