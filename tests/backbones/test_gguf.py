"""A GGUF file is opened like a folder, and gives the heads that its weights give anywhere else."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from savs.backbones import gguf
from savs.backbones.huggingface import load_backbone
from savs.backbones.loading import model_digest
from savs.cli.entry import app
from savs.data.example import Example
from savs.errors import BackboneError
from savs.model import SAVModel
from tiny_gguf import write_gguf

EXAMPLES = [
    Example(str(i), f"{'good' if i % 2 else 'bad'} {'and so on ' * i}", label="good" if i % 2 else "bad")
    for i in range(8)
]


@pytest.fixture(scope="module")
def file(model_folder, tmp_path_factory):
    """The tiny Llama in one file; not to be written to."""
    return write_gguf(model_folder("llama"), tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def opened(file):
    return load_backbone(file, dtype="float32", device="cpu")


def test_the_heads_are_those_of_the_same_weights_in_a_folder(opened, backbone):
    folder = backbone("llama")
    assert opened.layout == folder.layout
    assert opened.spec.chat_template == folder.spec.chat_template != ""
    np.testing.assert_allclose(
        opened.head_activations(EXAMPLES), folder.head_activations(EXAMPLES), rtol=1e-4, atol=1e-5
    )


def test_weights_in_another_order_would_show(file, backbone, tmp_path, monkeypatch):
    """Queries and keys lie interleaved in the file; left as they are, the heads are others."""
    monkeypatch.setattr("tiny_gguf._interleaved", lambda weight, n_heads: weight)
    wrong = write_gguf(backbone("llama").spec.location, tmp_path / "wrong.gguf")
    z = load_backbone(wrong, dtype="float32", device="cpu").head_activations(EXAMPLES)
    expected = backbone("llama").head_activations(EXAMPLES)
    assert np.abs(z - expected).max() > 0.01 * np.abs(expected).max()


def test_it_is_named_by_its_file_and_known_by_its_contents(opened, file, tmp_path):
    assert opened.spec.model == "tiny.gguf"
    assert opened.spec.location == str(file)
    renamed = shutil.copy(file, tmp_path / "renamed.gguf")
    assert model_digest(renamed) == model_digest(file) == opened.spec.revision
    content = bytearray(renamed.read_bytes())
    content[-1] ^= 1
    renamed.write_bytes(content)
    assert model_digest(renamed) != opened.spec.revision


def test_other_files_of_its_folder_change_nothing(file, opened, tmp_path):
    alone = shutil.copy(file, tmp_path / "tiny.gguf")
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "no question at all"}')
    (tmp_path / "chat_template.jinja").write_text("no question at all")
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    again = load_backbone(alone, dtype="float32", device="cpu")
    assert again.spec == opened.spec
    np.testing.assert_array_equal(again.head_activations(EXAMPLES), opened.head_activations(EXAMPLES))


def test_a_classifier_finds_its_file_again(opened, tmp_path):
    fitted = SAVModel.fit(opened, EXAMPLES)
    fitted.save_pretrained(tmp_path / "clf")
    loaded = SAVModel.from_pretrained(tmp_path / "clf")
    assert [p.label for p in loaded.predict(EXAMPLES)] == [p.label for p in fitted.predict(EXAMPLES)]


def test_it_takes_text_alone(opened, picture):
    with pytest.raises(BackboneError, match="tiny.gguf takes text only"):
        opened.head_activations([Example("a", "what is it?", (picture(0),))])


def test_the_folder_of_a_file_says_how_to_open_it(file):
    with pytest.raises(BackboneError, match=r"without config.json.*to open tiny.gguf, give the path of that file"):
        load_backbone(file.parent)


def test_what_is_not_gguf_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(BackboneError, match=r"is not a GGUF file: it begins with b'PK\\x03\\x04', expected b'GGUF'"):
        load_backbone(path)
    with pytest.raises(BackboneError, match="there is no model folder missing.gguf"):
        load_backbone("missing.gguf")


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_file_that_was_cut_off_is_named(share, file, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(BackboneError, match=r"cannot (open|load the weights of) .*cut\.gguf"):
        load_backbone(path, dtype="float32", device="cpu")


def test_the_command_line_fits_and_predicts_with_one(file, tmp_path, capfd):
    rows = "".join(json.dumps({"question": e.text, "label": e.label}) + "\n" for e in EXAMPLES)
    data = tmp_path / "data.jsonl"
    data.write_text(rows)
    fitted = CliRunner().invoke(app, ["fit", str(data), "--model", str(file), "-o", str(tmp_path / "clf")])
    assert fitted.exit_code == 0, fitted.stderr
    answered = CliRunner().invoke(app, ["predict", str(tmp_path / "clf"), str(data)])
    assert [json.loads(line)["label"] for line in answered.stdout.splitlines()] == [e.label for e in EXAMPLES]
    assert "it/s" not in capfd.readouterr().err  # transformers draws no bar of its own


def test_an_architecture_that_transformers_does_not_read_is_named(model_folder, tmp_path):
    path = write_gguf(model_folder("llama"), tmp_path / "clip.gguf", architecture="clip")
    with pytest.raises(BackboneError, match="cannot open .*architecture clip is not supported"):
        load_backbone(path)


@pytest.mark.parametrize("missing", [{"gguf"}, {"gguf", "accelerate"}])
def test_missing_packages_are_named_with_the_command(missing, file, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(gguf, "find_spec", lambda name: None if name in missing else real(name))
    with pytest.raises(BackboneError, match=r'tiny.gguf needs gguf.*not installed; pip install "savs\[gguf\]"'):
        load_backbone(file)
