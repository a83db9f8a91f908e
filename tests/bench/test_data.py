"""Real data are shortened without a rhythm, and subtasks that cannot be learnt or scored are told and left out."""

from dataclasses import replace

import pytest

from savs.bench import scores
from savs.bench.columns import column
from savs.bench.data import ColumnData, shortened, with_whole_parts
from savs.data.example import Example
from savs.data.tasks import load_task
from savs.errors import DataError
from savs.prediction import Prediction


def examples(count, *, of=("No", "Yes"), split=None, group=None):
    return tuple(
        Example(f"{split} {of} {i}", "?", label=of[i % len(of)], split=split, group=group and f"{split} {i // group}")
        for i in range(count)
    )


def camera(parts):
    """Subtasks by name: the labels to draw from, the labels to answer."""
    pool, test = (
        tuple(e for name, labels in parts.items() for e in examples(4, of=labels[side], split=name)) for side in (0, 1)
    )
    return ColumnData(column("camerabench"), load_task("camerabench"), pool, test)


def test_a_rhythm_in_the_file_does_not_choose_the_class():
    data = ColumnData(column("mhalubench"), load_task("mhalubench"), (), examples(200))
    assert {e.label for e in shortened(data, 20).test} == {"No"}, "negative control: even steps keep to one class"
    found = [shortened(data, 20, seed=seed).test for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert {e.label for e in found[0]} == {"No", "Yes"} and len(found[0]) == 20
    assert [data.test.index(e) for e in found[0]] == sorted(data.test.index(e) for e in found[0])


@pytest.mark.parametrize("seed", [None, 0])
def test_groups_stay_whole_and_enough_is_enough(seed):
    data = ColumnData(column("sugarcrepe"), load_task("sugarcrepe"), (), examples(40, group=2))
    found = shortened(data, 10, seed=seed)
    assert len(found.test) == 10 and len({e.group for e in found.test}) == 5
    assert shortened(data, 1000, seed=seed).test == data.test
    assert shortened(data, None, seed=seed) is data


def test_subtasks_of_a_single_class_are_left_out_and_told():
    both = ("No", "Yes")
    data = with_whole_parts(camera({"pan": (both, both), "tilt": (("No",), both), "zoom": (both, ("Yes",))}))
    assert data.parts == ("pan",) and {e.split for e in data.pool} == {"pan"}
    assert data.notes == (
        "2 of 3 subtasks are left out, having examples of a single class to draw from or to answer: tilt, zoom",
    )
    whole = camera({"pan": (both, both)})
    assert with_whole_parts(whole) is whole
    with pytest.raises(DataError, match="every subtask of CameraBench has examples of a single class"):
        with_whole_parts(camera({"tilt": (("No",), both)}))


def test_a_subtask_of_one_class_is_scored_where_accuracy_is_the_score():
    data = replace(camera({"pan": (("No", "Yes"), ("Yes",))}), column=column("blink"))
    assert with_whole_parts(data) is data


def test_average_precision_is_of_the_positive_class_and_equal_for_any_constant_answer():
    data = camera({"pan": (("No", "Yes"), ("No", "No", "No", "Yes")), "tilt": (("No", "Yes"), ("No", "Yes"))})
    assert scores.chance(data) == scores.majority(data) == {"average_precision": (0.25 + 0.5) / 2}

    def said(share):
        return [
            Prediction(e.id, "No", {"Yes": share(e), "No": 1 - share(e)}, {}) for e in data.test
        ]  # never the positive class: only the ranking counts

    right, wrong, constant = (
        scores.points(data, [said(share)])
        for share in (lambda e: 0.4 * (e.label == "Yes"), lambda e: 0.4 * (e.label == "No"), lambda e: 0.2)
    )
    assert scores.interval(right, "average_precision").value == 1.0
    assert scores.interval(constant, "average_precision").value == pytest.approx((0.25 + 0.5) / 2)
    ahead = scores.lead(right, wrong, "average_precision")
    assert ahead.by.value > 0 and ahead.p_value is None
