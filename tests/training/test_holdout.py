"""Training draws, asks and reads nothing that is held out."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import letters  # noqa: E402
import questions  # noqa: E402
import wordings  # noqa: E402
from fetch import Pictogram, easy_vqa, kin, training_pictograms  # noqa: E402
from images import easy_object, training_scene  # noqa: E402
from savs.demo.holdout import EVALUATION_PACKAGES, INVENTED_NAMES, is_held_out_combination  # noqa: E402
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


def test_training_reads_no_evaluation_package():
    texts = {path.name: path.read_text() for path in TRAINING.glob("*.py")}
    assert not [name for name in EVALUATION_PACKAGES if any(name in text for text in texts.values())]
    assert [name for name, text in texts.items() if 'easy_vqa("test")' in text] == ["gates.py"]


def test_of_all_that_is_written_only_letters_are_drawn():
    assert letters.LETTERS.isalpha() and len(set(letters.LETTERS)) == 52
    told = {tuple(letters.describe(letter).values()) for letter in letters.LETTERS}
    assert len(told) == 52 and ("letters", "capital letters", "capital q") in told
    one, again, other = (letters.draw(letter, np.random.default_rng(0), 64) for letter in "qqQ")
    assert (one == again).all() and (one != other).any()


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
    shown = [known for item in easy_vqa("train") if (known := easy_object(item))]
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
