"""`SAVModel`: fitted once, saved in kilobytes, read back to the same answers, refused where it does not belong."""

import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from savs.backbones.huggingface import load_backbone
from savs.classify import PRESETS, SAVClassifier
from savs.data.example import Example
from savs.data.tasks import Task
from savs.errors import DataError, OutputExistsError, SpecMismatchError
from savs.extraction import extract
from savs.features import HeadId
from savs.model import SAVModel

DATA_FILES = Path(__file__).parent / "data_files"
WORDS = {"fruit": ["apple", "pear", "plum", "grape", "fig"], "metal": ["iron", "zinc", "gold", "lead", "tin"]}
TASK = Task(name="words", template="What is {thing}?", labels=("fruit", "metal"), answers={"fruit": "Fruit"})


def examples():
    return [
        Example(f"{label}-{word}", f"What is {word}{'?' * (i + 1)}", label=label, location=f"words.jsonl:{i + 1}")
        for label, words in WORDS.items()
        for i, word in enumerate(words)
    ]


NEW = [Example(f"new {i}", text) for i, text in enumerate(["What is a lemon?", "copper", "x" * 50, "What is pear?"])]


@pytest.fixture
def fitted(backbone):
    return SAVModel.fit(backbone("llama"), examples(), task=TASK, classifier=SAVClassifier(k=5))


def changed_copy(model_folder, tmp_path):
    """The tiny model with one weight changed, under the same name."""
    folder = shutil.copytree(model_folder("llama"), tmp_path / "llama")
    weights = load_file(folder / "model.safetensors")
    weights[sorted(weights)[0]].view(-1)[0] += 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_what_a_fitted_model_says_of_itself(fitted, backbone):
    assert fitted.classes == ("fruit", "metal")
    assert fitted.spec == backbone("llama").spec
    assert repr(fitted) == "SAVModel(words: fruit, metal; 5 heads of llama)"
    assert (len(fitted.selected_heads), len(fitted.head_scores)) == (5, 12)
    assert fitted.summary.shots == {"fruit": 5, "metal": 5}
    assert fitted.summary.n_heads == 12
    scores = {head: score for head, score in zip(fitted.layout.heads, fitted.head_scores, strict=True)}
    kept = [scores[head] for head in fitted.selected_heads]
    assert kept == sorted(scores.values(), reverse=True)[:5]
    assert (fitted.summary.best_head_score, fitted.summary.worst_kept_score) == pytest.approx((kept[0], kept[-1]))


def test_predictions_are_those_of_the_classifier_on_the_features(fitted, backbone):
    features = extract(backbone("llama"), examples())
    whole = SAVClassifier(k=5).fit(features.z, features.labels)
    new = extract(backbone("llama"), NEW)
    predictions = fitted.predict(NEW)
    assert [p.id for p in predictions] == [example.id for example in NEW]
    assert [p.label for p in predictions] == whole.predict(new.z).tolist()
    assert [list(p.votes.values()) for p in predictions] == whole.head_votes(new.z).tolist()
    shares = [list(p.probabilities.values()) for p in predictions]
    np.testing.assert_allclose(shares, whole.predict_proba(new.z))
    assert list(predictions[0].votes) == list(fitted.selected_heads)
    assert list(predictions[0].probabilities) == ["fruit", "metal"]
    assert fitted.predict_features(new) == predictions
    assert fitted.predict([]) == []


def test_images_too(backbone, pictures):
    seen = [Example(str(i), "What is shown?", (picture,), label="ab"[i % 2]) for i, picture in enumerate(pictures(8))]
    model = SAVModel.fit(backbone("qwen2_vl"), seen, classifier=SAVClassifier(k=3))
    assert model.predict(seen, batch_size=1) == model.predict(seen, batch_size=8)


@pytest.mark.parametrize("preset", PRESETS)
def test_saved_and_read_back_it_answers_the_same(preset, backbone, tmp_path):
    model = SAVModel.fit(backbone("llama"), examples(), task=TASK, classifier=SAVClassifier.from_preset(preset, k=4))
    folder = model.save_pretrained(tmp_path / "clf")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(sizes) == {"config.json", "heads.safetensors", "README.md", "shots.json"}
    assert sum(sizes.values()) < 15_000
    again = SAVModel.from_pretrained(folder, backbone=backbone("llama"))
    assert again.predict(NEW) == model.predict(NEW)  # to the last bit
    for attribute in ("spec", "task", "layout", "selected_heads", "summary", "shot_keys", "classes"):
        assert getattr(again, attribute) == getattr(model, attribute), attribute
    np.testing.assert_array_equal(again.head_scores, model.head_scores)
    assert again.classifier.get_params() == model.classifier.get_params()
    assert again.save_pretrained(tmp_path / "twice")
    for name in sizes:
        assert (tmp_path / "twice" / name).read_bytes() == (folder / name).read_bytes()


def test_it_loads_the_backbone_it_was_fitted_on(fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    assert SAVModel.from_pretrained(str(folder)).predict(NEW) == fitted.predict(NEW)


def test_the_backbone_may_lie_elsewhere(fitted, tmp_path, model_folder):
    model = SAVModel.from_pretrained(fitted.save_pretrained(tmp_path / "clf"))
    moved = shutil.copytree(model_folder("llama"), tmp_path / "elsewhere" / "llama")
    model.load_backbone(str(moved))
    assert model.predict(NEW) == fitted.predict(NEW)


def test_numbers_of_numpy_are_saved_as_numbers(backbone, tmp_path):
    """As they come out of a grid search."""
    chosen = SAVClassifier(k=np.int64(3), temperature=np.float64(0.5))
    model = SAVModel.fit(backbone("llama"), examples(), classifier=chosen)
    again = SAVModel.from_pretrained(model.save_pretrained(tmp_path / "clf"), backbone=backbone("llama"))
    assert again.classifier.get_params() == model.classifier.get_params()
    assert type(again.classifier.k) is int


def test_another_backbone_is_refused_and_the_difference_named(fitted, tmp_path, model_folder):
    folder = fitted.save_pretrained(tmp_path / "clf")
    others = {
        "revision": load_backbone(changed_copy(model_folder, tmp_path), dtype="float32", device="cpu"),
        "dtype": load_backbone(model_folder("llama"), dtype="bfloat16", device="cpu"),
        "video_frames": load_backbone(model_folder("llama"), dtype="float32", device="cpu", video_frames=4),
        "attention": load_backbone(model_folder("llama"), dtype="float32", device="cpu", attention="eager"),
    }
    for field, other in others.items():
        here, there = getattr(fitted.spec, field), getattr(other.spec, field)
        message = re.escape(f"differs in {field}: {here!r} here, {there!r} there (here: the classifier)")
        with pytest.raises(SpecMismatchError, match=message):
            SAVModel.from_pretrained(folder, backbone=other)
        with pytest.raises(SpecMismatchError, match="made by another backbone"):
            fitted.predict_features(extract(other, NEW))
        with pytest.raises(SpecMismatchError, match="made by another backbone"):
            SAVModel.fit_features(extract(other, examples()), backbone=fitted.backbone)


def test_a_backbone_that_changed_in_its_place_is_refused(backbone, tmp_path, model_folder):
    place = shutil.copytree(model_folder("llama"), tmp_path / "place" / "llama")
    model = SAVModel.fit(load_backbone(place, dtype="float32", device="cpu"), examples())
    folder = model.save_pretrained(tmp_path / "clf")
    shutil.copy(changed_copy(model_folder, tmp_path) / "model.safetensors", place)
    with pytest.raises(SpecMismatchError, match="differs in revision"):
        SAVModel.from_pretrained(folder).predict(NEW)


def test_nothing_is_written_over(fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    (folder / "config.json").write_text("mine")
    with pytest.raises(OutputExistsError, match="clf exists and holds a classifier"):
        fitted.save_pretrained(folder)
    assert (folder / "config.json").read_text() == "mine"
    fitted.save_pretrained(folder, overwrite=True)
    assert SAVModel.from_pretrained(folder).classes == ("fruit", "metal")

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    for name in ("other", "other/thesis.txt"):
        with pytest.raises(OutputExistsError, match="not a classifier; choose another name"):
            fitted.save_pretrained(tmp_path / name, overwrite=True)
    assert (tmp_path / "other" / "thesis.txt").read_text() == "mine"


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_other_formats_are_refused(fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    edit(folder, format=2, of_a_later_version=True)
    with pytest.raises(DataError, match=r"config\.json: has format 2; .* reads format 1. Upgrade savs"):
        SAVModel.from_pretrained(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(DataError, match="has format None"):
        SAVModel.from_pretrained(folder)


KEYS = ("backbone", "task", "classes", "classifier", "selected_heads", "layers", "head_dim", "summary")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["absent", None, 7, "text", ["L9"]], ids=str)
def test_a_damaged_configuration_is_named(key, value, fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    config = json.loads((folder / "config.json").read_text())
    if value == "absent":
        del config[key]
    else:
        config[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"config\.json"):
        SAVModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "heads.safetensors", "shots.json"])
def test_a_file_that_is_cut_short_is_named(name, fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    (folder / name).write_bytes((folder / name).read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"{name}: is damaged .*fit the classifier again"):
        SAVModel.from_pretrained(folder)


def test_every_flipped_byte_of_the_heads_is_found(fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    path = folder / "heads.safetensors"
    whole = path.read_bytes()
    for position in np.random.default_rng(0).choice(len(whole), size=40, replace=False):
        path.write_bytes(bytes(byte ^ (i == position) for i, byte in enumerate(whole)))
        with pytest.raises(DataError, match=r"heads\.safetensors: is damaged"):
            SAVModel.from_pretrained(folder)
    path.write_bytes(whole)
    assert SAVModel.from_pretrained(folder).classes == fitted.classes


def test_a_rule_that_there_is_not_is_refused(fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    edit(folder, classifier={**fitted.classifier.get_params(), "combination": "lottery"})
    with pytest.raises(DataError, match=r"config\.json: is damaged \(combination='lottery'; choose one of majority"):
        SAVModel.from_pretrained(folder)


@pytest.mark.parametrize("heads", [["L0H0"], ["L0H0"] * 5, ["L0H0", "L0H1", "L0H2", "L0H3", "L9H0"]])
def test_heads_that_do_not_fit_the_rest_are_refused(heads, fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    edit(folder, selected_heads=heads)
    with pytest.raises(DataError, match=r"config\.json: is damaged .*selected_heads"):
        SAVModel.from_pretrained(folder)


def test_what_is_no_classifier_is_named(fitted, tmp_path):
    with pytest.raises(DataError, match="there is no classifier .*missing"):
        SAVModel.from_pretrained(tmp_path / "missing")
    with pytest.raises(DataError, match="holds no classifier; expected config.json and heads.safetensors"):
        SAVModel.from_pretrained(tmp_path)
    folder = fitted.save_pretrained(tmp_path / "clf")
    (folder / "heads.safetensors").unlink()
    with pytest.raises(DataError, match="holds no classifier"):
        SAVModel.from_pretrained(folder)


def test_shots_that_cannot_be_fitted_on_are_named(backbone):
    model, shots = backbone("llama"), examples()
    unlabelled = [*shots[:6], dataclasses.replace(shots[6], label=None)]
    with pytest.raises(DataError, match=r"^words.jsonl:2: has no label") as caught:
        SAVModel.fit(model, unlabelled)
    assert caught.value.location == "words.jsonl:2"
    with pytest.raises(DataError, match="all 5 examples have the label 'fruit'; expected at least two classes"):
        SAVModel.fit(model, shots[:5])
    with pytest.raises(DataError, match="class 'metal' has one example"):
        SAVModel.fit(model, shots[:6], classifier=SAVClassifier(scored_on="leave_one_out"))
    with pytest.raises(DataError, match="no examples"):
        SAVModel.fit(model, [])
    assert SAVModel.fit(model, shots[:6]).summary.accuracy is None


def test_unlabelled_features_are_named(fitted, backbone):
    features = extract(backbone("llama"), examples())
    with pytest.raises(DataError, match=r"^fruit-apple: has no label"):
        SAVModel.fit_features(dataclasses.replace(features, labels=(None,) * 10), backbone=backbone("llama"))


def test_labels_are_checked_before_anything_runs():
    class NeverRuns:
        def __getattr__(self, name):
            raise AssertionError(f"asked for {name}")

    with pytest.raises(DataError, match="has no label"):
        SAVModel.fit(NeverRuns(), [Example("a", "x")])


def test_the_card_says_what_it_is(fitted, tmp_path):
    card = (fitted.save_pretrained(tmp_path / "classifier") / "README.md").read_text(encoding="utf-8")
    for part in ("library_name: savs", "What is {thing}?", "fruit 5, metal 5", "5 of 12", "`llama`", "from_pretrained"):
        assert part in card
    assert all(f"`{head}`" in card for head in fitted.selected_heads)
    assert "base_model" not in card  # not on the Hub


def test_pushed_to_the_hub_without_this_machines_paths(fitted, monkeypatch, tmp_path):
    calls = {}

    class Api:
        def __init__(self, token=None):
            calls["token"] = token

        def create_repo(self, repo_id, **options):
            calls["created"] = (repo_id, options)

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, tmp_path / "uploaded")
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert fitted.push_to_hub("me/words", private=True, token="t") == "https://hub/me/words"
    assert calls == {"token": "t", "created": ("me/words", {"private": True, "exist_ok": True})}
    text = "".join(path.read_text(errors="ignore") for path in (tmp_path / "uploaded").iterdir())
    assert str(Path(fitted.spec.location).parent) not in text
    assert fitted.spec.location  # what is in memory keeps it
    assert SAVModel.from_pretrained(tmp_path / "uploaded", backbone=fitted.backbone).predict(NEW) == fitted.predict(NEW)


def test_fetched_from_the_hub(fitted, monkeypatch, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "clf")
    asked = []

    def snapshot_download(repo_id, *, revision, allow_patterns):
        asked.append((repo_id, revision, sorted(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    model = SAVModel.from_pretrained("me/words", revision="v2", backbone=fitted.backbone)
    assert model.predict(NEW) == fitted.predict(NEW)
    assert asked == [("me/words", "v2", ["README.md", "config.json", "heads.safetensors", "shots.json"])]


def test_what_the_hub_does_not_have_is_named(monkeypatch):
    def missing(*_args, **_options):
        raise LocalEntryNotFoundError("cannot reach it, and nothing is in the cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", missing)
    with pytest.raises(DataError, match="no folder me/words and no such classifier can be reached on the Hub"):
        SAVModel.from_pretrained("me/words")


def test_a_name_that_the_hub_cannot_have_is_named():
    with pytest.raises(DataError, match="no folder my clf/v1"):
        SAVModel.from_pretrained("my clf/v1")


@pytest.mark.parametrize("preset", ["sav", "calm", "knn"])
def test_classifiers_of_format_1_still_open_and_answer_as_they_did(preset, monkeypatch):
    monkeypatch.syspath_prepend(DATA_FILES)
    make = __import__("make_classifiers")
    folder = DATA_FILES / f"format_1_{preset}"
    model = SAVModel.from_pretrained(folder)
    assert model.classes == ("cat", "dog", "fish")
    assert model.spec == make.SPEC
    assert model.layout == make.LAYOUT
    assert len(model.shot_keys) == 18
    assert all(isinstance(head, HeadId) for head in model.selected_heads)
    expected = json.loads((DATA_FILES / f"format_1_{preset}.answers.json").read_text())
    answers = [prediction.to_json() for prediction in model.predict_features(make.features(2, per_class=2))]
    for answer, before in zip(answers, expected, strict=True):
        assert (answer["id"], answer["label"], answer["votes"]) == (before["id"], before["label"], before["votes"])
        assert answer["probabilities"] == pytest.approx(before["probabilities"], abs=1e-9)
    assert len({answer["label"] for answer in answers}) > 1
    del sys.modules["make_classifiers"]
