"""The drawn columns are of the kind that they stand for, balanced, true, and in words that training never used."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from savs.bench.columns import COLUMNS, column
from savs.bench.data import drawn
from savs.bench.miniature import EVALUATION_TEMPLATES, draw_column
from savs.data.media import content_key
from savs.data.sampling import check_leaks
from savs.demo.scenes import SHAPES
from savs.demo.tasks import POOL_PER_CLASS
from savs.errors import DataError
from savs.grouping import group_rows, two_by_two

TRAINING = Path(__file__).parents[2] / "training"
NAMES = [each.name for each in COLUMNS if not each.only_if_named]


@pytest.fixture(scope="module")
def data():
    return {name: drawn(column(name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_column_has_shots_for_each_class_and_nothing_of_them_in_the_test(data, name):
    of = data[name]
    for part in of.parts:
        found = of.of_part(part)
        assert Counter(e.label for e in found.pool) == dict.fromkeys(found.classes, POOL_PER_CLASS)
        assert {e.label for e in found.test} == set(found.classes)
    assert len({e.id for e in (*of.pool, *of.test)}) == len(of.pool) + len(of.test)
    assert len(of.test) == 240
    assert not [leak for leak in check_leaks(of.pool, of.test) if leak.kind != "media"]
    assert of.task.metric == of.column.metric


def test_the_seed_decides_everything():
    first, again, other = (drawn(column("vlguard"), seed=seed) for seed in (3, 3, 4))
    assert first.digest() == again.digest() != other.digest()


def test_a_picture_or_a_request_breaks_the_law_and_nothing_else_does(data):
    for example in data["vlguard"].test:
        forbidden = example.text.split("no ")[1].split(" ")[0]
        added = next(
            shape for shape in SHAPES if f"Put a {shape} " in example.text or f"Put an {shape} " in example.text
        )
        assert forbidden in SHAPES
        if example.label == "unharmful":
            assert added != forbidden
    by_request = [e for e in data["vlguard"].test if e.text.count(e.text.split("no ")[1].split(" ")[0]) == 2]
    assert {e.label for e in by_request} == {"harmful"}
    assert 0.3 < len(by_request) / sum(e.label == "harmful" for e in data["vlguard"].test) < 0.7


@pytest.mark.parametrize("name", ["naturalbench_vqa", "naturalbench_retrieval"])
def test_groups_cannot_be_won_by_the_question_or_the_image_alone(data, name):
    test = data[name].test
    positive = data[name].classes[0]
    for group, rows in group_rows(test).items():
        said = np.array([test[row].label == positive for row in rows])
        table = two_by_two(group, [test[row] for row in rows], said)
        assert (table.sum(axis=0) == 1).all() and (table.sum(axis=1) == 1).all()


def test_hard_negatives_come_in_the_three_kinds_of_sugarcrepe(data):
    assert {e.split for e in data["sugarcrepe"].test} == {"add", "replace", "swap"}


def test_comparison_has_three_subtasks_of_two_pictures(data):
    assert data["blink"].parts == ("colour", "number", "shape")
    assert {len(e.media) for e in data["blink"].test} == {2}
    assert len({len(data["blink"].of_part(part).test) for part in data["blink"].parts}) == 1


@pytest.mark.parametrize("name", ["eurosat", "pets", "flowers", "cub"])
def test_four_options_hold_the_right_one_and_stand_in_the_prompt(data, name):
    places = Counter()
    for example in data[name].test:
        assert len(set(example.choices)) == 4 and example.label in example.choices
        assert f"A. {example.choices[0]} B. {example.choices[1]}" in example.text
        places[example.choices.index(example.label)] += 1
    assert min(places.values()) > 30, "no place is favoured"


def test_a_column_without_a_miniature_says_so():
    with pytest.raises(DataError, match="camerabench has no miniature: .* measure it with its data"):
        drawn(column("camerabench"))


def test_sixteen_ways():
    assert len(draw_column("imagenet").classes) == 16


def test_pictures_differ():
    keys = {content_key(e.media[0]) for e in draw_column("pets").test}
    assert len(keys) == 240


def test_training_uses_none_of_these_prompts():
    sys.path.insert(0, str(TRAINING))
    try:
        import wordings
    finally:
        sys.path.remove(str(TRAINING))
    trained = {plain(template) for template in wordings.all_templates()}
    assert len(trained) > 100
    assert trained.isdisjoint({plain(template) for template in EVALUATION_TEMPLATES})
    assert plain(next(iter(wordings.all_templates())).upper()) in trained, "negative control"


def plain(template):
    import re

    return " ".join(re.sub(r"\{\w*\}", "{}", template.lower().replace("<image>", " ")).split())


def test_drawn_answerability_has_a_word_for_each_class(data):
    """Unlike VizWiz, whose prompt offers one word for one class: its answers are matched as those of any task."""
    task = data["vizwiz"].task
    assert task.open_label is None
    assert task.template.endswith("yes or no?") and set(task.answers.values()) == {"yes", "no"}
