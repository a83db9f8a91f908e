"""Shots known again by their digests: what is found, and what is not kept."""

import json
from dataclasses import asdict, replace

import pytest
from PIL import Image

from savs.data.example import Example, Media
from savs.data.sampling import check_leaks
from savs.data.shot_keys import leaks_from_keys, shot_key


@pytest.fixture
def shots(draw):
    return [Example(f"s{i}", f"Question {i}?", (Media(draw(f"s{i}.png", seed=i)),), "a") for i in range(3)]


def found(shots, test):
    return [(leak.kind, leak.train.id, leak.test.id) for leak in leaks_from_keys(list(map(shot_key, shots)), test)]


def test_the_same_example_is_found_under_another_name_and_path(shots, draw):
    copy = replace(shots[1], id="new", media=(Media(draw("elsewhere/copy.png", seed=1)),))
    assert found(shots, [copy]) == [("example", "s1", "new")]


def test_the_same_image_asked_otherwise_is_found(shots):
    assert found(shots, [replace(shots[0], id="new", text="Something else?")]) == [("media", "s0", "new")]


def test_the_same_id_and_text_with_the_image_saved_anew_is_found(shots, tmp_path):
    path = tmp_path / "anew.png"
    Image.open(shots[2].media[0].source).resize((9, 9)).save(path)
    assert found(shots, [replace(shots[2], media=(Media(path),))]) == [("id", "s2", "s2")]


def test_other_examples_are_no_leak(shots, draw):
    other = Example("s0", "Another?", (Media(draw("t.png", seed=9)),))
    same_text = Example("t1", "Question 1?", (Media(draw("u.png", seed=10)),))
    assert found(shots, [other, same_text]) == []


def test_texts_alone_are_compared_too():
    assert found([Example("a", "hello")], [Example("b", "hello"), Example("c", "hallo")]) == [("example", "a", "b")]


def test_the_digests_find_what_the_examples_themselves_find(shots, draw):
    test = [shots[0], replace(shots[1], id="x", text="?"), Example("y", "z", (Media(draw("v.png", seed=11)),))]
    directly = [(leak.kind, leak.train.id, leak.test.id) for leak in check_leaks(shots, test)]
    assert found(shots, test) == directly != []


def test_a_key_holds_neither_text_nor_path(shots):
    kept = json.dumps(asdict(shot_key(shots[0])))
    assert "Question" not in kept and "png" not in kept
