"""Filler stands between the words of a question and changes nothing of what is asked."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

import filler  # noqa: E402
import questions  # noqa: E402
from images import training_scene  # noqa: E402
from savs.demo.holdout import INVENTED_NAMES, is_held_out_combination  # noqa: E402
from savs.demo.scenes import COLOURS, SHAPES, SIZES, TEXTURES  # noqa: E402
from wordings import NUMBERS  # noqa: E402


def asked():
    rng = np.random.default_rng(0)
    return [q.text for i in range(300) for q in questions.scene_questions(training_scene(i), rng, 10)]


def told(text):
    """The words that carry the question."""
    return [word for word in text.split(" ") if word not in filler.IDLE]


def stands_in(words, text):
    """Whether the words are found in a text, in their order."""
    rest = iter(text.split(" "))
    return all(word in rest for word in words)


def test_whatever_carries_the_question_stays_in_its_order():
    rng = np.random.default_rng(1)
    pairs = [(text, filler.fill(text, rng)) for text in asked()]
    assert all(stands_in(told(before), after) for before, after in pairs)
    assert not all(stands_in(before.split(" "), after) for before, after in pairs)  # the idle words do not all stay
    assert 0.6 < np.mean([before != after for before, after in pairs]) < 0.95


def test_no_idle_word_carries_what_is_asked():
    sides = {"left", "right", "above", "below", "over", "under", "higher", "first", "second", "both"}
    denials = {"no", "not", "nowhere", "without", "wrong", "false", "different", "or"}
    meant = {*SHAPES, *COLOURS, *SIZES, *TEXTURES, *NUMBERS, *sides, *denials}
    assert not set(filler.IDLE) & meant


def test_filler_names_nothing_and_denies_nothing():
    rng = np.random.default_rng(2)
    words = {filler.made_up(rng) for _ in range(20_000)}
    assert not [word for word in words for name in (*SHAPES, *COLOURS, *INVENTED_NAMES) if name in word]
    assert not words & {"no", "not", "one", "left", "or", "and", "same"}
    held_out = [f"{c} {s}" for s in SHAPES for c in COLOURS if is_held_out_combination(s, c)]
    filled = [filler.fill(text, rng) for text in asked()]
    assert not [text for text in filled for name in held_out if name in text]


def test_the_check_would_notice_a_name(monkeypatch):
    monkeypatch.setattr(filler, "_NAMES", ())
    monkeypatch.setattr(filler, "_WORDS", frozenset())
    rng = np.random.default_rng(2)
    words = {filler.made_up(rng) for _ in range(20_000)}
    assert {"red", "star", "no"} <= words
