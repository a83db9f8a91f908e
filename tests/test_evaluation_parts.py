"""Scores of the parts of a test set, each by itself, and average precision beside another score."""

import json
from dataclasses import replace

import pytest

from savs.data.example import Example
from savs.errors import DataError
from savs.evaluation import evaluate
from savs.prediction import Prediction
from savs.report import Report


def scored(rows, **options):
    """A report on (split, group, label, answer) rows."""
    examples = [
        Example(str(i), f"question {i}", label=label, split=split, group=group)
        for i, (split, group, label, _) in enumerate(rows)
    ]
    return evaluate(examples, [Prediction(str(i), row[3], {}, {}) for i, row in enumerate(rows)], **options)


def test_each_part_has_its_score_and_its_majority_and_the_mean_counts_them_alike():
    rows = [("easy", None, "A", "A")] * 8 + [("hard", None, "A", "B"), ("hard", None, "B", "B")]
    report = scored(rows)
    easy, hard = report.splits
    assert (easy.split, easy.n, easy.score.value, easy.majority_accuracy) == ("easy", 8, 1.0, 1.0)
    assert (hard.split, hard.n, hard.score.value, hard.majority_accuracy) == ("hard", 2, 0.5, 0.5)
    assert report.accuracy.value == 0.9
    assert report.mean_of_splits == 0.75


def test_parts_of_pairs_are_scored_by_whole_pairs():
    right, half = [("Yes", "Yes"), ("No", "No")], [("Yes", "Yes"), ("No", "Yes")]
    rows = [("add", "1", *row) for row in right] + [("swap", "2", *row) for row in half]
    report = scored(rows, metric="pairs")
    assert [part.score.value for part in report.splits] == [1.0, 0.0]
    assert [part.score.value for part in scored(rows).splits] == [1.0, 0.5]


@pytest.mark.parametrize("split", [None, "only"])
def test_one_part_is_none(split):
    report = scored([(split, None, "A", "A"), (split, None, "B", "A")])
    assert (report.splits, report.mean_of_splits) == ((), None)


def test_parts_survive_the_way_through_json():
    report = scored([("a", None, "A", "A"), ("b", None, "B", "A")])
    fields = json.loads(json.dumps(report.to_json()))
    assert Report.from_json(fields) == report
    del fields["splits"], fields["mean_of_splits"]
    assert Report.from_json(fields) == replace(report, splits=(), mean_of_splits=None)


def test_average_precision_stands_beside_accuracy_where_the_positive_class_is_named():
    examples = [Example(str(i), "?", label=label) for i, label in enumerate(["can", "cannot", "can"])]
    shares = [0.9, 0.8, 0.7]
    answers = [Prediction(str(i), "can", {"can": p, "cannot": 1 - p}, {}) for i, p in enumerate(shares)]
    report = evaluate(examples, answers, positive="can")
    assert report.average_precision.value == pytest.approx((1 + 2 / 3) / 2)
    assert report.score == report.accuracy
    assert evaluate(examples, answers).average_precision is None
    assert evaluate(examples[::2], answers[::2], positive="can").average_precision is None
    with pytest.raises(DataError, match="every label is 'can'"):
        evaluate(examples[::2], answers[::2], metric="average_precision", positive="can")
