"""Scores of a column agree with the evaluation of each draw, and leads are what they are called."""

from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest

from savs.baselines.image_text import ImageText
from savs.baselines.method import Problem
from savs.bench import scores
from savs.bench.cells import as_kept
from savs.evaluation import evaluate
from savs.grouping import group_rows
from savs.prediction import Prediction


def answers(data, rng, share):
    """Right with probability `share`, else another class."""

    def one(example):
        wrong = [name for name in data.classes if name != example.label]
        label = example.label if rng.random() < share else wrong[int(rng.integers(len(wrong)))]
        return Prediction(example.id, label, {}, {})

    return [one(example) for example in data.test]


@pytest.mark.parametrize("name", ["mhalubench", "naturalbench_vqa", "sugarcrepe", "pets"])
def test_each_draw_scores_as_its_evaluation(small, name):
    data, rng = small(name, test=80), np.random.default_rng(0)
    draws = [answers(data, rng, share) for share in (0.6, 0.8, 0.9)]
    found = scores.points(data, draws)
    for i, draw in enumerate(draws):
        report = evaluate(data.test, draw, metric=data.column.metric, classes=data.classes)
        expected = {
            "accuracy": {"accuracy": report.accuracy},
            "pairs": {"pair": report.pairs},
            "groups": vars(report.groups) if report.groups else {},
        }[data.column.metric]
        for score in data.column.scores:
            assert found.won[score][i].mean() == pytest.approx(expected[score].value)


def test_subtasks_weigh_alike(small):
    data = small("blink", test=24)
    right = [Prediction(e.id, e.label if e.split == "shape" else "neither", {}, {}) for e in data.test]
    interval = scores.interval(scores.points(data, [right]), "accuracy")
    assert interval.value == pytest.approx(1 / 3)


def test_unmatched_answers_are_wrong_and_counted(small):
    data = small("mhalubench")
    none = [Prediction(e.id, "<unmatched>", {}, {}) for e in data.test]
    found = scores.points(data, [none])
    assert found.unmatched == 1.0
    assert found.won["accuracy"].sum() == 0


def test_the_lead_is_paired_and_turns_round(small):
    data, rng = small("pets", test=80), np.random.default_rng(1)
    good, bad = ([answers(data, rng, share) for _ in range(3)] for share in (0.9, 0.4))
    first, other = scores.points(data, good), scores.points(data, bad)
    ahead, behind = scores.lead(first, other, "accuracy"), scores.lead(other, first, "accuracy")
    assert ahead.by.value == pytest.approx(-behind.by.value)
    assert ahead.by.low > 0 and ahead.p_value == behind.p_value < 0.001
    assert scores.lead(first, first, "accuracy").p_value == 1.0


def test_half_won_groups_count_in_the_p_value_of_a_question_score(small):
    """One method has one question of every group right, the other none: no group is won whole by either."""
    data = small("naturalbench_vqa", test=80)
    wrong = dict(zip(data.classes, reversed(data.classes), strict=True))
    asked = {group: data.test[rows[0]].text for group, rows in group_rows(data.test).items()}
    none = [Prediction(e.id, wrong[e.label], {}, {}) for e in data.test]
    one = [Prediction(e.id, e.label if e.text == asked[e.group] else wrong[e.label], {}, {}) for e in data.test]
    first, other = scores.points(data, [one]), scores.points(data, [none])
    by_question = scores.lead(first, other, "question")
    assert by_question.by.value == 0.5 and by_question.p_value < 0.001
    for score in ("image", "group"):
        assert scores.lead(first, other, score).p_value == 1.0


def test_claims_about_one_image_stand_or_fall_together(small):
    """Eight claims an image, right or wrong together: as sure as one claim an image, and no surer."""
    data = small("mhalubench", test=80)
    media = [example.media for example in data.test]
    crowd = replace(data, test=tuple(replace(e, media=media[i // 8]) for i, e in enumerate(data.test)))
    right = [Prediction(e.id, e.label if i // 8 < 7 else "neither", {}, {}) for i, e in enumerate(data.test)]
    wrong = [Prediction(e.id, "neither", {}, {}) for e in data.test]

    def judged(data):
        first, other = scores.points(data, [right]), scores.points(data, [wrong])
        return scores.interval(first, "accuracy"), scores.lead(first, other, "accuracy")

    (together, lead), (apart, lead_apart) = judged(crowd), judged(data)
    assert together.value == apart.value == 0.7
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert lead.by.high - lead.by.low > 2 * (lead_apart.by.high - lead_apart.by.low)
    assert lead.p_value == pytest.approx(2 / 2**7, rel=0.3) and lead_apart.p_value < 1e-6


def test_rows_with_fewer_draws_are_paired_on_those_that_both_have(small):
    data, rng = small("pets", test=80), np.random.default_rng(1)
    five = scores.points(data, [answers(data, rng, share) for share in (0.9, 0.9, 0.1, 0.1, 0.1)])
    two = scores.points(data, [answers(data, rng, 0.5) for _ in range(2)])
    difference = scores.lead(five, two, "accuracy").by.value
    assert difference == pytest.approx(five.won["accuracy"][:2].mean() - two.won["accuracy"].mean())


def test_what_is_to_be_beaten(small):
    pets, groups, pairs = small("pets"), small("naturalbench_vqa"), small("sugarcrepe")
    assert scores.chance(pets) == {"accuracy": 0.25}, "of four options, not of ten classes"
    assert scores.chance(groups) == {"question": 0.25, "image": 0.25, "group": 0.0625}
    assert scores.chance(pairs) == {"pair": 0.25}
    assert scores.majority(groups) == {"question": 0.0, "image": 0.0, "group": 0.0}
    truth = [e.label for e in pets.test]
    assert scores.majority(pets) == {"accuracy": max(map(truth.count, truth)) / len(truth)}
    by_part = small("blink", test=24)
    each = [[e.label for e in by_part.of_part(part).test] for part in by_part.parts]
    expected = np.mean([max(map(labels.count, labels)) / len(labels) for labels in each])
    assert scores.majority(by_part)["accuracy"] == pytest.approx(expected)


class Similar:
    """Towers by which an example's image and caption are as near as is written down, group by group."""

    encoder = SimpleNamespace(scale=100.0)

    def __init__(self, data, table):
        places = group_rows(data.test).values()
        self.of = {data.test[row].id: table[place] for of in places for place, row in enumerate(of)}

    def images_of(self, examples):
        return np.array([[self.of[example.id]] for example in examples])

    def texts(self, texts):
        return np.ones((len(texts), 1))


def ranked(data, table):
    return ImageText(Similar(data, table)).predict(Problem(data.classes, (), data.test, data.task))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # Similarities of image 0 with captions 0 and 1, then of image 1; the first caption belongs to the first image.
        ((0.3, 0.2, 0.2, 0.3), {"question": 1.0, "image": 1.0, "group": 1.0}),
        ((0.2, 0.3, 0.3, 0.2), {"question": 0.0, "image": 0.0, "group": 0.0}),
        ((0.3, 0.2, 0.35, 0.4), {"question": 0.5, "image": 1.0, "group": 0.0}),
        ((0.3, 0.35, 0.2, 0.4), {"question": 1.0, "image": 0.5, "group": 0.0}),
        ((0.9, 0.8, 0.1, 0.2), {"question": 0.5, "image": 1.0, "group": 0.0}),
        ((0.3, 0.3, 0.3, 0.3), {"question": 0.0, "image": 0.0, "group": 0.0}),
    ],
)
def test_ranked_captions_have_three_scores_of_their_own(small, table, expected):
    data = small("naturalbench_retrieval")
    said = [as_kept(answer) for answer in ranked(data, table)]
    assert {name: won.mean() for name, won in scores.points(data, [said], ranked=True).won.items()} == expected


def test_rank_counts_where_captions_are_compared_and_nowhere_else(small):
    data, table = small("naturalbench_retrieval"), (0.3, 0.35, 0.2, 0.4)
    said = ranked(data, table)
    judged = scores.points(data, [said])
    assert {name: won.mean() for name, won in judged.won.items()} == {"question": 0.0, "image": 0.5, "group": 0.0}
    asked = replace(data, task=replace(data.task, caption=None))
    assert scores.points(asked, [said], ranked=True).won["question"].mean() == judged.won["question"].mean()


def test_a_random_order_wins_half_of_the_images_and_a_sixth_of_the_groups(small):
    data = small("naturalbench_retrieval")
    orders = [ranked(data, order) for order in permutations((0.1, 0.2, 0.3, 0.4))]
    won = scores.points(data, orders, ranked=True).won
    assert {name: each.mean() for name, each in won.items()} == pytest.approx(
        {"question": 1 / 2, "image": 1 / 2, "group": 1 / 6}
    )
