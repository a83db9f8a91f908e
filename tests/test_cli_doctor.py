"""`savs doctor` from outside: what it prints, how it exits, and the way out where no heads are found."""

import json
import shutil

import pytest
import transformers as t
from typer.testing import CliRunner

import odd_family
from savs.cli.entry import app
from savs.doctor import certificate as certificates


def run(*arguments):
    return CliRunner().invoke(app, ["doctor", "--device", "cpu", "--dtype", "float32", *map(str, arguments)])


@pytest.fixture(scope="module")
def mamba(model_folder, tmp_path_factory):
    """A model without attention heads."""
    folder = tmp_path_factory.mktemp("mamba") / "model"
    config = t.MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=400, state_size=4)
    t.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder("llama") / name, folder)
    return folder


@pytest.fixture(scope="module")
def loom(model_folder, tmp_path_factory):
    """A model of a family that nobody has seen."""
    return odd_family.save(tmp_path_factory.mktemp("loom") / "model", model_folder("llama"))


def test_a_good_model_is_trusted_within_80_columns(model_folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run(model_folder("qwen2_vl"), "--batch-sizes", "1,2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[-1] == "verdict: trust it"
    assert max(map(len, lines)) <= 80
    assert "Qwen2VLImageProcessorPil on pil, as recorded" in result.stdout
    assert [line.split()[0] for line in lines if line.endswith(" GB")] == ["1", "2"]


def test_a_bad_reading_is_not_and_exits_with_one(model_folder, monkeypatch):
    monkeypatch.setitem(certificates.TOLERANCES, "float32", -1.0)
    result = run(model_folder("llama"))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "verdict: do not trust it; failed: text, projection"


def test_what_is_read_wrongly_is_not_compared(model_folder, monkeypatch):
    monkeypatch.setitem(certificates.TOLERANCES, "float32", -1.0)
    result = run(model_folder("llama"), "--against", model_folder("llama"), "--batch-sizes", "")
    assert result.exit_code == 1
    assert "not compared with" in result.stderr and "drift" not in result.stdout


def test_json_for_a_program(model_folder):
    result = run(model_folder("llama"), "--json", "--batch-sizes", "")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["trusted"] is True and told["drift"] is None and told["speeds"] == []
    assert {check["verdict"] for check in told["checks"]} == {"ok"}


def test_a_model_without_heads_shows_what_there_is_to_choose_from(mamba, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run(mamba)
    assert result.exit_code == 1
    assert "found no attention heads in MambaForCausalLM" in result.stderr
    assert "--attention-modules 'PATTERN'" in result.stdout
    assert r"backbone\.layers\.\d+\.mixer\.out_proj" in result.stdout
    told = json.loads(run(mamba, "--json").stdout)
    assert told["trusted"] is False and len(told["candidates"]) > 2


def test_heads_are_named_by_hand(model_folder):
    result = run(model_folder("llama"), "--attention-modules", r"model\.layers\.[02]\.self_attn\.o_proj", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["checks"][0]["found"] == "8 in 2 layers, named by hand"
    assert list(told["heads"]) == ["0", "2"]


def test_a_family_that_nobody_has_seen_is_read_once_its_projections_are_named(loom, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    odd_family.register()
    lost = run(loom)
    assert lost.exit_code == 1 and "found no attention heads in LoomForCausalLM" in lost.stderr
    assert "--attention-modules, a regular expression" in lost.stderr
    pattern = next(line.split()[0] for line in lost.stdout.splitlines() if "knot" in line)
    assert pattern == r"cloth\.rows\.\d+\.weave\.knot"
    found = run(loom, "--attention-modules", pattern, "--batch-sizes", "")
    assert found.exit_code == 0
    assert "12 in 3 layers, named by hand" in found.stdout
    assert found.stdout.splitlines()[-1] == "verdict: trust it"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"cloth\.rows\.\d+\.weave\.warp", "another beginning changes nothing in layer 0"),  # what goes into attention
        (r"cloth\.rows\.\d+\.dye", "cannot tell the size of a head at cloth.rows.0.dye"),
        ("knot", "--attention-modules 'knot' names no linear module of LoomForCausalLM"),
        (r"cloth\.rows\.\d+\.weave", "names no linear module"),
        ("cloth(", "is no regular expression: missing )"),
    ],
)
def test_a_wrong_name_is_told(pattern, told, loom):
    odd_family.register()
    result = run(loom, "--attention-modules", pattern, "--batch-sizes", "")
    assert result.exit_code == 1
    assert told in result.stderr + " ".join(result.stdout.split())


def test_drift_against_the_original(model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    model = t.AutoModelForCausalLM.from_pretrained(model_folder("llama"))
    for weight in model.parameters():
        weight.data *= 1.02
    changed = shutil.copytree(model_folder("llama"), tmp_path / "changed")
    model.save_pretrained(changed)
    result = run(changed, "--against", model_folder("llama"), "--batch-sizes", "")
    assert result.exit_code == 0
    assert "changed (float32) against llama (float32)" in result.stdout
    drift = json.loads(run(changed, "--against", model_folder("llama"), "--json").stdout)["drift"]
    assert set(drift["layers"]) == {"0", "1", "2"} and min(drift["layers"].values()) > 0
    same = json.loads(run(model_folder("llama"), "--against", model_folder("llama"), "--json").stdout)["drift"]
    assert same["small"] is True and same["votes_changed"] == 0


def test_what_cannot_be_done_exits_with_two(tmp_path):
    missing = run("/no/such/folder")
    assert missing.exit_code == 2 and missing.stderr.startswith("savs: ")
    assert run("demo", "--batch-sizes", "1,zero").exit_code == 2
