"""Training draws, asks and reads nothing that is held out."""

import ast
import io
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import fetch  # noqa: E402
import gates  # noqa: E402
import images  # noqa: E402
import letters  # noqa: E402
import questions  # noqa: E402
import wordings  # noqa: E402
from fetch import EasyImage, Pictogram, easy_vqa, easy_vqa_test, kin, training_pictograms  # noqa: E402
from images import easy_object, training_scene  # noqa: E402
from savs.demo.holdout import (  # noqa: E402
    EVALUATION_PACKAGES,
    EVALUATION_SPLITS,
    INVENTED_NAMES,
    is_held_out_combination,
)
from savs.demo.scenes import COLOURS, SHAPES, sample_scene  # noqa: E402

HELD_OUT = {f"{c} {s}" for s in SHAPES for c in COLOURS if is_held_out_combination(s, c)}


def test_no_training_scene_holds_a_held_out_combination():
    scenes = [training_scene(i) for i in range(1000)]
    assert not any(item.is_held_out for scene in scenes for item in scene.objects)
    assert len({scene for scene in scenes}) == len(scenes)


def test_no_training_question_names_a_held_out_combination_or_an_invented_name():
    rng = np.random.default_rng(0)
    asked = [q for i in range(300) for q in questions.scene_questions(training_scene(i), rng, 10)]
    said = [f"{q.text} {q.answer}" for q in asked]
    assert len(said) == 3000
    assert not [text for text in said for name in HELD_OUT if name in text]
    assert not [text for text in said if set(INVENTED_NAMES) & set(text.replace(".", " ").split())]


def test_the_check_would_notice_a_held_out_combination():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, held_out=True) for _ in range(40)]
    said = [q.text for scene in scenes for q in questions.scene_questions(scene, rng, 5)]
    assert any(name in text for text in said for name in HELD_OUT)


def in_untrained_frames(asked):
    frames = [re.escape(frame).replace(r"\{t\}", ".+") for frame in wordings.UNTRAINED_FRAMES]
    return [q.text for q in asked if any(re.search(frame, q.text) for frame in frames)]


def test_only_the_gates_ask_in_the_frames_that_are_left_to_them():
    rng = np.random.default_rng(0)
    scenes = [training_scene(i) for i in range(300)]
    assert not in_untrained_frames(q for scene in scenes for q in questions.scene_questions(scene, rng, 10))
    by_gate = [gates.exists_in_unseen_wordings(scene, rng) for scene in scenes]
    assert len(in_untrained_frames(by_gate)) == 300
    named = [any(item.name in q.text for item in scene.objects) for scene, q in zip(scenes, by_gate, strict=True)]
    assert [q.answer for q in by_gate] == ["yes" if here else "no" for here in named]


SOURCES = {path.name: path.read_text(encoding="utf-8") for path in TRAINING.glob("*.py")}
# Of the package, what draws, what is held out, what opens a model and votes; the demo's tasks hold evaluation data.
OWN = (
    *("savs.demo.scenes.", "savs.demo.holdout.", "savs.backbones.", "savs.classify.", "savs.data.example."),
    "savs.processes.",
)


def modules(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"{alias.name}." for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}." for alias in node.names)


def words(source):
    """Every name and every string of a file, those of imports too."""
    for node in ast.walk(ast.parse(source)):
        for field in ("id", "attr", "name", "module", "value"):
            if isinstance(word := getattr(node, field, None), str):
                yield word


def evaluation_data(source):
    """What a file imports or names of the packages that hold evaluation data."""
    ours = [name for name in modules(source) if name.startswith(("savs.", "benchmarks.")) and not name.startswith(OWN)]
    theirs = {name.replace("_", "-") for pair in EVALUATION_PACKAGES.items() for name in pair}
    said = [word for word in words(source) if any(name in word.lower().replace("_", "-") for name in theirs)]
    return [*ours, *said]


def test_training_reads_no_evaluation_package():
    assert not {name: found for name, source in SOURCES.items() if (found := evaluation_data(source))}


@pytest.mark.parametrize(
    "source",
    [
        "from sklearn.datasets import load_digits",
        "from sklearn import datasets",
        "import conformal_clip_data",
        "importlib.import_module('sklearn.datasets')",
        "command = ('npm', 'pack', 'openmoji@15.1.0')",
        "command = ('pip', 'download', 'conformal_clip-data')",
        "from savs.demo.tasks import load_demo_task",
        "from savs.demo import tasks",
        "from benchmarks.embedded import tasks",
    ],
)
def test_the_check_would_notice_evaluation_data(source):
    assert evaluation_data(source)


def test_only_the_gates_ask_for_the_test_half_of_easy_vqa(tmp_path, monkeypatch):
    said = {name: set(words(source)) for name, source in SOURCES.items()}
    assert {name for name in said if "easy_vqa_test" in said[name]} == {"fetch.py", "gates.py"}
    assert [name for name in said if said[name] & {"EVALUATION_SPLITS", "_easy_half"}] == ["fetch.py"]
    assert [name for name in said if any("easy_vqa/" in word for word in said[name])] == ["fetch.py"]
    with zipfile.ZipFile(tmp_path / "easy.whl", "w") as archive:
        for folder in ("easy_vqa/data/train", *EVALUATION_SPLITS.values()):
            archive.writestr(f"{folder}/questions.json", json.dumps([["whose?", folder, 0]]))
            archive.writestr(f"{folder}/images/0.png", drawing("red").png)
    monkeypatch.setattr(fetch, "fetch", lambda name: tmp_path / "easy.whl")
    assert [item.questions for item in easy_vqa()] == [(("whose?", "easy_vqa/data/train"),)]
    assert [item.questions for item in easy_vqa_test()] == [(("whose?", EVALUATION_SPLITS["easy-vqa"]),)]


class OneProcess:
    """In place of a pool: a patched function is not there in another process."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def imap(self, draw, jobs, chunksize):
        return map(draw, jobs)


def easy_image(shape, colour):
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste("black", (20, 20, 44, 44))
    return EasyImage(picture, (("what shape is it?", shape), ("what colour is it?", colour)))


def test_the_drawn_data_hold_nothing_that_is_held_out(monkeypatch):
    allowed = drawing("red", name="taco")
    out = drawing("blue", name="woman surfing", code="1F3C4-200D-2640-FE0F", group="out", held_out=True)
    relative = drawing("green", name="surfer", code="1F3C4", group="out")
    monkeypatch.setattr(images, "Pool", OneProcess)
    monkeypatch.setattr(images, "pictograms", lambda hand: [allowed, out] if hand == "google" else [relative, allowed])
    monkeypatch.setattr(images, "easy_vqa", lambda: [easy_image("triangle", "red"), easy_image("circle", "red")])
    drawn, data = images.draw_data(n_scenes=3, copies=2, n_letters=2)
    kinds = [record["kind"] for record in data.records]
    assert len(drawn) == len(kinds) and kinds.count("scene") == 3
    named = {kind: [data.records[i]["name"] for i in data.numbers(kind)] for kind in ("pictogram", "letter")}
    assert named["pictogram"] == ["taco"] * 4
    assert named["letter"] == [letters.describe(letter)["name"] for letter in letters.LETTERS[:2]]
    assert data.vocabularies["group"] == ["g", "letters"] and "surfer" not in data.vocabularies["name"]
    assert [record["object"].name for record in data.records if record["kind"] == "easy"] == ["red circle"]


def test_of_all_that_is_written_only_letters_are_drawn():
    assert letters.LETTERS.isalpha() and len(set(letters.LETTERS)) == 52
    told = {tuple(letters.describe(letter).values()) for letter in letters.LETTERS}
    assert len(told) == 52 and ("letters", "capital letters", "capital q") in told
    one, again, other = (letters.draw(letter, np.random.default_rng(0), 64) for letter in "qqQ")
    assert (one == again).all() and (one != other).any()


def test_letters_are_drawn_in_the_fonts_of_the_card_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(letters, "font_files", letters.font_files.__wrapped__)  # what an earlier test found is kept
    letters.draw("q", np.random.default_rng(0), 64)
    shutil.copytree(Path(letters.matplotlib.get_data_path(), "fonts", "ttf"), tmp_path / "fonts" / "ttf")
    with (tmp_path / "fonts" / "ttf" / f"{letters.FONTS[-1]}.ttf").open("ab") as font:
        font.write(b"another")
    monkeypatch.setattr(letters.matplotlib, "get_data_path", lambda: tmp_path)
    with pytest.raises(RuntimeError, match=r"the 11 fonts in .* have SHA-256 .*: install matplotlib==3"):
        letters.draw("q", np.random.default_rng(0), 64)


def drawing(colour: str, **kept) -> Pictogram:
    stream = io.BytesIO()
    Image.new("RGBA", (64, 64), colour).save(stream, "PNG")
    fields = {"code": "1F600", "name": "grinning face", "group": "g", "subgroup": "s", "held_out": False}
    return Pictogram(png=stream.getvalue(), **fields | kept)


def test_kin_of_a_held_out_pictogram_and_drawings_like_it_stay_out():
    kept = [drawing("red"), drawing("blue", code="1F3C3", name="runner")]
    found = [
        *kept,
        drawing("green", code="1F3C4-200D-2640-FE0F", name="woman surfing", held_out=True),
        drawing("white", code="1F3C4", name="surfer"),
        drawing("green", code="1F600", name="drawn like the woman surfing"),
        drawing("yellow", code="1F49B", name="yellow heart"),
    ]
    assert "yellow heart" in HELD_OUT
    assert training_pictograms(found) == kept


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1F468-200D-1F393", "1F469-200D-1F393"),  # students
        ("1F9CE-200D-2640-FE0F-200D-27A1-FE0F", "1F9CE"),  # kneeling
        ("1F468-200D-1F466", "1F46A"),  # families
    ],
)
def test_who_is_shown_makes_no_other_concept(one, other):
    assert kin(one) == kin(other)


@pytest.mark.parametrize(("one", "other"), [("1F468", "1F469"), ("2764-FE0F", "1F469-200D-2764-FE0F-200D-1F468"),
                                            ("2640-FE0F", "2642-FE0F")])  # fmt: skip
def test_other_concepts_stay_apart(one, other):
    assert kin(one) != kin(other)


@pytest.mark.skipif(not (TRAINING / "cache").exists(), reason="the downloads of training are not here")
def test_easy_vqa_shows_held_out_combinations_that_its_objects_tell():
    shown = [known for item in easy_vqa() if (known := easy_object(item))]
    held_out = {item.name for item in shown if item.is_held_out}
    assert "red triangle" in held_out
    assert "red circle" in {item.name for item in shown} - held_out


def test_every_kind_is_asked_in_a_dozen_wordings():
    for table in (wordings.WORDINGS, wordings.STATEMENTS):
        for kind, ways in table.items():
            assert len(set(ways)) >= 12, kind
    assert len(set(wordings.FRAMES)) >= 24


def test_answers_are_true():
    rng = np.random.default_rng(1)
    for i in range(200):
        scene = training_scene(i)
        colours, shapes = [o.colour for o in scene.objects], [o.shape for o in scene.objects]
        if shape := questions.ask_shape(scene, rng):
            assert shape.answer in shapes
            assert any(o.shape == shape.answer and o.colour in shape.text for o in scene.objects)
        if colour := questions.ask_colour(scene, rng):
            assert colour.answer in colours
        caption = questions.ask_caption(scene, rng).answer
        assert all(o.shape in caption and o.colour in caption for o in scene.objects)


def test_true_and_false_are_equally_frequent():
    rng = np.random.default_rng(2)
    for asker in (questions.ask_exists, questions.ask_match, questions.ask_attribute, questions.ask_relation):
        scenes = [training_scene(i) for i in range(900)]
        asked = [asker(scene, rng) for scene in scenes for _ in range(6)]
        answers = [q.answer for q in asked if q and q.answer in ("true", "false")]
        assert 0.35 < answers.count("true") / len(answers) < 0.65


def test_every_wording_is_listed():
    listed = set(wordings.all_templates())
    assert {way for ways in wordings.WORDINGS.values() for way in ways} <= listed
    assert {frame for frame, _, _ in wordings.FRAMES} <= listed
