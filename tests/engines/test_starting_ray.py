"""How Ray is started or reached, and what it is sent, told by what it is asked: no Ray runs here."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

import fakes
from savs import together
from savs.cli.extract import _here as _fill_here
from savs.cli.predict import _here
from savs.data import keys
from savs.data.example import Example, Media
from savs.engines import ray_data
from savs.engines.workers import Workers
from savs.store import ActivationStore

ray = pytest.importorskip("ray", reason="the engine ray needs Ray: pip install 'savs[ray]'")


@pytest.fixture
def asked(monkeypatch):
    """What Ray is asked to start with, on a machine without GPUs."""
    asked = {}
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: asked.update(options))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})
    return asked


def test_it_is_started_on_this_machine_and_joins_nothing_that_was_left_there(asked):
    with ray_data._running(Workers(2)):
        assert asked["address"] == "local" and asked["num_cpus"] >= 3


def test_a_cluster_that_is_named_is_joined(asked, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with ray_data._running(Workers(2)):
        assert not {"address", "num_cpus"} & asked.keys()


@pytest.mark.parametrize(("found", "gpus", "warned"), [(2.0, 0.0, True), (2.0, 0.5, False), (0.0, 0.0, False)])
def test_workers_without_gpus_where_there_are_some_are_warned_of(asked, monkeypatch, caplog, found, gpus, warned):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": found})
    with ray_data._running(Workers(2, gpus)):
        assert ("Ray has 2 GPUs and the workers are given none" in caplog.text) == warned


@pytest.mark.parametrize(("batch_size", "lengths"), [(None, [64, 128, 108]), (2, [16, 32, 64, 128, 60])])
def test_a_pool_is_sent_what_one_process_asks_together(monkeypatch, batch_size, lengths):
    examples = fakes.examples(300)
    models = [SimpleNamespace(without_backbone=lambda: None)]
    asked, sent = [], []
    monkeypatch.setattr(together, "predict_many", lambda models, some, *, batch_size: asked.append(some))
    monkeypatch.setattr(ray_data, "check_together", lambda models: None)
    monkeypatch.setattr(ray_data, "_running", nullcontext)
    monkeypatch.setattr(
        ray_data, "_results", lambda make, pieces, workers: iter(sent.extend(piece.examples for piece in pieces) or ())
    )
    list(_here(models, examples, None, batch_size))
    list(ray_data.predict(models, examples, workers=Workers(2), batch_size=batch_size))
    assert sent == asked and [len(some) for some in sent] == lengths


def test_each_file_is_read_once_for_its_key_whoever_runs_it(tmp_path, picture, monkeypatch):
    """In the plan; neither the process that runs the pieces nor a worker reads it for that again."""
    picture(0).source.save(tmp_path / "a.png")
    examples = [Example("a", "x", (Media(tmp_path / "a.png"),))]
    read = []
    monkeypatch.setattr(keys, "content_key", lambda media: read.append(media) or "digest")
    _fill_here(tmp_path / "alone", fakes.FakeBackbone, examples, dtype=None)
    assert len(read) == 1

    monkeypatch.setattr(ray_data, "_running", nullcontext)
    monkeypatch.setattr(ray_data, "_results", lambda make, pieces, workers: map(make(), pieces))
    store = ActivationStore.create(tmp_path / "pooled", spec=fakes.SPEC, layout=fakes.FakeBackbone().layout)
    assert ray_data.fill(store, fakes.FakeBackbone, examples, workers=Workers(2)) == 1
    assert len(read) == 2
