"""`savs extract`, `--store` and `inspect` of a store, run in process on a tiny model."""

import csv
import json
import shutil

import pytest
from typer.testing import CliRunner

from savs.cli.entry import app
from savs.store import ActivationStore

WORDS = {"fruit": "apple pear plum grape fig lime".split(), "metal": "iron zinc gold lead tin nickel".split()}


def savs(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments):
    result = savs(*arguments)
    assert result.exit_code == 0, f"{result.stderr}\n{result.exception!r}"
    return result


def refused(*arguments):
    result = savs(*arguments)
    assert result.exit_code == 2, result.stdout
    return result.stderr.splitlines()[-1]


@pytest.fixture
def data(tmp_path):
    rows = [
        {"id": word, "question": f"What is {word}?", "label": label} for label, some in WORDS.items() for word in some
    ]

    def write(name, chosen):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in chosen), encoding="utf-8")
        return path

    write("train.jsonl", rows[0:4] + rows[6:10])
    write("test.jsonl", rows[4:6] + rows[10:12])
    return write("all.jsonl", rows)


@pytest.fixture
def passes(monkeypatch):
    """The examples that were run, in order."""
    from savs.backbones.huggingface import HuggingFaceBackbone

    ran = []
    original = HuggingFaceBackbone.head_activations

    def counted(self, examples, **options):
        ran.extend(example.id for example in examples)
        return original(self, examples, **options)

    monkeypatch.setattr(HuggingFaceBackbone, "head_activations", counted)
    return ran


@pytest.fixture
def store(data, model_folder, tmp_path):
    done("extract", data, "--model", model_folder("llama"), "-o", tmp_path / "store")
    return tmp_path / "store"


def test_extract_once_then_no_pass_for_anything(store, data, passes, tmp_path, model_folder):
    train, test = data.with_name("train.jsonl"), data.with_name("test.jsonl")
    again = done("extract", data, "-m", model_folder("llama"), "-o", store)
    assert "12 of 12 examples are in" in again.stderr and "loading" not in again.stderr
    for preset in ("sav", "hec", "knn"):
        fitted = done("fit", train, "--store", store, "-o", tmp_path / preset, "--preset", preset, "--k", 3)
        assert "loading" not in fitted.stderr
    from_store = done("predict", tmp_path / "sav", test, "--store", store)
    shown = done("evaluate", tmp_path / "sav", test, "--store", store, "--json")
    assert "loading" not in from_store.stderr + shown.stderr
    assert json.loads(shown.stdout)["report"]["n"] == 4
    assert passes == []
    done("fit", train, "-m", model_folder("llama"), "-o", tmp_path / "direct", "--k", 3)
    assert sorted(passes) == sorted(word for some in WORDS.values() for word in some[:4])
    heads = [
        json.loads(done("inspect", tmp_path / name, "--json").stdout)["selected_heads"] for name in ("sav", "direct")
    ]
    assert heads[0] == heads[1]
    assert done("predict", tmp_path / "direct", test).stdout == from_store.stdout


def test_what_is_missing_is_run_and_kept(store, data, passes, tmp_path, model_folder):
    done("fit", data, "--store", store, "-o", tmp_path / "clf")
    new = data.with_name("new.jsonl")
    new.write_text(json.dumps({"id": "silver", "question": "What is silver?"}) + "\n")
    first = done("predict", tmp_path / "clf", new, "--store", store)
    second = done("predict", tmp_path / "clf", new, "--store", store)
    assert passes == ["silver"] and first.stdout == second.stdout
    assert "loading" in first.stderr and "loading" not in second.stderr
    done("predict", tmp_path / "clf", new, "--store", tmp_path / "another")  # which is made
    assert len(ActivationStore.open(tmp_path / "another")) == 1


def test_extract_goes_on_where_it_was_stopped(data, passes, tmp_path, model_folder):
    part = data.with_name("part.jsonl")
    part.write_text("".join(data.read_text().splitlines(keepends=True)[:8]))
    command = ["-m", model_folder("llama"), "-o", tmp_path / "store", "--commit-every", 4, "--json"]
    assert json.loads(done("extract", part, *command).stdout)["ran"] == 8
    result = json.loads(done("extract", data, *command).stdout)
    assert (result["ran"], result["examples"], result["shards"], result["heads"]) == (4, 12, 3, 12)
    assert len(passes) == len(set(passes)) == 12
    assert json.loads(done("extract", data, *command).stdout)["ran"] == 0


def test_extract_says_what_it_made(store, data, tmp_path, model_folder):
    half = tmp_path / "half"
    command = ["extract", data, "-m", model_folder("llama"), "-o", half, "--store-dtype"]
    shown = done(*command, "float16").stdout
    for text in ("12 examples in 1 shards", "llama at", "12, 3 layers x 4, 8 wide, in float16", "savs fit"):
        assert text in shown
    sizes = [sum(path.stat().st_size for path in ActivationStore.open(folder).shards) for folder in (store, half)]
    assert sizes[0] - sizes[1] == 12 * 12 * 8 * 2  # two bytes less for each number
    assert "holds float16, and float32 was asked for" in refused(*command, "float32")


def test_zero_shot_asks_the_model_even_where_all_features_are_stored(store, data, tmp_path):
    done("fit", data.with_name("train.jsonl"), "--store", store, "-o", tmp_path / "clf")
    result = done("evaluate", tmp_path / "clf", data.with_name("test.jsonl"), "--store", store, "--zero-shot", "--json")
    assert len(json.loads(result.stdout)["compared"]) == 2 and "loading" in result.stderr


def test_another_model_is_refused(store, data, tmp_path, model_folder):
    command = ["fit", data, "--store", store, "-o", tmp_path / "clf"]
    assert "holds features of llama, and --model names" in refused(*command, "-m", model_folder("qwen2"))
    made = ActivationStore.open(store).spec.dtype  # the machine's own: bfloat16 where its processor computes in it
    message = refused(*command, "--dtype", "float16")
    assert f"with dtype {made!r}, and 'float16' was asked for; leave --dtype out" in message
    message = refused(*command, "--video-frames", 4)
    assert "with --video-frames 8, and 4 was asked for; leave --video-frames out" in message
    assert "with revision" in refused(*command, "--revision", "0123456789abcdef")
    changed = shutil.copytree(model_folder("llama"), tmp_path / "elsewhere" / "llama")
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    more = data.with_name("more.jsonl")
    more.write_text(data.read_text() + json.dumps({"question": "What is clay?", "label": "metal"}) + "\n")
    assert "differs in revision" in refused("fit", more, "--store", store, "-o", tmp_path / "clf", "-m", changed)
    assert not (tmp_path / "clf").exists()
    done("fit", data, "-m", model_folder("qwen2"), "-o", tmp_path / "other")
    assert "differs in revision" in refused("predict", tmp_path / "other", data, "--store", store)


def test_the_same_command_goes_on_where_a_branch_is_named(data, tmp_path, model_folder, passes):
    command = ["extract", data, "-m", model_folder("llama"), "--revision", "main", "-o", tmp_path / "store"]
    done(*command)
    again = done(*command)
    assert len(passes) == 12
    assert "if the model is needed, it must be what 'main' names" in again.stderr
    revision = ActivationStore.open(tmp_path / "store").spec.revision
    done("fit", data, "--store", tmp_path / "store", "--revision", revision[:12], "-o", tmp_path / "clf")
    assert len(passes) == 12


def test_no_model_and_no_store_is_told(data, tmp_path):
    assert "no model is named; give --model" in refused("fit", data, "-o", tmp_path / "clf")
    assert "no model is named" in refused("fit", data, "-o", tmp_path / "clf", "--store", tmp_path / "missing")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    message = refused("extract", data, "-m", "demo", "-o", tmp_path / "thesis")
    assert "holds other files, not a store" in message


def test_inspect_a_store(store, tmp_path):
    shown = done("inspect", store, "--verify", "--parquet", tmp_path / "out.parquet").stdout
    for text in ("12 examples", "llama at", "every byte is what was written"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 80 or str(tmp_path) in shown
    assert "exists; choose another name" in refused("inspect", store, "--parquet", tmp_path / "out.parquet")
    described = json.loads(done("inspect", store, "--json").stdout)
    assert (described["examples"], described["dtype"], described["verified"]) == (12, "float32", False)
    [shard] = ActivationStore.open(store).shards
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    result = savs("inspect", store, "--verify")
    assert result.exit_code == 2 and "1 of 1 shards are damaged" in result.stderr
    assert f"{shard.name}: is damaged" in result.stderr and "delete it" in result.stderr


def test_predictions_as_a_table_are_the_lines(store, data, tmp_path):
    import pyarrow.parquet as pq

    done("fit", data, "--store", store, "-o", tmp_path / "clf", "--k", 3)
    lines = [json.loads(line) for line in done("predict", tmp_path / "clf", data, "--store", store).stdout.splitlines()]
    done("predict", tmp_path / "clf", data, "--store", store, "-o", tmp_path / "answers.parquet")
    rows = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    for row in rows:
        assert row.pop("classifier") is None
        row |= {name: dict(row[name]) for name in ("probabilities", "votes")}
    assert rows == lines and len(rows) == 12
    assert [path.name for path in tmp_path.glob("answers*")] == ["answers.parquet"]
    assert "exists" in refused("predict", tmp_path / "clf", data, "-o", tmp_path / "answers.parquet")
    for classifiers, named in (([tmp_path / "clf"], []), ([tmp_path / "clf"] * 2, ["classifier"])):
        done("predict", *classifiers, data, "--store", store, "-o", tmp_path / "answers.csv", "--overwrite")
        with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == [*named, "id", "label", "probabilities", "votes"]
        shown = [{name: row[name] for name in ("id", "label")} for row in rows[:: len(classifiers)]]
        maps = [
            {name: json.loads(row[name]) for name in ("probabilities", "votes")} for row in rows[:: len(classifiers)]
        ]
        assert [one | more for one, more in zip(shown, maps, strict=True)] == lines


def test_workers_that_read_no_store_are_not_given_one(store, data, tmp_path):
    done("fit", data, "--store", store, "-o", tmp_path / "clf")
    message = refused("predict", tmp_path / "clf", data, "--store", store, "--engine", "ray")
    assert "read no store; leave --store out, or --engine" in message


def test_verify_is_for_stores(store, data, tmp_path):
    done("fit", data, "--store", store, "-o", tmp_path / "clf")
    assert "holds no store; --verify and --parquet are for" in refused("inspect", tmp_path / "clf", "--verify")


def test_bad_rows_are_recorded_beside_the_store(data, model_folder, tmp_path):
    data.write_text(data.read_text() + '{"id": "bad"}\n')
    assert "loading" not in savs("extract", data, "-m", model_folder("llama"), "-o", tmp_path / "store").stderr
    result = done("extract", data, "-m", model_folder("llama"), "-o", tmp_path / "store", "--skip-bad", "--json")
    assert json.loads(result.stdout)["skipped"] == 1
    [bad] = (tmp_path / "store.bad.jsonl").read_text().splitlines()
    assert json.loads(bad)["id"] == "bad"
