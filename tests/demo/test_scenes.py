"""Scenes are what their seed says, and nothing held out slips into what training may draw."""

from dataclasses import replace

import numpy as np
import pytest

from savs.demo.holdout import INVENTED_NAMES, is_held_out_combination, is_held_out_pictogram
from savs.demo.scenes import (
    COLOURS,
    OPPOSITE,
    SHAPES,
    Object,
    Scene,
    absent_names,
    add_object,
    caption,
    combinations,
    related_pairs,
    relation,
    render,
    replace_attribute,
    sample_scene,
    swap_attributes,
)


def some_scenes(n=200, **options):
    rng = np.random.default_rng(0)
    return [sample_scene(rng, **options) for _ in range(n)]


def names(scene):
    return {item.name for item in scene.objects}


def test_a_seed_is_a_scene():
    first, again = (sample_scene(np.random.default_rng(3)) for _ in range(2))
    other = sample_scene(np.random.default_rng(4))
    assert first == again
    assert np.array_equal(render(first), render(again))
    assert other != first


def test_training_scenes_hold_nothing_held_out():
    assert not any(item.is_held_out for scene in some_scenes() for item in scene.objects)


def test_held_out_scenes_hold_nothing_else():
    assert all(item.is_held_out for scene in some_scenes(held_out=True) for item in scene.objects)


def test_about_one_combination_in_five_is_held_out():
    assert 10 <= len(combinations(held_out=True)) <= 30
    assert set(combinations(held_out=True)).isdisjoint(combinations(held_out=False))
    assert len(combinations(held_out=None)) == len(SHAPES) * len(COLOURS)


def test_the_hold_out_rule_is_fixed():
    assert is_held_out_combination("triangle", "red")
    assert not is_held_out_combination("star", "red")
    assert is_held_out_pictogram(" GRINNING  face ") == is_held_out_pictogram("grinning face")


@pytest.mark.parametrize("distinct", ["shape", "colour", "both"])
def test_distinct_objects_share_nothing(distinct):
    for scene in some_scenes(50, n_objects=4, distinct=distinct):
        if distinct != "colour":
            assert len({o.shape for o in scene.objects}) == 4
        if distinct != "shape":
            assert len({o.colour for o in scene.objects}) == 4


def test_more_objects_than_colours_is_refused():
    with pytest.raises(ValueError, match="fewer objects"):
        sample_scene(np.random.default_rng(0), n_objects=len(COLOURS) + 1, distinct="colour")


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_is_drawn_where_and_in_the_colour_it_says(shape):
    scene = Scene((Object(shape, "red", "large", "plain", 0.3, 0.7),), "white")
    pixels = np.asarray(render(scene), float)
    rows, columns = np.nonzero(np.abs(pixels - COLOURS["red"]).sum(-1) < 30)
    assert abs((rows.min() + rows.max()) / 128 - 0.7) < 0.09
    assert abs((columns.min() + columns.max()) / 128 - 0.3) < 0.09


def test_no_two_shapes_and_no_two_textures_look_the_same():
    pictures = [
        np.asarray(render(Scene((Object(shape, "blue", "large", texture, 0.5, 0.5),), "white"))).tobytes()
        for shape in SHAPES
        for texture in ("plain", "striped", "dotted")
    ]
    assert len(set(pictures)) == len(pictures)


def test_relations_say_where_things_are():
    left, right = (Object("star", "red", "small", "plain", x, 0.5) for x in (0.2, 0.8))
    assert relation(left, right) == "left of"
    assert relation(right, left) == "right of"
    assert relation(replace(left, x=0.5, y=0.1), replace(right, x=0.5, y=0.9)) == "above"
    assert relation(left, replace(right, x=0.21)) is None
    assert relation(left, replace(right, x=0.6, y=0.9)) is None


def test_a_relation_turned_round_is_its_opposite():
    for scene in some_scenes(50):
        for first, word, second in related_pairs(scene):
            assert relation(second, first) == OPPOSITE[word]


def test_captions_name_every_object():
    for scene in some_scenes(50):
        assert all(item.name in caption(scene) for item in scene.objects)


def test_hard_negatives_are_false():
    rng = np.random.default_rng(1)
    for scene in some_scenes(100, n_objects=3):
        swapped = swap_attributes(scene, rng)
        if swapped:
            assert names(swapped) != names(scene)
            assert sorted(o.colour for o in swapped.objects) == sorted(o.colour for o in scene.objects)
        assert names(replace_attribute(scene, rng, attribute="colour")) != names(scene)
        assert names(scene) < names(add_object(scene, rng))
        assert names(scene).isdisjoint(absent_names(scene))


def test_invented_names_are_words_of_no_scene():
    assert set(INVENTED_NAMES).isdisjoint({*SHAPES, *COLOURS})
