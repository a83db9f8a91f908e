"""How Ray is started or reached, told by what it is asked: no Ray runs here."""

import pytest

from savs.engines import ray_data
from savs.engines.workers import Workers

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
