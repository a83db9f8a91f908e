"""LoRA as a row: it answers what the shots taught, and says what it lacks."""

from dataclasses import replace

import pytest

from savs.backbones.tuning import NEEDS_PEFT, Tuning
from savs.baselines.lora import LoRA
from savs.baselines.method import Problem
from savs.data.example import Example
from savs.data.tasks import Task

TASK = Task(name="t", template="{q}", answers={"red": "Yes", "blue": "No"})
SHOTS = tuple(Example(f"s{i}", f"{('even', 'odd')[i % 2]} {i}", label=("red", "blue")[i % 2]) for i in range(8))
TEST = tuple(Example(f"t{i}", f"{('even', 'odd')[i % 2]} {9 - i}", label=("red", "blue")[i % 2]) for i in range(6))
PROBLEM = Problem(("blue", "red"), SHOTS, TEST, TASK)


@pytest.mark.parametrize("form", ["free", "choice"])
def test_it_answers_as_the_shots_taught(form, backbone):
    pytest.importorskip("peft")
    model = backbone("llama")
    untaught = LoRA(model, form, Tuning(epochs=1, learning_rate=0.0)).predict(PROBLEM)
    taught = LoRA(model, form, Tuning(rank=8, epochs=20, learning_rate=2e-2)).predict(PROBLEM)
    assert [p.id for p in taught] == [e.id for e in TEST]
    right = [sum(p.label == e.label for p, e in zip(answers, TEST, strict=True)) for answers in (untaught, taught)]
    assert right[1] == len(TEST) > right[0]


def test_what_it_lacks(backbone, monkeypatch, picture):
    assert LoRA(object()).obstacle(PROBLEM).startswith("it trains a transformers model")
    model = backbone("llama")
    assert LoRA(model).obstacle(PROBLEM) is None
    assert LoRA(model).obstacle(replace(PROBLEM, shots=())) == "it needs shots to train on"
    seen = replace(PROBLEM, shots=(Example("a", "x", (picture(0),), label="red"),))
    assert "takes text only" in LoRA(model).obstacle(seen)
    monkeypatch.setattr("savs.baselines.lora.peft_is_installed", lambda: False)
    assert LoRA(model).obstacle(PROBLEM) == NEEDS_PEFT
