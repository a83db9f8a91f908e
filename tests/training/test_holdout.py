"""Training draws, asks and reads nothing that is held out."""

import sys
from pathlib import Path

import numpy as np
import pytest

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import questions  # noqa: E402
import wordings  # noqa: E402
from savs.demo.holdout import EVALUATION_PACKAGES, INVENTED_NAMES, is_held_out_combination  # noqa: E402
from savs.demo.scenes import COLOURS, SHAPES, sample_scene  # noqa: E402

tower = pytest.importorskip("tower")
HELD_OUT = {f"{c} {s}" for s in SHAPES for c in COLOURS if is_held_out_combination(s, c)}


def test_no_training_scene_holds_a_held_out_combination():
    scenes = [tower.training_scene(i) for i in range(1000)]
    assert not any(item.is_held_out for scene in scenes for item in scene.objects)
    assert len({scene for scene in scenes}) == len(scenes)


def test_no_training_question_names_a_held_out_combination_or_an_invented_name():
    rng = np.random.default_rng(0)
    asked = [q for i in range(300) for q in questions.scene_questions(tower.training_scene(i), rng, 10)]
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
    text = "".join(path.read_text() for path in TRAINING.glob("*.py"))
    assert not [name for name in EVALUATION_PACKAGES if name in text]
    assert 'easy_vqa("test")' not in (TRAINING / "train.py").read_text() + (TRAINING / "tower.py").read_text()


def test_every_kind_is_asked_in_a_dozen_wordings():
    for table in (wordings.WORDINGS, wordings.STATEMENTS):
        for kind, ways in table.items():
            assert len(set(ways)) >= 12, kind
    assert len(set(wordings.FRAMES)) >= 24


def test_answers_are_true():
    rng = np.random.default_rng(1)
    for i in range(200):
        scene = tower.training_scene(i)
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
        scenes = [tower.training_scene(i) for i in range(900)]
        asked = [asker(scene, rng) for scene in scenes for _ in range(6)]
        answers = [q.answer for q in asked if q and q.answer in ("true", "false")]
        assert 0.35 < answers.count("true") / len(answers) < 0.65


def test_every_wording_is_listed():
    listed = set(wordings.all_templates())
    assert {way for ways in wordings.WORDINGS.values() for way in ways} <= listed
    assert {frame for frame, _, _ in wordings.FRAMES} <= listed
