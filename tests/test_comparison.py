"""Methods side by side: the lead is the difference, and groups are compared as groups."""

import pytest

from savs.comparison import compare
from savs.data.example import Example
from savs.evaluation import evaluate
from savs.prediction import Prediction


def answers(examples, right):
    flip = {"yes": "no", "no": "yes"}
    return [
        Prediction(example.id, example.label if is_right else flip[example.label], {"yes": 0.5, "no": 0.5}, {})
        for example, is_right in zip(examples, right, strict=True)
    ]


EXAMPLES = [Example(str(i), "", label=("yes", "no")[i % 2], group=str(i // 2)) for i in range(8)]
FIRST = answers(EXAMPLES, [1, 1, 1, 1, 1, 1, 1, 0])
SECOND = answers(EXAMPLES, [1, 0, 1, 0, 1, 0, 1, 1])


def test_the_lead_is_the_difference_in_accuracy():
    (second,) = compare(EXAMPLES, FIRST, {"second": SECOND})
    assert second.name == "second"
    assert second.report == evaluate(EXAMPLES, SECOND)
    assert second.lead.value == pytest.approx(7 / 8 - 5 / 8)
    assert second.p_value == pytest.approx(0.625)  # three against one: 2 * (1 + 4) / 16
    assert second.lead.low <= second.lead.value <= second.lead.high


def test_pairs_are_compared_as_pairs():
    (second,) = compare(EXAMPLES, FIRST, {"second": SECOND}, metric="pairs")
    assert second.lead.value == pytest.approx(3 / 4 - 1 / 4)
    assert second.p_value == pytest.approx(0.625)


def test_a_method_is_not_ahead_of_itself():
    (same,) = compare(EXAMPLES, FIRST, {"same": FIRST})
    assert (same.lead.value, same.lead.low, same.lead.high, same.p_value) == (0, 0, 0, 1)


def test_json_holds_what_there_is():
    (second,) = compare(EXAMPLES, FIRST, {"second": SECOND})
    written = second.to_json()
    assert written["report"] == second.report.to_json()
    assert written["lead"]["value"] == second.lead.value
