"""What is wrong with the input is told in one line that names the place, before a model is loaded; nothing is lost."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from savs.cli.entry import app


@pytest.fixture
def refused():
    """Run `savs`, which must refuse in one line; returns the line."""

    def run(*arguments: object, loaded: bool = False) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        lines = result.stderr.splitlines()
        assert result.exit_code == 2, (result.stderr, result.exception)
        assert result.stdout == ""
        errors = [line for line in lines if line.startswith("savs: error: ")]
        assert [lines[-1]] == errors
        assert any("savs: loading" in line for line in lines) == loaded
        return errors[0]

    return run


@pytest.fixture
def rows(tmp_path):
    """Four good rows on disk, two of each class."""
    made = []
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        made.append({"image": f"{i}.png", "question": "Which?", "label": "ab"[i % 2]})
    return made


@pytest.fixture
def write(tmp_path):
    def write(rows: list, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, model_folder) -> Path:
    """A classifier of the classes a and b, on texts."""
    folder = tmp_path_factory.mktemp("bad") / "clf"
    path = folder.with_name("train.jsonl")
    texts = [{"question": f"{label} {i}", "label": label} for i in range(4) for label in "ab"]
    path.write_text("".join(json.dumps(row) + "\n" for row in texts))
    result = CliRunner().invoke(app, ["fit", str(path), "-m", str(model_folder("llama")), "-o", str(folder)])
    assert result.exit_code == 0, result.stderr
    return folder


def test_the_good_rows_alone_are_accepted(rows, write, tmp_path, model_folder):
    result = CliRunner().invoke(
        app, ["fit", str(write(rows)), "-m", str(model_folder("llava")), "-o", str(tmp_path / "clf")]
    )
    assert result.exit_code == 0, result.stderr


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def test_missing_and_truncated_images(rows, write, tmp_path, refused):
    path = write(rows)
    fit = ["fit", path, "-m", "unused", "-o", tmp_path / "clf"]
    cut(tmp_path / "2.png")
    assert f"{path}:3: " in refused(*fit)
    (tmp_path / "1.png").unlink()
    line = refused(*fit)
    assert f"{path}:2: there is no file" in line and "1.png" in line and "1 more of 4 rows is bad" in line
    assert not (tmp_path / "clf").exists()


def test_rows_that_cannot_be_read(rows, write, tmp_path, refused):
    fit = ["-m", "unused", "-o", tmp_path / "clf"]
    picture = [{**row, "picture": row["image"]} for row in rows]
    for row in picture:
        del row["image"]
    assert "unknown column 'picture'" in refused("fit", write(picture), *fit)
    assert "rows.jsonl:2: is not valid JSON" in refused("fit", write([rows[0], '{"image":', *rows[1:]]), *fit)
    assert "rows.jsonl: is empty" in refused("fit", write([]), *fit)
    assert "there is no file or folder" in refused("fit", tmp_path / "none.jsonl", *fit)
    assert "rows.jsonl:3: has no label" in refused("fit", write([*rows[:2], {**rows[2], "label": ""}]), *fit)
    assert "did you mean 'general'" in refused("fit", write(rows), *fit, "--task", "generel")


def test_files_of_other_kinds(tmp_path, refused):
    for name, content, said in (
        ("rows.xlsx", b"PK\x03\x04" + bytes(20), "save the sheet as CSV"),
        ("rows.jsonl.gz", b"\x1f\x8b\x08" + bytes(9), "unpack it"),
        ("rows.csv", "image,label\n".encode("utf-16"), "save it as UTF-8"),
        ("rows.json", b'{"data": [{"image": "a.png"}]}', "no task reads these columns: data. Expected image"),
        ("photo.png", b"no photo", "has no label"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        line = refused("fit", path, "-m", "unused", "-o", tmp_path / "clf")
        assert f"{path}: " in line and said in line, line
    (tmp_path / "set/train/ripe").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "set/train/ripe/1.png")
    assert f"did you mean {tmp_path / 'set/train'}?" in refused(
        "fit", tmp_path / "set", "-m", "unused", "-o", tmp_path / "clf"
    )


def test_a_video_that_cannot_be_decoded(rows, write, tmp_path, refused):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 100)
    path = write([*rows, {**rows[0], "image": "clip.mp4"}])
    line = refused("fit", path, "-m", "unused", "-o", tmp_path / "clf")
    assert f"{path}:5: " in line and "clip.mp4" in line


def test_classes_that_are_too_few_or_too_small(rows, write, tmp_path, refused):
    fit = ["-m", "unused", "-o", tmp_path / "clf"]
    one = [{**row, "label": "a"} for row in rows]
    assert "all 4 examples have the label 'a'" in refused("fit", write(one), *fit)
    assert "only the class 'a'" in refused("fit", write(one), *fit, "--shots", 2)
    assert "'b' has 2" in refused("fit", write([*rows, rows[0]]), *fit, "--shots", 3)
    alone = write([{**rows[0], "label": "c"}, *rows])
    assert "class 'c' has one example" in refused("fit", alone, *fit, "--preset", "sav-loo")


def test_a_label_that_training_never_saw(rows, write, tmp_path, classifier, refused):
    test = write([{"question": "b 1", "label": "b"}, {"question": "c 1", "label": "c"}])
    line = refused("evaluate", classifier, test)
    assert f"{test}:2: label 'c' was never seen in training, which had a, b" in line
    train = write(rows, "train.jsonl")
    assert f"{test}:2: label 'c'" in refused("fit", train, "--test", test, "-m", "unused", "-o", tmp_path / "clf")


def test_results_that_exist(write, tmp_path, classifier, refused):
    test = write([{"question": "b 1", "label": "b"}])
    there = tmp_path / "there"
    there.write_text("precious")
    assert f"{there} exists" in refused("predict", classifier, test, "-o", there)
    assert f"{there} exists" in refused("evaluate", classifier, test, "-o", there)
    assert f"{there} exists and is a file" in refused("fit", test, "-m", "unused", "-o", there, "--overwrite")
    assert there.read_text() == "precious"
    assert "holds a classifier" in refused("fit", test, "-m", "unused", "-o", classifier)
    assert "not a classifier" in refused("fit", test, "-m", "unused", "-o", tmp_path, "--overwrite")
    (tmp_path / "out.jsonl.bad.jsonl").write_text("precious")
    assert "bad.jsonl exists" in refused("predict", classifier, test, "-o", tmp_path / "out.jsonl", "--skip-bad")
    assert "no such folder" in refused("predict", classifier, test, "-o", tmp_path / "none" / "out.jsonl").lower()
    assert "is a folder" in refused("predict", classifier, test, "-o", tmp_path)


def test_overwriting_on_purpose(write, tmp_path, classifier):
    test = write([{"question": "b 1", "label": "b"}])
    there = tmp_path / "there.jsonl"
    there.write_text("old")
    result = CliRunner().invoke(app, ["predict", str(classifier), str(test), "-o", str(there), "--overwrite"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(there.read_text())["id"] == "rows:1"


def test_folders_that_hold_no_sound_classifier(write, tmp_path, classifier, model_folder, refused):
    test = write([{"question": "b 1", "label": "b"}])
    assert "there is no classifier" in refused("predict", tmp_path / "none", test)
    assert "holds no classifier" in refused("inspect", model_folder("llama"))
    broken = shutil.copytree(classifier, tmp_path / "broken")
    whole = json.loads((broken / "config.json").read_text())

    def config_says(line: str, config: object) -> None:
        (broken / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        assert line in refused("inspect", broken)

    config_says("config.json: is damaged", '{"format": 1, "backb')
    config_says("config.json: has format None", [])
    config_says("config.json: has format 99", {**whole, "format": 99})
    config_says("config.json: is damaged (lacks 'task')", {k: v for k, v in whole.items() if k != "task"})
    config_says("config.json: is damaged", {**whole, "selected_heads": ["first"]})
    config_says("config.json: is damaged", {**whole, "classifier": {"k": 5, "depth": 3}})
    (broken / "config.json").write_text(json.dumps(whole))
    cut(broken / "heads.safetensors")
    assert "heads.safetensors: is damaged" in refused("evaluate", broken, test)


def test_models_that_are_refused(rows, write, tmp_path, model_folder, refused):
    path, output = write(rows), tmp_path / "clf"

    def says(model: object) -> str:
        return refused("fit", path, "-m", model, "-o", output, loaded=True)

    pickled = shutil.copytree(model_folder("llava"), tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "pytorch_model.bin, a pickle file" in says(pickled)

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    config = {"model_type": "foreign", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (foreign / "config.json").write_text(json.dumps(config))
    (foreign / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert "its own Python code, which is never run" in says(foreign)
    assert not (tmp_path / "ran").exists()

    assert "without config.json" in says(tmp_path)
    assert "no model folder" in says(tmp_path / "none")
    assert "takes text only" in says(model_folder("llama"))
    assert not output.exists()


def test_a_model_without_attention_heads(rows, write, tmp_path, refused):
    import transformers

    from tiny_models import _save, _tokenizer

    config = transformers.MambaConfig(hidden_size=16, num_hidden_layers=2, state_size=4, vocab_size=400)
    folder = _save(transformers.MambaForCausalLM(config), _tokenizer(), tmp_path / "mamba")
    line = refused("fit", write(rows), "-m", folder, "-o", tmp_path / "clf", loaded=True)
    assert "found no attention heads in MambaForCausalLM" in line
    assert "Name the projections with --attention-modules, a regular expression" in line  # an argument of the library


def test_skip_bad_records_the_bad_rows_beside_the_output(rows, write, tmp_path, model_folder):
    path = write([*rows, "{", {**rows[0], "image": "gone.png", "id": "mine"}])
    fit = ["fit", path, "-m", model_folder("llava"), "-o", tmp_path / "clf", "--skip-bad"]
    result = CliRunner().invoke(app, list(map(str, fit)))
    assert result.exit_code == 0, result.stderr
    assert "4, 2 a class" in result.stdout
    record = tmp_path / "clf.bad.jsonl"
    assert f"skipped 2 bad rows: see {record}" in result.stderr
    first, second = map(json.loads, record.read_text().splitlines())
    assert first["location"] == f"{path}:5" and "not valid JSON" in first["reason"]
    assert second["id"] == "mine" and "gone.png" in second["reason"]

    to_stdout = CliRunner().invoke(app, ["predict", str(tmp_path / "clf"), str(path), "--skip-bad"])
    assert [json.loads(line)["id"] for line in to_stdout.stdout.splitlines()] == [f"rows:{i}" for i in range(1, 5)]
    assert f"skipped {path}:5: is not valid JSON" in to_stdout.stderr

    good = ["fit", write(rows), "-m", model_folder("llava"), "-o", tmp_path / "clf", "--skip-bad", "--overwrite"]
    assert CliRunner().invoke(app, list(map(str, good))).exit_code == 0
    assert not record.exists(), "the record of an earlier run must not be taken for this one's"


def test_debug_shows_where_an_error_comes_from(tmp_path):
    from savs.errors import DataError

    result = CliRunner().invoke(app, ["--debug", "inspect", str(tmp_path)])
    assert isinstance(result.exception, DataError)
