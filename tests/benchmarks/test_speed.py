"""The yardstick of the speed benchmark computes the method, its comparisons notice what differs, its page tells all."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.speed import asked_again, gpu, growth, models, page, plain, rows
from benchmarks.speed.__main__ import main
from benchmarks.speed.timing import NotTheSame, Spread, Timer, ratios
from naive import fit_and_predict
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.data.example import Example
from savs.store import ActivationStore

SETTING = {"command": "c", "quick": False, "clock": "wall", "cores": 2, "machine": "x", "threads": 2, "repeats": 5}
CPU = {"setting": {**SETTING, "load": 0.1, "versions": {}}, "rows": [], "max_layer": [], "growth": []}


def labelled(picture):
    """Dark pictures asked two ways, labelled by the wording, so that some heads tell them apart."""
    asked = {"a": "Is it day?", "b": "What kind of thing is this, and how many are there?"}
    return [
        Example(f"{label}{i}", asked[label] + "!" * i, (picture(i),), label=label) for i in range(4) for label in "ab"
    ]


def test_the_plain_way_is_the_papers_rule(backbone, picture):
    model = backbone("llava")
    shots = labelled(picture)
    z = [plain.head_outputs(model, shot).tolist() for shot in shots]
    expected = fit_and_predict(z, ["ab".index(shot.label) for shot in shots], z, k=5)
    fitted = plain.fit(model, shots, k=5)
    assert list(fitted.right) == expected["right"]
    assert list(fitted.kept) == expected["selected"]
    assert plain.predict(model, fitted, shots) == ["ab"[label] for label in expected["labels"]]
    np.testing.assert_allclose(z, model.head_activations(shots, batch_size=1), atol=1e-5)


def test_fit_and_predict_stop_where_the_ways_differ(backbone, picture, monkeypatch):
    shots = tuple(labelled(picture))
    work = models.Workload("tiny", backbone("llava"), shots, shots, shots)
    timer = Timer(2, "cpu")
    fit, predict = rows.fit_and_predict(work, timer, {"fit": 1.0, "predict": 1.0})
    assert (fit.slow, list(fit.seconds)) == ("plain way", ["plain way", "savs"])
    assert "of 12 equal" in fit.note
    assert predict.ratio.low <= predict.ratio.median <= predict.ratio.high
    monkeypatch.setattr(plain, "predict", lambda *_: ["a"] * len(shots))
    with pytest.raises(NotTheSame, match="tiny: labels are not the same"):
        rows.fit_and_predict(work, timer, {"fit": 1.0, "predict": 1.0})


def test_in_half_precision_rounding_may_decide_one_label_in_ten(backbone, picture, monkeypatch):
    shots = tuple(labelled(picture))
    model = backbone("llava")
    monkeypatch.setattr(model, "spec", replace(model.spec, dtype="bfloat16"))
    work = models.Workload("tiny", model, shots, shots, shots * 2)
    predict = plain.predict
    wrong = 1

    def off(*given):
        return [*predict(*given)[:-wrong], *["neither"] * wrong]

    monkeypatch.setattr(plain, "predict", off)
    assert "labels: 15 of 16 equal" in rows.fit_and_predict(work, Timer(1, "cpu"))[1].note
    wrong = 2
    with pytest.raises(NotTheSame, match="tiny: labels"):
        rows.fit_and_predict(work, Timer(1, "cpu"))


def test_the_bare_forward_goes_as_far_as_reading_does(backbone, picture):
    model = backbone("llava")
    shots = labelled(picture)
    ran = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in model.model.named_modules()
    ]
    try:
        model.levers, before = (
            replace(model.levers, share_prefixes=False, prefetch=False, side_by_side=False),
            model.levers,
        )
        model.head_activations(shots)
        ran.clear()
        model.head_activations(shots)
        reading = [*ran]
        ran.clear()
        rows.bare(model, rows.made_before(model, shots))()
    finally:
        model.levers = before
        for handle in handles:
            handle.remove()
    assert ran == reading
    assert any("mlp" in name for name in ran)


def test_a_lever_that_changes_features_is_noticed(backbone, picture, monkeypatch):
    shots = tuple(labelled(picture))
    work = models.Workload("tiny", backbone("llava"), shots, shots, shots)
    model = backbone("llava")
    read = type(model).head_activations

    def off(self, examples, **options):
        return read(self, examples, **options) + (1e-3 if options.get("batch_size") == 8 else 0)

    monkeypatch.setattr(type(model), "head_activations", off)
    with pytest.raises(NotTheSame, match="batches of 8"):
        rows.levers(work, Timer(1, "cpu"))


def test_one_pass_and_the_base_model_are_levers_too(backbone, picture, monkeypatch):
    shots = tuple(labelled(picture))
    model = backbone("llava")
    work = models.Workload("tiny", model, shots, shots, shots)
    found = {row.what: list(row.seconds) for row in rows.levers(work, Timer(1, "cpu"))}
    assert found["one pass for class means, scores and kept heads"] == ["three, to all logits", "one, to all logits"]
    assert found["base model alone"] == ["one pass to all logits", "one pass, base model"]
    logits = []
    with monkeypatch.context() as patch:
        forward = model.model.forward
        patch.setattr(model.model, "forward", lambda **inputs: logits.append(forward(**inputs).logits))
        rows.through_logits(model, shots, 3)
        made = rows.made_before(model, shots)
        model.head_activations(shots)
    assert [each.shape[:2] for each in logits] == [inputs["input_ids"].shape for inputs in made] * 3
    read = plain.all_outputs
    monkeypatch.setattr(plain, "all_outputs", lambda *given, **options: [z + 1e-3 for z in read(*given, **options)])
    with pytest.raises(NotTheSame, match="to all logits"):
        rows.levers(work, Timer(1, "cpu"))


def test_images_that_come_again_are_compared_with_themselves(backbone, monkeypatch):
    model = backbone("llava")
    found = asked_again.images_again("tiny", model, 2, 32, Timer(1, "cpu"))
    assert [row.slow for row in found] == ["met for the first time", "nothing kept", "nothing kept"]
    assert model.levers.image_bytes == 0
    assert model._passes.images.size == 0
    read = type(model).head_activations
    monkeypatch.setattr(
        type(model), "head_activations", lambda self, asked: read(self, asked) + 1e-3 * bool(self.levers.image_bytes)
    )
    with pytest.raises(NotTheSame, match="tiny: an image again"):
        asked_again.images_again("tiny", model, 2, 32, Timer(1, "cpu"))


def test_a_question_says_how_much_of_its_prompt_is_shared(backbone):
    model = backbone("llava")
    shared, _ = asked_again.more_questions("tiny", model, 2, 32, Timer(1, "cpu"), 3.0)
    one, *_ = asked = models.questions(models.pictures(1, 32), 4)
    whole = model._inputs([one])["input_ids"][0].tolist()
    others = [model._inputs([example])["input_ids"][0].tolist() for example in asked[1:]]
    common = next(i for i, token in enumerate(whole) if any(row[i] != token for row in others))
    own = np.mean([len(row) - common for row in (whole, *others)])
    assert shared.note == f"{common} tokens are shared, {own:.0f} are a question's own"


def test_ways_take_turns_and_ratios_are_made_repeat_by_repeat():
    ran = []
    timer = Timer(3, "wall", finish=lambda: ran.append("waited"))
    timer.row("whole", "x", "y", {"slow": lambda: ran.append("slow"), "fast": lambda: ran.append("fast")})
    assert ran == ["slow", "waited", "fast", "waited"] * 3
    assert ratios([2.0, 6.0, 4.0], [1.0, 2.0, 4.0]) == Spread(2.0, 1.0, 3.0)


def test_the_gpu_mode_runs_on_a_small_shape_anywhere():
    results = gpu.run(tiny=True, repeats=1)
    for at in results["points"]:
        assert at["tflop_per_example"] > 0
        assert at["share_of_peak"] == pytest.approx(at["tflops"] / results["peak_tflops"], rel=1e-6)
    assert {row["part"] for row in results["rows"]} == set(page._PARTS) - {"images"}
    fits = [row for row in results["rows"] if row["what"] == "fit on 40 examples"]
    assert [list(row["seconds"]) for row in fits] == [["plain way", "savs"]] * 2
    # Heads of a first layer alone would make predicting look faster than any real classifier is.
    predicts = [row["note"] for row in results["rows"] if row["part"] == "whole" and row not in fits]
    assert predicts == ["labels: all equal; deepest kept head in layer 2 of 2"] * 2
    drawn = page.render({"gpu": {"setting": {"command": "x", "quick": True}, **results}})
    assert "Not yet measured" not in drawn
    assert "**A trial on tiny models" in drawn
    assert f"| {results['points'][0]['tokens']} | {results['points'][0]['batch']} |" in drawn
    assert f"| {predicts[0]} |" in drawn


def test_without_a_gpu_nothing_is_measured_in_its_place(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "build", lambda *_, **__: pytest.fail("a model was built"))
    assert main(["--gpu", "--out", str(tmp_path)]) == 1
    assert "error: --gpu measures on a CUDA GPU, and torch finds none here; run it" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_trial_leaves_the_measured_page_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.__main__.ROOT", tmp_path)
    results = {"device": "d", "model": "m", "peak_tflops": 1.0, "points": [], "rows": []}
    monkeypatch.setattr(gpu, "run", lambda **_: results)
    assert main(["--gpu", "--quick"]) == 0
    assert [path.parent for path in tmp_path.rglob("speed.md")] == [tmp_path / "build" / "speed"]
    assert main(["--gpu"]) == 0
    assert (tmp_path / "docs" / "speed.md").is_file()


def test_the_page_says_what_is_not_measured_and_what_is_missed():
    row = {"part": "whole", "model": "m", "what": "fit", "slow": "plain way", "target": 12.0, "note": "n"}
    row |= {"seconds": {"plain way": {"median": 9.0}, "savs": {"median": 1.0}}}
    row |= {"ratio": {"median": 9.0, "low": 8.0, "high": 10.0}}
    cpu = {**CPU, "rows": [row]}
    drawn = page.render({"cpu": cpu})
    assert "| m | fit | plain way | 9 / 1 | **9.00** (8.00 to 10.00) | 12, missed | n |" in drawn
    assert "Not yet measured: no GPU was at hand" in drawn
    row["ratio"]["median"] = 12.5
    assert "12, met" in page.render({"cpu": cpu})


@pytest.mark.slow
def test_each_step_of_growth_is_a_process_of_its_own_that_finds_what_came_before_it(monkeypatch):
    here = lambda *_: pytest.fail("a step ran in this process")  # noqa: E731
    monkeypatch.setattr(growth, "STEPS", dict.fromkeys(("write features", "read 20 heads"), here))
    found = growth.growth([300], "cpu")
    assert [(row["what"], row["n"]) for row in found] == [("write features", 300), ("read 20 heads", 300)]
    assert all(row["ms_per_example"] > 0 for row in found)
    assert all(row["peak_mb"] >= row["start_mb"] for row in found)


def test_every_step_of_growth_does_all_its_examples(tmp_path, monkeypatch):
    asked = []
    read = HuggingFaceBackbone.head_activations
    monkeypatch.setattr(
        HuggingFaceBackbone,
        "head_activations",
        lambda self, examples, **options: asked.append(len(examples)) or read(self, examples, **options),
    )
    ran = {}
    for step, prepare in growth.STEPS.items():
        job = prepare(12, tmp_path)
        asked.clear()
        job(iter(range(100)).__next__)
        ran[step] = sum(asked)
    assert ran == {"fit": 12, "predict": 12, "a further question": 16 + 4, "fill a store": 12} | dict.fromkeys(
        ("fit from a store", "write features", "read 20 heads"), 0
    )
    assert [len(ActivationStore.open(tmp_path / name)) for name in ("filled", "written")] == [12, 12]
    drawn = page.render(
        {"cpu": {**CPU, "growth": [{"what": "fit", "n": 100, "ms_per_example": 2, "start_mb": 3, "peak_mb": 4}]}}
    )
    assert "| fit | 100 | 2.00 | 3 | 4 |" in drawn


@pytest.mark.slow
def test_the_whole_benchmark_runs_on_tiny_models(tmp_path):
    assert main(["--quick", "--repeats", "1", "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "speed.json").read_text())
    assert {row["part"] for row in written["cpu"]["rows"]} == set(page._PARTS)
    assert {row["what"] for row in written["cpu"]["growth"]} == set(growth.STEPS)
    assert (tmp_path / "speed.md").read_text() == page.render(written)
