"""`savs bench` from outside: tables that fit, pages, resumption, data of a folder, errors in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from savs.cli.entry import app
from savs.store import ActivationStore, is_store

SMALL = ["--drawn", "--shots", "2", "--draws", "2", "--max-test", "8"]


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Drawn columns with few examples to draw from, so that reading them takes no time."""
    from savs.demo import tasks

    patch = pytest.MonkeyPatch()
    patch.setattr(tasks, "POOL_PER_CLASS", 4)
    yield
    patch.undo()


def test_a_table_is_printed_in_80_columns_and_pages_are_written(quick, model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    options = [
        *("--model", model_folder("llava"), *SMALL, "--columns", "mhalubench,naturalbench_vqa,cub"),
        *("--methods", "zero-shot-free,sav,siglip-zero-shot", "-o", tmp_path),
    ]
    first = run("table1", *options)
    assert max(map(len, first.stdout.splitlines())) <= 80
    assert "NB-VQA grp" in first.stdout and "CUB" in first.stdout
    assert "--dual-encoder" in first.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"table1.md", "table1.html", "table1.csv", "table1.json", "table1-scores.svg", "cells"}
    assert "reading heads" in first.stderr
    assert "shots a class" not in first.stdout
    whole = run("table1", *options, "--shots", 4)
    assert "CUB: 4 shots a class, all there are, so that draws of as many are all alike" in " ".join(
        whole.stdout.split()
    )
    again = run("table1", *options, "--json")
    assert "reading heads" not in again.stderr, "finished cells are not run again"
    table = json.loads(again.stdout)
    assert table["setting"]["command"].startswith("savs bench table1 --model")
    assert {entry["row"] for entry in table["entries"]} == {"zero-shot-free", "sav", "siglip-zero-shot"}


@pytest.mark.slow
def test_columns_can_be_filled_side_by_side(model_folder, tmp_path):
    options = ["--model", model_folder("llava"), *SMALL, "--columns", "mhalubench,vizwiz", "--methods", "sav"]
    alone = json.loads(run("table1", *options, "-o", tmp_path / "alone", "--json").stdout)
    both = run("table1", *options, "-o", tmp_path / "two", "--json", "--jobs", "2")
    assert "vizwiz: cells filled" in both.stderr
    assert json.loads(both.stdout)["entries"] == alone["entries"]


@pytest.fixture
def pets_at_home(tmp_path):
    """EuroSAT as one folder a class."""
    rng = np.random.default_rng(0)
    labels = ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial")
    for part, count in (("train", 3), ("test", 2)):
        for label in labels:
            folder = tmp_path / "data" / "eurosat" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{part}{i}.png")
    return tmp_path / "data"


def test_real_data_are_measured_beside_the_paper_and_what_is_missing_is_told(pets_at_home, model_folder, tmp_path):
    # A model is known to the paper by its name, and a tiny one may bear it.
    model = tmp_path / "Qwen2-VL-7B-Instruct"
    shutil.copytree(model_folder("llava"), model)
    result = run(
        *("table1", "--model", model, "--data-root", pets_at_home, "--columns", "eurosat,pets", "--methods", "sav"),
        *("--shots", 2, "--draws", 2, "-o", tmp_path / "out", "--store", tmp_path / "features"),
    )
    assert "the data of Oxford-IIIT Pets are not in" in " ".join(result.stdout.split())
    table = json.loads((tmp_path / "out" / "table1.json").read_text())
    [eurosat] = [entry for entry in table["entries"] if entry["column"] == "eurosat"]
    assert eurosat["paper"] == pytest.approx(0.799)
    [column] = [each for each in table["columns"] if each["name"] == "eurosat"]
    assert column["chance"] == {"accuracy": 0.25} and (column["n_pool"], column["n_test"]) == (15, 10)
    page = (tmp_path / "out" / "table1.md").read_text()
    assert f"{100 * (eurosat['interval']['value'] - 0.799):+.1f}" in page
    assert "79.9" in result.stdout


def test_features_outlive_an_interruption_unless_they_are_not_wanted(quick, model_folder, tmp_path):
    options = ["table3", "--model", model_folder("llava"), *SMALL, "--columns", "eurosat", "--methods", "sav"]
    run(*options, "-o", tmp_path / "out")
    [store] = (tmp_path / "out" / "features").iterdir()
    assert is_store(store)
    kept = len(ActivationStore.open(store))
    shutil.rmtree(tmp_path / "out" / "cells")
    again = json.loads(run(*options, "-o", tmp_path / "out", "--json").stdout)
    assert {(each["reading_forwards"], each["reading_stored"]) for each in again["spent"]} == {(0, kept)}
    run(*options, "-o", tmp_path / "bare", "--no-store")
    assert not (tmp_path / "bare" / "features").exists()
    assert "give one of them" in run(*options, "--store", store, "--no-store", code=2).stderr


def test_a_store_is_read_where_it_lies_and_another_model_s_is_refused(quick, model_folder, tmp_path):
    options = ["table3", "--model", model_folder("llava"), *SMALL, "--columns", "eurosat", "--methods", "sav"]
    run(*options, "-o", tmp_path / "first")
    [store] = (tmp_path / "first" / "features").iterdir()
    before = sorted(path.name for path in store.iterdir())
    second = json.loads(run(*options, "-o", tmp_path / "second", "--store", store, "--json").stdout)
    assert {each["reading_forwards"] for each in second["spent"]} == {0}
    assert sorted(path.name for path in store.iterdir()) == before, "no store inside the store"
    other = ["table3", "--model", "demo", *SMALL, "--columns", "eurosat", "--methods", "sav", "-o", tmp_path / "third"]
    assert "holds features of" in run(*other, "--store", store, code=2).stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--columns", "petz"], "table1 has no column 'petz'"),
        (["--methods", "magic"], "table1 has no method 'magic'"),
    ],
)
def test_what_there_is_not_is_refused_before_a_model_is_loaded(options, says, tmp_path):
    result = run("table1", *options, "--model", "no/such-model", "-o", tmp_path, code=2)
    assert says in result.stderr
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert not list(Path(tmp_path).iterdir())
