"""Ray Data as the engine: two workers, one killed, and the store is to the last bit what one process makes."""

import dataclasses
import functools
import logging
import os
from collections import Counter

import pytest
import torch

import fakes
from savs.data.example import Example, Media
from savs.data.keys import example_keys
from savs.errors import BackboneError, DataError, SpecMismatchError
from savs.extraction import fill
from savs.store import ActivationStore

ray = pytest.importorskip("ray", reason="the engine ray needs Ray: pip install 'savs[ray]'")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One Ray for all tests, with two CPUs; workers know the test modules by their content."""
    import ray
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(fakes)
    os.environ["RAY_worker_niceness"] = "0"  # on a machine with much else to do, nice workers never come up
    for attempt in range(3):
        try:
            ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            break
        except Exception as error:  # Ray waits thirty seconds for itself, and raises nothing more particular
            if "timed out during startup" not in str(error) or attempt == 2:
                raise
            ray.shutdown()
    yield
    ray.shutdown()
    cloudpickle.unregister_pickle_by_value(fakes)


@pytest.fixture(autouse=True)
def one_thread():
    """As a worker has: with more, the last digits may be others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def workers(count=2):
    from savs.engines.ray_data import Workers

    return Workers(count)


def shards(store):
    return {path.name: path.read_bytes() for path in store.shards}


def new_store(folder, backbone):
    return ActivationStore.create(folder, spec=backbone.spec, layout=backbone.layout)


def test_a_killed_worker_loses_nothing_and_doubles_nothing(tmp_path):
    """It is killed with a piece begun and another one committed."""
    from savs.engines import ray_data

    begun = tmp_path / "begun"
    begun.mkdir()
    examples = fakes.examples(48)
    alone, pooled = (new_store(tmp_path / name, fakes.FakeBackbone()) for name in ("alone", "pooled"))
    fill(alone, fakes.FakeBackbone(), examples, commit_every=4)
    told = []
    ran = ray_data.fill(
        pooled,
        functools.partial(fakes.Mortal, str(begun)),
        examples,
        workers=workers(),
        commit_every=4,
        progress=lambda *done: told.append(done),
    )
    assert ran == 48 and told[-1] == (48, 48)
    victim = (begun / "killed").read_text()
    by_process = Counter(path.name.partition("-")[0] for path in begun.glob("*-*"))
    assert by_process[victim] == 2 and len(by_process) > 1  # others went on
    assert by_process.total() == 12 + 1  # each piece was begun once, the one at which it died twice
    assert shards(pooled) == shards(alone)
    assert not list(pooled.folder.rglob("*.tmp"))


def test_a_worker_that_always_dies_ends_the_work_with_an_error(tmp_path, monkeypatch):
    """On one piece, which is tried anew, and before it is ready; what was committed stays."""
    from savs.engines import ray_data

    monkeypatch.setattr(ray_data, "_TRIES", 2)
    store = new_store(tmp_path / "store", fakes.FakeBackbone())
    load = functools.partial(fakes.Doomed, "text 5")
    with pytest.raises(BackboneError, match="workers died on the examples from 'e4' to 'e5', again and again"):
        ray_data.fill(store, load, fakes.examples(8), workers=workers(1), commit_every=2)
    kept = ActivationStore.open(store.folder)
    assert set(kept.missing(example_keys(fakes.examples(6)))) == set(example_keys(fakes.examples(2, first=4)))
    with pytest.raises(BackboneError, match="workers died on loading the model, again and again"):
        ray_data.describe(functools.partial(fakes.Doomed, ""), workers(1))


def test_a_real_model_gives_the_bits_of_a_single_process(tmp_path, model_folder, pictures):
    from savs.backbones.huggingface import load_backbone
    from savs.engines import ray_data

    for i, picture in enumerate(pictures(12)):
        picture.source.save(tmp_path / f"{i}.png")
    examples = [Example(str(i), f"What is it{'?' * (i % 4)}", (Media(tmp_path / f"{i}.png"),)) for i in range(12)]
    load = functools.partial(load_backbone, model_folder("llava"), dtype="float32", device="cpu")
    spec, layout = ray_data.describe(load, workers())
    backbone = load()
    assert (spec, layout) == (backbone.spec, backbone.layout)
    alone, pooled = (new_store(tmp_path / name, backbone) for name in ("alone", "pooled"))
    fill(alone, backbone, examples, batch_size=2, commit_every=3)
    assert ray_data.fill(pooled, load, examples, workers=workers(), batch_size=2, commit_every=3) == 12
    assert shards(pooled) == shards(alone)
    assert ray_data.fill(pooled, load, examples, workers=workers()) == 0  # nothing is left, and nothing is started


def test_what_a_worker_finds_wrong_is_told_as_if_it_had_been_found_here(tmp_path):
    from savs.engines import ray_data

    backbone = fakes.FakeBackbone()
    store = new_store(tmp_path / "store", backbone)
    other = dataclasses.replace(fakes.SPEC, revision="r2")
    with pytest.raises(SpecMismatchError, match="differs in revision"):
        ray_data.fill(store, functools.partial(fakes.FakeBackbone, spec=other), fakes.examples(4), workers=workers(1))

    def broken():
        raise BackboneError("the model is nowhere")

    with pytest.raises(BackboneError, match="the model is nowhere"):
        ray_data.describe(broken, workers(1))
    assert len(store) == 0
    with pytest.raises(DataError, match="there is no file"):
        ray_data.fill(
            store, fakes.FakeBackbone, [Example("a", "x", (Media(tmp_path / "gone.png"),))], workers=workers()
        )
    with pytest.raises(BackboneError, match="0 workers were asked for"):
        ray_data.fill(store, fakes.FakeBackbone, fakes.examples(4), workers=workers(0))


def test_predictions_come_in_order_and_equal_those_of_one_process(tmp_path, model_folder, backbone):
    from savs.classify import SAVClassifier
    from savs.engines import ray_data
    from savs.model import SAVModel

    examples = [Example(f"e{i}", f"What is {'ab'[i % 2]} {i}?", label="xy"[i % 2]) for i in range(40)]
    model = SAVModel.fit(backbone("llama"), examples)
    other = SAVModel.fit(backbone("llama"), examples, classifier=SAVClassifier(k=2))
    got = list(ray_data.predict([model, other], examples, workers=workers(), batch_size=2))
    parts = [examples[:16], examples[16:]]
    assert got == [[one.predict(part, batch_size=2) for one in (model, other)] for part in parts]


@pytest.mark.parametrize("form", ["parquet", "class folder", "url"])
def test_images_reach_the_workers_however_they_come(tmp_path, pictures, form, monkeypatch):
    """As bytes in a table, as files that are named from the folder that the planner is in, and by URL."""
    from savs.data import readers
    from savs.engines import ray_data

    files = [tmp_path / "data" / "xy"[i % 2] / f"{i}.png" for i in range(6)]
    for file, picture in zip(files, pictures(6), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.source.save(file)
    monkeypatch.chdir(tmp_path)
    source = "data"
    if form == "parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        pa = pytest.importorskip("pyarrow")
        rows = [{"image": {"bytes": file.read_bytes(), "path": file.name}, "label": file.parent.name} for file in files]
        pq.write_table(pa.Table.from_pylist(rows), source := "data.parquet")
        for file in files:
            file.unlink()
    elif form == "url":
        pytest.importorskip("upath")
        source = (tmp_path / "data").as_uri()
    examples = readers.read_examples(source)
    alone, pooled = (new_store(tmp_path / name, fakes.Seeing()) for name in ("alone", "pooled"))
    fill(alone, fakes.Seeing(), examples, commit_every=2)
    assert ray_data.fill(pooled, fakes.Seeing, examples, workers=workers(), commit_every=2) == 6
    assert shards(pooled) == shards(alone)


def test_the_store_of_a_pool_answers_by_content(tmp_path):
    from savs.engines import ray_data

    store = new_store(tmp_path / "store", fakes.FakeBackbone())
    examples = [*fakes.examples(6), *(dataclasses.replace(e, id=f"again {e.id}") for e in fakes.examples(6))]
    assert ray_data.fill(store, fakes.FakeBackbone, examples, workers=workers(), commit_every=2) == 6
    assert sorted(store.keys) == sorted(set(example_keys(examples)))


def test_the_commands_by_a_pool_give_what_they_give_alone(tmp_path, model_folder):
    import json

    import pyarrow.parquet as pq
    from typer.testing import CliRunner

    from savs.cli.entry import app

    # More than are asked together at first, and of many lengths, so that where they are cut is seen in the batches.
    rows = [{"id": f"e{i}", "question": f"{'ab'[i % 2] * (i % 23)} {i}?", "label": "xy"[i % 2]} for i in range(150)]
    data, new = tmp_path / "data.jsonl", tmp_path / "new.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows[:12]))
    new.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def savs(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, f"{result.stderr}\n{result.exception!r}"

    extract = ["extract", data, "-m", model_folder("llama"), "--dtype", "float32", "--commit-every", 4, "-o"]
    savs(*extract, tmp_path / "alone")
    savs(*extract, tmp_path / "pooled", "--engine", "ray")
    alone, pooled = (ActivationStore.open(tmp_path / name) for name in ("alone", "pooled"))
    assert shards(pooled) == shards(alone)
    savs("fit", data, "--store", pooled.folder, "-o", tmp_path / "clf")
    answers = []
    for name, engine in (("alone", "local"), ("pooled", "ray")):
        savs("predict", tmp_path / "clf", new, "-o", tmp_path / f"{name}.parquet", "--engine", engine)
        answers.append(pq.read_table(tmp_path / f"{name}.parquet").to_pylist())
    assert answers[0] == answers[1] and [row["id"] for row in answers[0]] == [row["id"] for row in rows]
