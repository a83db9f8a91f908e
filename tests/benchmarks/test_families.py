"""Every kind of decoder, on tiny models of real families; and the page of the support matrix is the matrix."""

import copy
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from benchmarks.families.certify import TOLERANCE, build, certify
from benchmarks.families.model_types import ALL_TYPES, AUDIO_TYPES, INPUTS, MULTIMODAL_TYPES, TEXT_TYPES
from benchmarks.families.page import RECORDS, counts, render, supported, verdict
from benchmarks.families.processors import processor_for
from benchmarks.families.shrink import shrunk
from savs.backbones.attention import find_attention, layout_of, map_attention
from savs.backbones.huggingface import load_backbone
from savs.doctor import certify as certify_backbone
from savs.errors import BackboneError

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def attention():
    """What is found in a type's tiny model, which is built without weights."""

    def find(model_type):
        auto = AutoModelForCausalLM if model_type in TEXT_TYPES else AutoModelForImageTextToText
        with torch.device("meta"):
            return map_attention(auto.from_config(shrunk(model_type)))

    return find


@pytest.mark.parametrize("model_type", ["qwen3_5", "lfm3_vl", "step3p7", "muse_glimmer", "kosmos-2"])
def test_gates_and_norms_before_the_projection_are_reported(model_type, attention):
    assert all(source.gated for source in attention(model_type).sources)


@pytest.mark.parametrize("model_type", ["llava", "gemma3", "kimi_k25", "mllama", "qwen3_vl", "gpt2"])
def test_plain_heads_are_not_called_gated(model_type, attention):
    assert not any(source.gated for source in attention(model_type).sources)


@pytest.mark.parametrize(
    ("model_type", "read", "left_out"),
    [
        ("qwen3_5", [3], {0: "linear_attention", 1: "linear_attention", 2: "linear_attention"}),
        # Its linear layers are called self_attn.o_proj too.
        ("glm5_next", [3], {0: "linear attention", 1: "linear attention", 2: "linear attention"}),
        ("lfm3_vl", [2, 4], {0: "conv", 1: "conv", 3: "conv"}),
        ("nemotron_h_omni", [2], {0: "linear_attention", 1: "moe", 3: "mlp"}),
    ],
)
def test_layers_without_softmax_heads_are_left_out_and_the_others_keep_their_number(
    model_type, read, left_out, attention
):
    found = attention(model_type)
    assert [source.layer for source in found.sources] == read
    assert {part.layer: part.reason for part in found.left_out} == left_out


@pytest.mark.parametrize("model_type", ["mllama", "idefics", "blip", "florence2", "pix2struct", "udop"])
def test_cross_attention_is_left_out_by_name(model_type, attention):
    found = attention(model_type)
    assert {part.reason for part in found.left_out} == {"cross-attention"}
    assert not {part.name for part in found.left_out} & {source.name for source in found.sources}
    assert not any("vision" in source.name or "encoder.layers" in source.name for source in found.sources)


@pytest.mark.parametrize("model_type", ["kimi_k25", "mistral4"])
def test_latent_attention_has_heads_of_the_values_size(model_type, attention):
    """Queries and keys are 24 wide there, values 16."""
    assert {(source.n_heads, source.head_dim) for source in attention(model_type).sources} == {(4, 16)}


def test_head_sizes_that_change_by_layer(attention):
    found = attention("gemma4").sources
    assert [source.head_dim for source in found] == [32, 32, 32, 32, 32, 64]
    assert layout_of(found).head_dim == 64


def test_heads_times_size_need_not_be_the_hidden_size(attention):
    config = shrunk("gemma3").get_text_config()
    assert {source.n_heads * source.head_dim for source in attention("gemma3").sources} == {128}
    assert config.hidden_size == 64


@pytest.mark.parametrize(
    ("model_type", "path"),
    [
        ("idefics3", "model.text_model.layers.0.self_attn.o_proj"),
        ("instructblip", "language_model.model.decoder.layers.0.self_attn.out_proj"),
        ("florence2", "model.language_model.decoder.layers.0.self_attn.out_proj"),
        ("git", "git.encoder.layer.0.attention.output.dense"),
        ("blip", "text_decoder.bert.encoder.layer.0.attention.output.dense"),
        ("pix2struct", "decoder.layer.0.self_attention.attention.output"),
        ("udop", "decoder.block.0.layer.0.SelfAttention.o"),
        ("fuyu", "model.language_model.layers.0.self_attn.dense"),
        ("idefics", "model.layers.0.self_attn.o_proj"),
        ("t5gemma2", "model.decoder.layers.0.self_attn.o_proj"),
    ],
)
def test_decoders_at_odd_paths(model_type, path, attention):
    assert attention(model_type).sources[0].name == path


def test_a_robots_model_is_refused():
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(shrunk("pi0"))
    with pytest.raises(BackboneError, match="no attention heads"):
        find_attention(model)


@pytest.fixture(scope="module")
def records():
    """Both files that the page is made from."""
    return [json.loads((DOCS / name).read_text(encoding="utf-8")) for name in RECORDS]


@pytest.fixture(scope="module")
def matrix(records):
    return records[0]


def test_the_page_is_made_from_the_records_and_covers_every_type(records):
    assert list(records[0]) == list(ALL_TYPES), "run python -m benchmarks.families for the types that are missing"
    assert (DOCS / "models.md").read_text(encoding="utf-8") == render(*records), "run python -m benchmarks.families"


@pytest.mark.parametrize(
    ("file", "row", "field", "value"),
    [
        (0, "llava", "projection", "elsewhere"),
        (0, "llava", "needs", ["timm"]),
        (0, "gpt2", "inputs", {"token rows": "ok", "text": "refused: it is tired"}),
        (0, "pi0", "problem", "refused: of type 'pi0', which sleeps"),
        (1, "fp8", "drift", 0.5),
        (1, "fp8", "kept", "fp8"),
        (1, "gptq", "problem", "it is tired"),
    ],
)
def test_a_page_whose_records_changed_is_stale(file, row, field, value, records):
    changed = copy.deepcopy(records)
    changed[file][row][field] = value
    assert (DOCS / "models.md").read_text(encoding="utf-8") != render(*changed)


def test_the_matrix_is_of_the_installed_transformers(matrix):
    stale = [name for name, record in matrix.items() if record["transformers"] != transformers.__version__]
    assert not stale, "run python -m benchmarks.families, and once more --with-extras"


def test_what_the_matrix_calls_supported_passed(matrix):
    for name, record in matrix.items():
        if record["inputs"].get("token rows") == "ok":
            assert record["batch"] < TOLERANCE, name
            assert record["identity"] < 1e-4, name
        if supported(record):
            assert record["layers"] and not record["problem"], name
    assert counts(matrix)["types"] == len(MULTIMODAL_TYPES)
    assert counts(matrix)["supported"] >= 90
    assert all(supported(matrix[name]) for name in (*TEXT_TYPES, *AUDIO_TYPES))


def test_every_known_exception_is_seen_in_the_matrix(matrix):
    gated = (
        "qwen3_5 qwen3_5_moe qwen4_exp minicpmv4_6 minicpmv4_7 minicpm_ocr dots3_note inkling2 lfm3_vl muse_glimmer "
        "muse_spark step3p7 kosmos-2 qwen3_next"
    )
    assert {name for name, record in matrix.items() if record["gated"]} == set(gated.split())
    for name in "kimi_k25 mistral4 mistral_large4 dots3_note glm5_next deepseek_v2 deepseek_v3".split():
        assert set(matrix[name]["head_dims"]) == {16}, name  # of the values, where queries and keys are 24 wide
    for name in "gemma3 mistral3 lighton_ocr paddleocr_vl".split():  # 128 wide, the hidden size 64
        assert {heads * 32 for heads in matrix[name]["heads"]} == {128}, name
        assert set(matrix[name]["head_dims"]) == {32}, name
    for name in ("gemma4", "gemma4_unified"):
        assert set(matrix[name]["head_dims"]) == {32, 64}, name
    assert matrix["dots3_note"]["heads"] == [4, 4, 2]  # its number changes by layer too
    without_softmax = {"conv", "linear_attention", "linear attention", "moe", "mlp"}
    for name in "qwen3_5 qwen3_next glm5_next lfm2 lfm2_vl lfm3_vl nemotron_h_omni jamba minicpm_ocr".split():
        assert set(matrix[name]["left_out"]) <= without_softmax and matrix[name]["left_out"], name
        assert not set(matrix[name]["layers"]) & {layer for left in matrix[name]["left_out"].values() for layer in left}


def test_a_record_that_fails_anywhere_is_not_called_supported(matrix):
    record = matrix["llava"]
    assert supported(record)
    for result in ("a batch differs from single examples by 1.0e-01", "different images give the same heads"):
        assert not supported(record | {"inputs": record["inputs"] | {"one image": result}})
        assert not supported(record | {"inputs": record["inputs"] | {"two images": result}})
    refused = record["inputs"] | {"two images": "refused: takes one image an example"}
    assert supported(record | {"inputs": refused})
    assert not supported(record | {"inputs": refused | {"one image": "refused: takes none"}})


@pytest.mark.parametrize("whole", ["qwen2_5_omni", "qwen3_omni_moe"])
def test_of_a_model_that_speaks_the_part_that_writes_is_opened(whole, tmp_path):
    """As the Hub has them: one folder for what thinks and what talks, the weights of each under its name."""
    config = shrunk(f"{whole}_thinker")
    processor_for(config).save_pretrained(tmp_path)
    build(config, f"{whole}_thinker").save_pretrained(tmp_path)
    weights = {f"thinker.{name}": weight for name, weight in load_file(tmp_path / "model.safetensors").items()}
    save_file(weights | {"talker.voice": torch.zeros(2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": whole, "thinker_config": settings}))
    model = load_backbone(tmp_path, dtype="float32", device="cpu")
    assert model.layout.shape == (3, 4)
    assert certify_backbone(model, batch_sizes=()).trusted


def _assert_still_so(model_type, then):
    """Where a library of the record's is not here, all that does without it, and that its want is told by name."""
    now = json.loads(json.dumps(certify(model_type).to_json()))
    missing = [library for library in then["needs"] if find_spec(library) is None]
    if missing:
        told = [now["problem"]] if now["problem"] else [now["inputs"][kind] for kind in INPUTS]
        assert all(any(library in words.lower() for library in missing) for words in told), told
        assert now["needs"] and set(now["needs"]) <= set(then["needs"])
    if now["problem"] and missing:
        return
    for name in ("problem", "projection", "layers", "heads", "head_dims", "gated", "left_out"):
        assert now[name] == then[name], name
    kinds = ["token rows"] if missing else list(then["inputs"])
    assert [verdict(now["inputs"].get(kind)) for kind in kinds] == [verdict(then["inputs"].get(kind)) for kind in kinds]


@pytest.mark.parametrize(
    "model_type", ["qwen3_vl", "gemma3", "blip", "mllama", "gpt2", "shieldgemma2", "cohere2_vision", "fast_vlm"]
)
def test_a_type_of_each_kind_is_still_what_the_matrix_says(model_type, matrix):
    _assert_still_so(model_type, matrix[model_type])


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ALL_TYPES)
def test_a_certificate_is_still_what_the_matrix_says(model_type, matrix):
    _assert_still_so(model_type, matrix[model_type])
