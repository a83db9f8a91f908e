"""LoRA as a row: it answers what the shots taught, and says what it lacks."""

from dataclasses import replace

import pytest

from savs.backbones.tuning import NEEDS_PEFT, Tuning
from savs.baselines.lora import LoRA, TransferredLoRA
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


def test_what_another_task_taught_is_all_it_knows(backbone):
    """The other task answers in the same words the other way round: right there is wrong here, whatever the shots."""
    pytest.importorskip("peft")
    model = backbone("llama")
    turned = Task(name="u", template="{q}", answers={"blue": "Yes", "red": "No"})
    tuning = Tuning(rank=8, epochs=20, learning_rate=2e-2)

    def right(task, shots):
        method = TransferredLoRA(model, SHOTS, task, "choice", tuning)
        answers = method.predict(replace(PROBLEM, shots=shots))
        return sum(p.label == e.label for p, e in zip(answers, TEST, strict=True))

    assert (right(TASK, ()), right(turned, SHOTS)) == (len(TEST), 0)


def test_what_it_lacks(backbone, monkeypatch, picture):
    assert LoRA(object()).obstacle(PROBLEM).startswith("it trains a transformers model")
    model = backbone("llama")
    assert LoRA(model).obstacle(PROBLEM) is None
    assert LoRA(model).obstacle(replace(PROBLEM, shots=())) == "it needs shots to train on"
    assert TransferredLoRA(model, ()).obstacle(PROBLEM) == "it needs shots to train on"
    assert TransferredLoRA(model, SHOTS).obstacle(replace(PROBLEM, shots=())) is None
    seen = replace(PROBLEM, shots=(Example("a", "x", (picture(0),), label="red"),))
    assert "takes text only" in LoRA(model).obstacle(seen)
    monkeypatch.setattr("savs.baselines.lora.peft_is_installed", lambda: False)
    assert LoRA(model).obstacle(PROBLEM) == NEEDS_PEFT
