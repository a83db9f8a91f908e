"""`savs demo` as it is typed, on one task."""

import json

import pytest
import torch
from typer.testing import CliRunner

from savs.cli.entry import app


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """Run the command beside its page, and give what it did."""
    monkeypatch.setattr("savs.demo.tasks.SHOWN_TASKS", ("invented names",))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["demo", "--shots", "2", "--draws", "2", *arguments])


def test_numbers_do_not_hang_on_what_the_machine_is_fastest_in(demo, monkeypatch, tmp_path):
    monkeypatch.setattr("savs.backbones.loading.choose_dtype", lambda device: torch.bfloat16)
    shown = json.loads(demo("--json").stdout)
    assert shown["backbone"]["dtype"] == "float32"
    assert [task["task"] for task in shown["tasks"]] == ["invented names"]
    assert shown["command"] == "savs demo --shots 2 --draws 2 --seed 0"
    assert shown["command"] in (tmp_path / shown["page"]).read_text(encoding="utf-8")


def test_a_page_of_somebody_else_is_kept(demo, tmp_path):
    (tmp_path / "mine.html").write_text("mine")
    refused = demo("--out", "mine.html")
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr
    assert (tmp_path / "mine.html").read_text() == "mine"
