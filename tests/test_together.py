"""Several classifiers in one forward pass answer as each alone does, and are refused where they cannot share one."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import savs
from savs.backbones.cost import measured
from savs.backbones.huggingface import load_backbone
from savs.classify import SAVClassifier
from savs.cli.entry import app
from savs.data.example import Example
from savs.data.layouts import Layout
from savs.data.tasks import Task
from savs.errors import SpecMismatchError
from savs.model import SAVModel

WORDS = {"apple": "fruit", "pear": "fruit", "plum": "fruit", "iron": "metal", "zinc": "metal", "gold": "metal"}
NEW = [Example(f"n{i}", text) for i, text in enumerate(["What is a lemon?", "copper", "x" * 50, "What is pear?"])]
TASK = Task(name="words", template="What is {thing}?", min_media=0)


def fit(backbone, labels, *, task=TASK, k=5):
    shots = [Example(word, f"What is {word}?", label=label) for word, label in zip(WORDS, labels, strict=True)]
    return SAVModel.fit(backbone, shots, task=task, classifier=SAVClassifier(k=k))


@pytest.fixture
def models(backbone):
    """By kind, by length, by chance: three classifiers with heads of their own."""
    model = backbone("llama")
    return [
        fit(model, WORDS.values()),
        fit(model, [str(len(word)) for word in WORDS], task=replace(TASK, name="length"), k=2),
        fit(model, ["a", "b", "a", "b", "b", "a"], task=replace(TASK, name="chance"), k=7),
    ]


def test_together_they_answer_as_each_alone_in_one_pass(models):
    assert len({model.selected_heads for model in models}) == 3
    backbone = models[0].backbone
    alone = [model.predict(NEW, batch_size=1) for model in models]
    told = []
    with measured(backbone) as cost:
        together = savs.predict_many(models, NEW, batch_size=1, progress=lambda done, total: told.append(done))
    assert together == alone
    assert cost.forwards == len(NEW)
    assert told[-1] == len(NEW)
    assert [model.backbone for model in models] == [backbone] * 3
    assert savs.predict_many(models, []) == [[], [], []]


def test_what_differs_is_said(models, model_folder):
    other = load_backbone(model_folder("llama"), dtype="bfloat16", device="cpu")
    with pytest.raises(SpecMismatchError, match="words and half .* dtype: 'float32' here, 'bfloat16' there"):
        savs.predict_many([models[0], fit(other, WORDS.values(), task=replace(TASK, name="half"))], NEW)
    asks = replace(TASK, name="polite", template="Please: what is {thing}?")
    with pytest.raises(SpecMismatchError, match="words and polite ask differently: template is 'What is {thing}"):
        savs.predict_many([models[0], fit(models[0].backbone, WORDS.values(), task=asks)], NEW)
    reads = replace(TASK, name="renaming", layouts=(Layout(columns={"thing": ("word",)}),))
    with pytest.raises(SpecMismatchError, match="words and renaming read rows differently: the layouts of their tasks"):
        savs.predict_many([models[0], fit(models[0].backbone, WORDS.values(), task=reads)], NEW)
    with pytest.raises(ValueError, match="no classifiers"):
        savs.predict_many([], NEW)


def test_predict_writes_a_line_for_each_and_names_it(models, tmp_path):
    folders = [str(model.save_pretrained(tmp_path / model.task.name)) for model in models[:2]]
    data = tmp_path / "new.jsonl"
    data.write_text("".join(json.dumps({"thing": word}) + "\n" for word in ("kiwi", "lead")))
    result = CliRunner().invoke(app, ["predict", *folders, str(data)])
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["id"], line["classifier"]) for line in lines] == [(f"new:{i}", f) for i in (1, 2) for f in folders]
    for folder in folders:
        alone = CliRunner().invoke(app, ["predict", folder, str(data)])
        assert [json.loads(line) for line in alone.stdout.splitlines()] == [
            {name: value for name, value in line.items() if name != "classifier"}
            for line in lines
            if line["classifier"] == folder
        ]
