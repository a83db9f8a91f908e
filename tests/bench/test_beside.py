"""Scores beside the tables are those of `evaluate`, draw by draw."""

from dataclasses import replace

import numpy as np
import pytest

from savs.bench.beside import beside
from savs.evaluation import evaluate
from savs.prediction import Prediction


def draws_of(data, *, probabilities=True):
    """Three draws of answers that are right more often than not, with a probability of each class."""
    rng = np.random.default_rng(0)

    def one(example):
        told = dict(zip(data.classes, rng.dirichlet(np.ones(len(data.classes))).tolist(), strict=True))
        told[example.label] += 0.3
        label = max(told, key=told.get)
        return Prediction(example.id, label, told if probabilities else {}, {})

    return [[one(example) for example in data.test] for _ in range(3)]


def reports(data, draws):
    options = {"metric": data.column.metric, "classes": data.classes, "positive": data.task.positive}
    return [evaluate(data.test, answers, **options) for answers in draws]


def test_macro_f1_of_two_classes(small):
    data = small("mhalubench", test=80)
    draws = draws_of(data)
    found = beside(data, draws)
    assert found == {"macro F1": pytest.approx(np.mean([each.macro_f1 for each in reports(data, draws)]))}
    assert beside(small("pets"), draws_of(small("pets"))) == {}, "of ten classes accuracy says it"


def test_average_precision_of_the_positive_class(small):
    data = small("vizwiz", test=80)
    data = replace(data, task=replace(data.task, positive=data.classes[0]))
    draws = draws_of(data)
    expected = np.mean([each.average_precision.value for each in reports(data, draws)])
    assert beside(data, draws)["average precision"] == pytest.approx(expected)
    assert "average precision" not in beside(data, draws_of(data, probabilities=False))


@pytest.mark.parametrize("name", ["sugarcrepe", "mhalubench"])
def test_each_split_of_examples_or_of_whole_pairs(small, name):
    data = small(name, test=80)
    of_group = {group: f"part {i % 3}" for i, group in enumerate(dict.fromkeys(e.group or e.id for e in data.test))}
    data = replace(data, test=tuple(replace(e, split=of_group[e.group or e.id]) for e in data.test))
    draws = draws_of(data)
    found, told = beside(data, draws), [report.splits for report in reports(data, draws)]
    for i in range(3):
        assert found[f"part {i}"] == pytest.approx(np.mean([splits[i].score.value for splits in told]))
    by_part = replace(data, column=replace(data.column, by_part=True))
    assert beside(by_part, draws) == {}, "the score is their mean"
