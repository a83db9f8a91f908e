"""The demo's tasks: their data are drawn by seed, are what they say, and share nothing with training."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from savs.data.media import content_key, open_image
from savs.data.sampling import check_leaks
from savs.demo import holdout, scenes
from savs.demo.tasks import DEMO_TASKS, EVALUATION_TEMPLATES, POOL_PER_CLASS, SHOWN_TASKS, load_demo_task

TRAINING = Path(__file__).parents[2] / "training"


@pytest.fixture(scope="module")
def drawn():
    return {name: load_demo_task(name) for name in DEMO_TASKS}


@pytest.mark.parametrize("name", DEMO_TASKS)
def test_pool_is_balanced_and_test_holds_every_class(drawn, name):
    task = drawn[name]
    assert Counter(example.label for example in task.pool) == dict.fromkeys(task.classes, POOL_PER_CLASS)
    assert {example.label for example in task.test} == set(task.classes)
    assert len({example.id for example in (*task.pool, *task.test)}) == len(task.pool) + len(task.test)


@pytest.mark.parametrize("name", DEMO_TASKS)
def test_no_example_of_the_pool_stands_in_the_test(drawn, name):
    leaks = [leak for leak in check_leaks(drawn[name].pool, drawn[name].test) if leak.kind != "media"]
    assert leaks == []


def test_same_seed_same_data_other_seed_other_data():
    first, again, other = (load_demo_task("claims", seed=seed) for seed in (3, 3, 4))
    assert [e.text for e in first.test] == [e.text for e in again.test]
    assert content_key(first.test[0].media[0]) == content_key(again.test[0].media[0])
    assert [e.text for e in first.test] != [e.text for e in other.test]


def test_groups_are_two_images_by_two_captions_with_two_matches(drawn):
    groups: dict[str, list] = {}
    for example in drawn["matching"].test:
        groups.setdefault(example.group, []).append(example)
    for members in groups.values():
        assert len({content_key(e.media[0]) for e in members}) == len({e.text for e in members}) == 2
        assert Counter(e.label for e in members) == {"matching": 2, "not matching": 2}


def test_matching_captions_differ_in_order_of_words_only(drawn):
    texts = [e.text for e in drawn["matching"].test[:4]]
    assert len(set(texts)) == 2
    assert len({tuple(sorted(text.replace("an ", "a ").split())) for text in texts}) == 1


def test_choice_asks_about_combinations_that_training_never_drew(drawn):
    held_out = {f"{colour} {shape}" for shape, colour in scenes.combinations(held_out=True)}
    for example in drawn["multiple choice"].test:
        options = dict(line.split(". ", 1) for line in example.text.splitlines() if line[1:3] == ". ")
        assert options[example.label] in held_out
        assert len(set(options.values())) == 4


def test_two_images_of_the_same_shape_never_share_a_colour(drawn):
    task = drawn["two images"]
    assert all(len(example.media) == 2 for example in task.test)
    assert all(content_key(e.media[0]) != content_key(e.media[1]) for e in task.test)


def test_digits_are_dark_ink_on_white(drawn):
    pixels = np.asarray(open_image(drawn["digits"].test[0].media[0]))
    assert pixels.shape == (64, 64, 3)
    assert pixels[0].mean() > 200
    assert pixels.min() < 60


def test_invented_names_stand_for_shapes_the_model_has_words_for(drawn):
    task = drawn["invented names"].task
    assert set(task.labels) <= set(holdout.INVENTED_NAMES)
    assert set(task.answers.values()) <= set(scenes.SHAPES)


def test_shown_tasks_are_tasks():
    assert set(SHOWN_TASKS) <= set(DEMO_TASKS)
    assert len(SHOWN_TASKS) >= 4


def test_training_uses_no_prompt_of_an_evaluation():
    sys.path.insert(0, str(TRAINING))
    try:
        import wordings
    finally:
        sys.path.remove(str(TRAINING))
    trained = {plain(template) for template in wordings.all_templates()}
    assert len(trained) > 100
    assert trained.isdisjoint({plain(template) for template in EVALUATION_TEMPLATES})
    # Negative control: the comparison does see a template that only differs in how it is written.
    assert plain(next(iter(wordings.all_templates())).upper() + " ") in trained


def plain(template: str) -> str:
    """A template without what does not make it another one: case, spaces, and the names of its gaps."""
    import re

    return " ".join(re.sub(r"\{\w*\}", "{}", template.lower().replace("<image>", " ")).split())
