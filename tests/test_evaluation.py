import json
import random

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from savs.data.example import Example, Media
from savs.errors import DataError
from savs.evaluation import correctness, evaluate
from savs.prediction import Prediction
from savs.report import Report


def example(name, label, *, group=None, text="what is it?", media=()):
    return Example(id=name, text=text, media=tuple(Media(source) for source in media), label=label, group=group)


def answer(name, label, **probabilities):
    return Prediction(id=name, label=label, probabilities=probabilities, votes={})


def data_set(truth, said):
    examples = [example(f"e{i}", label) for i, label in enumerate(truth)]
    return examples, [answer(f"e{i}", label) for i, label in enumerate(said)]


@pytest.fixture
def cats_and_dogs():
    # true cat: 3 right of 4; true dog: 4 right of 6
    return data_set(["cat"] * 4 + ["dog"] * 6, ["cat"] * 3 + ["dog"] + ["dog"] * 4 + ["cat"] * 2)


def test_the_report_equals_a_table_worked_by_hand(cats_and_dogs):
    report = evaluate(*cats_and_dogs)
    assert report.n == 10
    assert report.classes == ("cat", "dog")
    assert report.confusion == ((3, 1), (2, 4))
    assert report.accuracy.value == 0.7
    cat, dog = report.per_class
    assert (cat.precision, cat.recall, cat.support) == (3 / 5, 3 / 4, 4)
    assert (dog.precision, dog.recall, dog.support) == (4 / 5, 4 / 6, 6)
    assert cat.f1 == pytest.approx(2 / 3)
    assert dog.f1 == pytest.approx(8 / 11)
    assert report.macro_f1 == pytest.approx((2 / 3 + 8 / 11) / 2)
    assert report.balanced_accuracy == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert (report.majority_class, report.majority_accuracy) == ("dog", 0.6)
    assert report.chance == 0.5
    assert report.score == report.accuracy
    assert (report.unmatched_rate, report.groups, report.pairs, report.average_precision) == (None,) * 4


def test_the_accuracy_interval_is_wilsons(cats_and_dogs):
    interval = evaluate(*cats_and_dogs, confidence=0.9).accuracy
    expected = stats.binomtest(7, 10).proportion_ci(confidence_level=0.9, method="wilson")
    assert (interval.low, interval.high) == (expected.low, expected.high)
    assert (interval.method, interval.confidence) == ("Wilson", 0.9)


def test_predictions_are_joined_by_id_whatever_their_order(cats_and_dogs):
    examples, answers = cats_and_dogs
    shuffled = random.Random(3).sample(answers, len(answers))
    assert [a.id for a in shuffled] != [a.id for a in answers]
    assert evaluate(examples, shuffled) == evaluate(examples, answers)
    # Negative control: joined by position, the shuffled answers would score otherwise.
    assert np.mean([e.label == a.label for e, a in zip(examples, shuffled, strict=True)]) != 0.7


@pytest.mark.parametrize(
    ("examples", "answers", "message"),
    [
        (["a", "b"], ["a"], r"1 of 2 examples have no prediction: 'b'"),
        (["a"], ["a", "z"], r"1 predictions are for no example given: 'z'"),
        (["a", "a"], ["a"], r"more than once in the examples: 'a'"),
        (["a"], ["a", "a"], r"more than once in the predictions: 'a'"),
        ([], [], r"no examples"),
    ],
)
def test_ids_that_do_not_match_are_named(examples, answers, message):
    with pytest.raises(DataError, match=message):
        evaluate([example(name, "x") for name in examples], [answer(name, "x") for name in answers])


def test_a_long_list_of_missing_ids_is_cut_and_counted():
    examples, answers = data_set(["x"] * 9, ["x"] * 9)
    with pytest.raises(DataError, match=r"8 of 9 .*'e1', 'e2', 'e3', 'e4', 'e5' and 3 more"):
        evaluate(examples, answers[:1])


def test_an_example_without_a_label_is_named_with_its_place():
    examples = [Example(id="a", text="", location="test.jsonl:7")]
    with pytest.raises(DataError, match=r"test\.jsonl:7"):
        evaluate(examples, [answer("a", "x")])


def test_a_label_that_the_classifier_does_not_know_is_named():
    examples, answers = data_set(["cat", "bird"], ["cat", "dog"])
    with pytest.raises(DataError, match=r"none of the classes: 'bird'; the classes are 'cat', 'dog'"):
        evaluate(examples, answers, classes=["cat", "dog"])
    known = [answer("e0", "cat", cat=1.0, dog=0.0), answer("e1", "dog", cat=0.0, dog=1.0)]
    with pytest.raises(DataError, match="'bird'"):
        evaluate(examples, known)
    with pytest.raises(DataError, match="predicted labels .* 'dog'"):
        evaluate(examples, answers, classes=["cat", "bird"])


def test_classes_that_occur_nowhere_count_for_chance_and_not_for_the_means():
    examples, _ = data_set(["cat", "dog"], ["cat", "dog"])
    answers = [answer("e0", "cat", cat=1, dog=0, eel=0, fox=0), answer("e1", "dog", cat=0, dog=1, eel=0, fox=0)]
    report = evaluate(examples, answers)
    assert report.classes == ("cat", "dog", "eel", "fox")
    assert report.chance == 0.25
    assert report.macro_f1 == report.balanced_accuracy == 1.0
    assert [row.support for row in report.per_class] == [1, 1, 0, 0]


def test_given_classes_keep_their_order():
    examples, answers = data_set(["b", "a"], ["b", "b"])
    report = evaluate(examples, answers, classes=["b", "a"])
    assert report.classes == ("b", "a")
    assert report.confusion == ((1, 0), (1, 0))


def test_unmatched_answers_are_wrong_and_no_class():
    examples, answers = data_set(["cat", "cat", "dog", "dog"], ["cat", "?", "?", "dog"])
    report = evaluate(examples, answers, unmatched="?")
    assert report.classes == ("cat", "dog")
    assert report.accuracy.value == 0.5
    assert report.unmatched_rate == 0.5
    assert report.confusion == ((1, 0), (0, 1))
    assert [row.recall for row in report.per_class] == [0.5, 0.5]
    assert [row.precision for row in report.per_class] == [1.0, 1.0]
    assert report.balanced_accuracy == 0.5
    assert report.macro_f1 == pytest.approx(2 / 3)
    assert evaluate(examples, answers).classes == ("?", "cat", "dog"), "without the marker it would be a class"
    with pytest.raises(DataError, match="marker"):
        evaluate(examples, answers, unmatched="?", classes=["?", "cat", "dog"])


def two_by_two(group, wrong=(), images=("i0.png", "i1.png")):
    """Four examples of two images x two questions, and answers of which those in `wrong` are false."""
    examples, answers = [], []
    for image in (0, 1):
        for question in (0, 1):
            name, label = f"{group}-{image}{question}", "Yes" if image == question else "No"
            text = f"does {group} show {question}?"
            examples.append(example(name, label, group=group, text=text, media=[images[image]]))
            other = {"Yes": "No", "No": "Yes"}[label]
            answers.append(answer(name, other if (image, question) in wrong else label))
    return examples, answers


def grouped(*parts, shuffle_seed=0):
    examples = [e for part, _ in parts for e in part]
    answers = [a for _, part in parts for a in part]
    rng = random.Random(shuffle_seed)
    return rng.sample(examples, len(examples)), rng.sample(answers, len(answers))


@pytest.mark.parametrize("shuffle_seed", range(5))
def test_group_scores_on_groups_worked_by_hand(tmp_path, shuffle_seed):
    images = (tmp_path / "i0.png", tmp_path / "i1.png")
    examples, answers = grouped(
        two_by_two("all right", images=images),
        two_by_two("one wrong", wrong=[(0, 1)], images=images),  # question 0 and image 1 are won
        two_by_two("one image wrong", wrong=[(1, 0), (1, 1)], images=images),  # image 0 is won, no question
        two_by_two("one question wrong", wrong=[(0, 0), (1, 0)], images=images),  # question 1 is won, no image
        shuffle_seed=shuffle_seed,
    )
    report = evaluate(examples, answers, metric="groups")
    assert report.groups is not None
    assert report.groups.n_groups == 4
    assert report.groups.question.value == (2 + 1 + 0 + 1) / 8
    assert report.groups.image.value == (2 + 1 + 1 + 0) / 8
    assert report.groups.group.value == 1 / 4
    assert report.accuracy.value == (4 + 3 + 2 + 2) / 16
    assert report.score == report.groups.group
    assert report.accuracy.method == "bootstrap over groups"


def test_question_and_image_are_not_the_same_score(tmp_path):
    images = (tmp_path / "i0.png", tmp_path / "i1.png")
    groups = [two_by_two(f"g{i}", wrong=[(1, 0), (1, 1)], images=images) for i in range(3)]
    scores = evaluate(*grouped(*groups), metric="groups").groups
    assert (scores.question.value, scores.image.value, scores.group.value) == (0, 0.5, 0)


def test_images_in_memory_are_told_apart_by_their_content():
    black, white = (Image.new("RGB", (4, 4), colour) for colour in ("black", "white"))
    examples, answers = two_by_two("g", images=(black, white))
    copies, _ = two_by_two("g", images=(black.copy(), white.copy()))
    mixed = [copy if i % 2 else original for i, (original, copy) in enumerate(zip(examples, copies, strict=True))]
    assert evaluate(mixed, answers, metric="groups").groups.group.value == 1
    assert evaluate(*two_by_two("g", images=(b"one", b"two")), metric="groups").groups.group.value == 1
    with pytest.raises(DataError, match="1 images and 2 questions"):
        evaluate(*two_by_two("g", images=(black, black.copy())), metric="groups")


def test_an_incomplete_group_is_named(tmp_path):
    images = (tmp_path / "i0.png", tmp_path / "i1.png")
    whole, part = two_by_two("whole", images=images), two_by_two("torn", images=images)
    examples, answers = grouped(whole, (part[0][:3], part[1][:3]))
    with pytest.raises(DataError, match="group 'torn' is not two images x two questions: it has 3 examples"):
        evaluate(examples, answers, metric="groups")


def test_examples_without_a_group_cannot_be_scored_by_group(cats_and_dogs):
    with pytest.raises(DataError, match=r"10 have none: 'e0'"):
        evaluate(*cats_and_dogs, metric="groups")


def test_a_pair_wins_its_point_only_when_both_are_right():
    examples = [example(f"{g}{i}", "Yes", group=g) for i in range(2) for g in "abcd"]
    wrong = {"a0", "b0", "b1"}
    answers = [answer(e.id, "No" if e.id in wrong else "Yes") for e in examples]
    report = evaluate(examples, answers, metric="pairs")
    expected = stats.binomtest(2, 4).proportion_ci(method="wilson")
    assert (report.pairs.value, report.pairs.low, report.pairs.high) == (0.5, expected.low, expected.high)
    assert report.score == report.pairs
    assert report.accuracy.value == 5 / 8
    with pytest.raises(DataError, match="groups have one: 'a'"):
        evaluate(examples[1:], answers[1:], metric="pairs")


def test_average_precision_of_a_ranking_worked_by_hand():
    # Ranked by P(Yes): Yes, No, Yes, No -> precision 1 at the first hit and 2/3 at the second
    examples, _ = data_set(["No", "Yes", "No", "Yes"], ["No"] * 4)
    shares = [0.7, 0.9, 0.1, 0.4]
    answers = [answer(f"e{i}", "No", Yes=p, No=1 - p) for i, p in enumerate(shares)]
    report = evaluate(examples, answers, metric="average_precision")
    assert report.average_precision.value == pytest.approx((1 + 2 / 3) / 2)
    assert report.positive == "Yes"
    assert report.score == report.average_precision
    assert report.average_precision.low <= report.average_precision.value <= report.average_precision.high
    # Ranked by P(No) = 0.9, 0.6, 0.3, 0.1: No, Yes, No, Yes
    other = evaluate(examples, answers, metric="average_precision", positive="No")
    assert other.average_precision.value == pytest.approx((1 + 2 / 3) / 2)
    assert other.positive == "No"


def test_average_precision_says_what_it_lacks():
    examples, answers = data_set(["up", "down"], ["up", "down"])
    with pytest.raises(DataError, match="which of 'down', 'up' is the positive class"):
        evaluate(examples, answers, metric="average_precision")
    with pytest.raises(DataError, match="needs a probability of 'up' in every prediction; 2 have none: 'e0', 'e1'"):
        evaluate(examples, answers, metric="average_precision", positive="up")
    with pytest.raises(DataError, match="positive='left' is none of the classes"):
        evaluate(examples, answers, metric="average_precision", positive="left")
    with pytest.raises(DataError, match="needs two classes, got 3"):
        evaluate(*data_set(["a", "b", "c"], ["a", "b", "c"]), metric="average_precision")
    same = [answer("e0", "Yes", Yes=1, No=0), answer("e1", "Yes", Yes=1, No=0)]
    with pytest.raises(DataError, match="labels of both classes"):
        evaluate(data_set(["Yes"] * 2, [])[0], same, metric="average_precision")


def test_examples_that_share_a_group_widen_the_interval():
    truth = ["x"] * 200
    alone, answers = data_set(truth, ["x" if i < 140 else "y" for i in range(200)])
    shared = [example(e.id, e.label, group=f"g{i // 20}") for i, e in enumerate(alone)]
    plain, clustered = evaluate(alone, answers).accuracy, evaluate(shared, answers).accuracy
    assert plain.value == clustered.value == 0.7
    assert (plain.method, clustered.method) == ("Wilson", "bootstrap over groups")
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)


def test_groups_of_one_are_no_groups(cats_and_dogs):
    examples, answers = cats_and_dogs
    single = [example(e.id, e.label, group=f"g{e.id}") for e in examples]
    assert evaluate(single, answers).accuracy == evaluate(examples, answers).accuracy


def test_the_same_seed_gives_the_same_report_and_another_seed_another_interval(tmp_path):
    images = (tmp_path / "i0.png", tmp_path / "i1.png")
    rng = random.Random(1)
    cells = [(i, q) for i in (0, 1) for q in (0, 1)]
    data = grouped(*(two_by_two(f"g{i}", wrong=rng.sample(cells, rng.randint(0, 4)), images=images) for i in range(20)))
    first, again, other = (evaluate(*data, metric="groups", seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first.groups.question.value == other.groups.question.value
    assert first != other


def test_correctness_follows_the_order_of_the_examples():
    examples = [example(name, "x", group=name[0]) for name in ("a1", "b1", "a2", "b2")]
    answers = [answer(name, label) for name, label in (("b2", "y"), ("a1", "x"), ("b1", "x"), ("a2", "x"))]
    assert correctness(examples, answers).tolist() == [True, True, True, False]
    assert correctness(examples, answers, unit="group").tolist() == [True, False]


@pytest.mark.parametrize("metric", ["accuracy", "groups", "pairs", "average_precision"])
def test_a_report_survives_the_way_through_json(tmp_path, metric):
    images = (tmp_path / "i0.png", tmp_path / "i1.png")
    groups = (two_by_two("g", wrong=[(0, 1)], images=images), two_by_two("h", images=images))
    examples, answers = grouped(*groups)
    answers = [answer(a.id, a.label, Yes=0.7 if a.label == "Yes" else 0.2, No=0.3) for a in answers]
    report = evaluate(examples, answers, metric=metric, unmatched="?")
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_what_is_no_report_is_refused(cats_and_dogs):
    fields = evaluate(*cats_and_dogs).to_json()
    with pytest.raises(DataError, match="format is 99"):
        Report.from_json({**fields, "format": 99})
    with pytest.raises(DataError, match="not a report.*confusion"):
        Report.from_json({name: value for name, value in fields.items() if name != "confusion"})
    with pytest.raises(DataError, match="format is None"):
        Report.from_json({"accuracy": 1.0})
