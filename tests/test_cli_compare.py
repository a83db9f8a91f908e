"""`savs compare` on drawn pictures and the embedded model: who wins, in words, in a table and as JSON."""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from chat_server import completion, running
from savs.cli.entry import app

#: In words that mean nothing to any model: by those for day and night it might know the pictures without a label.
TASK = """
name = "shade"
template = "Which kind is it?"
labels = ["blicket", "wug"]
[fields]
media = "image"
label = "label"
"""


def savs(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve bright and twelve dark pictures, and a file that gives them labels: the right ones, or any."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(24):
        noise = np.random.default_rng(i).integers(0, 60, (48, 48, 3))
        Image.fromarray((noise + 190 * (i % 2)).astype(np.uint8)).save(folder / f"{i}.png")
    (folder / "task.toml").write_text(TASK)
    meaningless = np.random.default_rng(5).permutation([0, 1] * 12)

    def write(name, *, right):
        labels = [("wug", "blicket")[i % 2 if right else meaningless[i]] for i in range(24)]
        rows = [json.dumps({"image": f"{i}.png", "label": label}) for i, label in enumerate(labels)]
        (folder / name).write_text("\n".join(rows))
        return folder / name

    return write


def options(path, *more):
    return ("compare", path, "--model", "demo", "--task", path.parent / "task.toml", "--methods", "sav,hec",
            "--folds", 3, "--repeats", 2, *more)  # fmt: skip


def test_a_method_that_sees_the_difference_wins(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    result = savs(*options(pictures("right.jsonl", right=True), "-o", tmp_path / "result.json"))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["held", "out", "in", "turn", "right", "interval", "ahead", "by", "p"]
    assert any(line.startswith("majority ") for line in lines)
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["winner"] in ("sav", "hec")
    assert " ".join(" ".join(lines).split()).endswith(written["verdict"])
    assert written["verdict"].startswith(f"{written['winner']} wins: ")
    best = written["contenders"][0]
    assert best["name"] == written["winner"] and best["score"]["value"] > 0.9 and best["p_value"] < 0.05
    assert (written["n_examples"], written["folds"], written["repeats"]) == (24, 3, 2)
    assert {c["name"] for c in written["contenders"]} == {
        "sav", "hec", "zero-shot-free", "zero-shot-choice", "majority"
    }  # fmt: skip


def test_labels_that_mean_nothing_have_no_winner(pictures):
    result = savs(*options(pictures("wrong.jsonl", right=False), "--json"))
    assert result.exit_code == 0, result.stderr
    written = json.loads(result.stdout)
    assert written["winner"] is None
    assert written["verdict"].startswith(f"Nothing beats {written['to_beat']} ")


def test_without_zero_shot_stored_features_are_compared_without_the_model(pictures, tmp_path, monkeypatch):
    from savs.backbones import huggingface, reopen

    loaded = []
    for module, name in ((huggingface, "load_backbone"), (reopen, "reopen")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, of=original, **o: (loaded.append(a), of(*a, **o))[1])
    path, store = pictures("right.jsonl", right=True), tmp_path / "store"

    def compared(*more):
        loaded.clear()
        result = savs(*options(path, "--store", store, "--json", *more))
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    filled = compared()
    assert loaded
    written = compared("--no-zero-shot", "--methods", "sav,gda-loo")
    assert not loaded, "no model, no forward pass"
    assert {c["name"] for c in written["contenders"]} == {"sav", "gda-loo", "majority"}
    assert written["verdict"].endswith("The model's own answers (zero-shot) were not compared.")
    assert written["backbone"]["revision"] == filled["backbone"]["revision"]
    sav = [next(c for c in each["contenders"] if c["name"] == "sav")["score"] for each in (filled, written)]
    assert sav[0] == sav[1]
    asked = compared("--no-zero-shot", "--methods", "sav,zero-shot-choice")
    assert loaded and "not compared" not in asked["verdict"], "it was named"
    assert "not compared" not in filled["verdict"]


def test_a_closed_model_is_among_what_must_be_beaten(pictures, tmp_path, monkeypatch):
    """One that knows what the names stand for leaves nothing to win; without it, the next test shows, there is some."""
    pytest.importorskip("httpx2")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")

    def answer(number, body):
        data = body["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
        shown = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
        return completion("blicket" if shown.mean() > 128 else "wug", (50, 1))

    with running() as server:
        server.script = answer
        behind = ("--endpoint", server.url, "--endpoint-model", "closed-1", "--endpoint-prices", 10, 20)
        result = savs(*options(pictures("right.jsonl", right=True), *behind, "--json"))
        assert len(server.requests) == 24  # once each, whatever the folds
    assert result.exit_code == 0, result.stderr
    written = json.loads(result.stdout)
    row = next(c for c in written["contenders"] if c["name"] == "zero-shot-endpoint")
    assert row["cheap"] and row["score"]["value"] == 1.0
    assert written["to_beat"] == "zero-shot-endpoint" and written["winner"] is None
    assert written["endpoint"]["bill"]["cost"] == pytest.approx((24 * 50 * 10 + 24 * 20) / 1e6)
    assert "closed-1: 24 asked, 0 from the cache; 1,200 tokens in, 24 out; cost 0.0125" in result.stderr
    assert "sk-of-the-test" not in result.stdout + result.stderr


def test_a_closed_model_that_is_down_costs_its_row_alone(pictures, tmp_path, monkeypatch):
    pytest.importorskip("httpx2")
    monkeypatch.setenv("HOME", str(tmp_path))
    with running() as server:
        server.script = lambda number, body: (401, {"error": "who are you?"})
        behind = ("--endpoint", server.url, "--endpoint-model", "closed-1")
        result = savs(*options(pictures("right.jsonl", right=True), *behind))
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert "zero-shot-endpoint did not run: " in said and "environment variable OPENAI_API_KEY" in said
    assert " wins: " in said


def test_an_endpoint_and_its_model_belong_together(pictures):
    path = pictures("right.jsonl", right=True)
    for alone in (("--endpoint", "http://127.0.0.1:9/v1"), ("--endpoint-model", "x"), ("--endpoint-prices", 1, 2)):
        result = savs(*options(path, *alone))
        assert result.exit_code == 2 and "belong together" in result.stderr
    result = savs(*options(path, "--endpoint", "host/v1", "--endpoint-model", "x"))
    assert result.exit_code == 2 and "'host/v1' is no address" in result.stderr


def test_what_cannot_be_compared_is_told_before_a_model_is_loaded(pictures, tmp_path):
    path = pictures("right.jsonl", right=True)
    one = tmp_path / "one.jsonl"
    one.write_text(json.dumps({"image": str(path.parent / "1.png"), "label": "wug"}))
    result = savs("compare", one, "--model", "no/such/model", "--task", path.parent / "task.toml")
    assert result.exit_code == 2 and "only the class 'wug'" in result.stderr
    result = savs("compare", path, "--model", "no/such/model", "--methods", "sav,hecc")
    assert result.exit_code == 2 and "'hecc'; did you mean 'hec'" in result.stderr
    result = savs(*options(path, "-o", path))
    assert result.exit_code == 2 and "exists" in result.stderr
