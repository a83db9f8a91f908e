"""What is opened and what is refused: code never runs from a model's folder, and weights are never unpickled."""

import dataclasses
import json
import shutil

import pytest
import torch
import transformers as t
from safetensors.torch import load_file, save_file

from savs.backbones.base import BackboneSpec
from savs.backbones.huggingface import load_backbone
from savs.backbones.loading import choose_dtype, model_digest
from savs.data.example import Example
from savs.errors import BackboneError
from tiny_models import TEXT


@pytest.fixture
def copy_of(model_folder, tmp_path):
    """A copy of a tiny model's folder, to be damaged."""
    return lambda kind="llama": shutil.copytree(model_folder(kind), tmp_path / kind)


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_pickled_weights_are_refused(copy_of):
    folder = copy_of()
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"no safetensors weights \(found pytorch_model.bin, a pickle file"):
        load_backbone(folder, dtype="float32")
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(BackboneError, match=r"no safetensors weights \(found none\)"):
        load_backbone(folder, dtype="float32")


@pytest.mark.parametrize("model_type", ["llama", "homemade"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "processor_config.json"])
def test_code_in_the_folder_never_runs(model_type, file, copy_of, tmp_path):
    """A model that transformers knows is opened with transformers' own code; one that it does not know is refused."""
    folder = copy_of("llava" if file == "processor_config.json" else "llama")
    marker = tmp_path / "marker"
    (folder / "homemade.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Homemade: pass\n")
    names = ("AutoConfig", "AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoModel", "AutoProcessor")
    auto_map = {name: "homemade.Homemade" for name in names} | {"AutoTokenizer": ["homemade.Homemade", None]}
    edit(folder / file, auto_map=auto_map)
    if model_type == "homemade":
        edit(folder / "config.json", auto_map=auto_map, model_type="homemade", architectures=["Homemade"])
        with pytest.raises(BackboneError, match="brings its own Python code, which is never run"):
            load_backbone(folder, dtype="float32")
    else:
        load_backbone(folder, dtype="float32", device="cpu").head_activations([Example("a", "x")])
    assert not marker.exists()


def test_the_marker_would_appear_if_the_code_ran(copy_of, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    folder = copy_of()
    marker = tmp_path / "marker"
    (folder / "homemade.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nfrom transformers import LlamaConfig\n"
        "class Homemade(LlamaConfig): model_type = 'homemade'\n"
    )
    edit(folder / "config.json", auto_map={"AutoConfig": "homemade.Homemade"}, model_type="homemade")
    t.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert marker.exists()


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing", "~/missing-model", "a/b/c"])
def test_a_missing_folder_is_named(name):
    with pytest.raises(
        BackboneError, match=f"there is no model folder {name}; give an existing folder, a GGUF file, a Hub id"
    ):
        load_backbone(name)


def test_a_file_and_an_empty_folder_are_no_models(tmp_path):
    with pytest.raises(BackboneError, match="is a folder without config.json"):
        load_backbone(tmp_path)
    (tmp_path / "model").write_text("")
    with pytest.raises(BackboneError, match="model is a file; expected a folder .* or a file ending in .gguf"):
        load_backbone(tmp_path / "model")


def test_a_damaged_configuration_is_named(copy_of):
    folder = copy_of()
    (folder / "config.json").write_text('{"model_type": "llama", ')
    with pytest.raises(BackboneError, match="cannot read the model .*llama"):
        load_backbone(folder)


def test_a_damaged_weights_file_is_named(copy_of):
    folder = copy_of()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BackboneError, match="cannot load the weights of .*llama"):
        load_backbone(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize("file", ["tokenizer.json", "processor_config.json"])
def test_a_processor_that_is_missing_is_named(file, copy_of):
    folder = copy_of("llava")
    for path in [folder / file, folder / "tokenizer_config.json"]:
        path.unlink()
    with pytest.raises(BackboneError, match="cannot load the processor of .*llava"):
        load_backbone(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize(
    "config",
    [
        t.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16),
        t.DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=16, vocab_size=50),
    ],
    ids=["vit", "distilbert"],
)
def test_a_model_that_does_not_write_text_is_refused(config, tmp_path):
    t.AutoModel.from_config(config).save_pretrained(tmp_path / "encoder")
    with pytest.raises(BackboneError, match=f"of type '{config.model_type}'.*expected an image-text-to-text"):
        load_backbone(tmp_path / "encoder")


def test_an_encoder_that_sees_ahead_is_refused(model_folder, tmp_path):
    """BERT can be opened as a causal model, but its attention looks both ways unless it is told to be a decoder."""
    config = t.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=400
    )
    t.AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path / "bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder("llama") / name, tmp_path / "bert")
    with pytest.raises(BackboneError, match="of type 'bert'.*expected .*a causal language model"):
        load_backbone(tmp_path / "bert", dtype="float32", device="cpu")


def test_a_bert_that_was_made_a_decoder_is_taken(model_folder, tmp_path):
    config = t.BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=400,
        is_decoder=True,
    )
    t.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder("llama") / name, tmp_path / "bert")
    model = load_backbone(tmp_path / "bert", dtype="float32", device="cpu")
    assert model.layout.shape == (2, 2)


def test_a_model_without_attention_is_refused(model_folder, tmp_path):
    config = t.MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=400, state_size=4)
    t.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "mamba")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder("llama") / name, tmp_path / "mamba")
    with pytest.raises(BackboneError, match="found no attention heads in MambaForCausalLM"):
        load_backbone(tmp_path / "mamba", dtype="float32", device="cpu")


@pytest.mark.parametrize("dtype", ["float64", "int8", "half precision", torch.float64])
def test_a_wrong_dtype_is_shown(dtype, model_folder):
    with pytest.raises(BackboneError, match=f"dtype {dtype!r} is not one of float32, bfloat16, float16"):
        load_backbone(model_folder("llama"), dtype=dtype)


def test_the_cpu_default_is_what_it_computes_in_natively(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False}, raising=False)
    assert choose_dtype("cpu") == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert choose_dtype("cpu") == torch.bfloat16
    assert choose_dtype("mps") == torch.float32


def test_one_weight_changes_the_digest(copy_of, model_folder):
    folder = copy_of()
    original = model_digest(model_folder("llama"))
    assert model_digest(folder) == original
    (folder / "notes.md").write_text("not part of the model")
    assert model_digest(folder) == original
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[-1]
    weights[name].view(-1)[-1] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert model_digest(folder) != original


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer.model", "chat_template.jinja"])
def test_other_files_that_change_the_numbers_change_the_digest(name, copy_of):
    folder = copy_of()
    original = model_digest(folder)
    with (folder / name).open("a") as file:
        file.write(" ")
    assert model_digest(folder) != original


def test_a_change_in_any_part_of_a_large_file_changes_the_digest(tmp_path):
    size, part = 16 * 2**20, 2**18  # a layer's worth of bytes
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(size))
    digests = {model_digest(tmp_path)}
    for start in range(0, size, 2**21):
        path.write_bytes(bytes(start) + b"\1" * part + bytes(size - start - part))
        digests.add(model_digest(tmp_path))
    assert len(digests) == 9


SPEC = BackboneSpec(model="m", revision="r", dtype="float32", attention="sdpa")


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(BackboneSpec)])
def test_the_fingerprint_holds_every_field_but_the_names(field):
    value = getattr(SPEC, field)
    changed = dataclasses.replace(SPEC, **{field: "other" if isinstance(value, str) else 12345})
    if field in ("model", "location"):
        assert changed == SPEC
        assert changed.fingerprint() == SPEC.fingerprint()
        assert SPEC.differences(changed) == []
    else:
        assert changed.fingerprint() != SPEC.fingerprint()
        assert SPEC.differences(changed) == [f"{field}: {value!r} here, {getattr(changed, field)!r} there"]


def test_a_spec_survives_json_with_fields_of_a_later_version():
    data = json.loads(json.dumps(SPEC.to_json()))
    assert BackboneSpec.from_json(data) == SPEC
    assert BackboneSpec.from_json({**data, "of_a_later_version": 1}) == SPEC


def test_fingerprints_do_not_change_between_versions():
    """Saved features and classifiers are known by them."""
    assert SPEC.fingerprint() == "afbadc12eda4be96"


def test_processors_of_pil_are_asked_for_whatever_is_installed(backbone):
    names = {kind: backbone(kind).spec.image_processor for kind in ("llava", "llava_onevision", "qwen2_vl", "idefics3")}
    assert names == {
        "llava": "SiglipImageProcessorPil",
        "llava_onevision": "LlavaOnevisionImageProcessorPil",
        "qwen2_vl": "Qwen2VLImageProcessorPil",
        "idefics3": "Idefics3ImageProcessorPil",
    }


def test_a_seed_of_one_gives_other_features(tmp_path, backbone):
    """The features are the model's: other weights, other numbers."""
    torch.manual_seed(1)
    shutil.copytree(backbone("llama").spec.location, tmp_path / "llama")
    t.AutoModelForCausalLM.from_config(t.LlamaConfig(**TEXT)).save_pretrained(tmp_path / "llama")
    other = load_backbone(tmp_path / "llama", dtype="float32", device="cpu")
    assert other.spec.differences(backbone("llama").spec)[0].startswith("revision: ")
    z = [model.head_activations([Example("a", "x")]) for model in (other, backbone("llama"))]
    assert abs(z[0] - z[1]).max() > 1e-3
