"""The bake-off finds the better method where there is one, and says so plainly where there is none."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from problems import examples_of, features_of
from savs.bakeoff import BakeOff, Contender, bake_off
from savs.baselines.heads import SAVs
from savs.baselines.majority import MajorityClass
from savs.baselines.method import Unavailable
from savs.classify import SAVClassifier
from savs.data.clusters import clusters_of
from savs.data.example import Example, Media
from savs.data.tasks import GENERIC
from savs.errors import DataError, EndpointError
from savs.intervals import Interval
from savs.prediction import Prediction

EXAMPLES = examples_of(["cat", "dog"] * 30)


@dataclass
class Guessing:
    """A method without shots that is right on a given share of the examples, always the same ones."""

    share: float
    name: str = "zero-shot-choice"
    asked: int = 0

    def obstacle(self, problem):
        return None

    def predict(self, problem, *, progress=None):
        self.asked += 1
        assert problem.shots == ()
        other = {"cat": "dog", "dog": "cat"}
        right = np.random.default_rng(0).permutation(len(problem.test)) < self.share * len(problem.test)
        return [
            Prediction(e.id, e.label if ok else other[e.label], {}, {})
            for e, ok in zip(problem.test, right, strict=True)
        ]


@dataclass
class Peeking:
    """A method that is right exactly on what it has been shown."""

    name: str = "peeking"

    def obstacle(self, problem):
        return None

    def predict(self, problem, *, progress=None):
        seen = {shot.id: shot.label for shot in problem.shots}
        return [Prediction(e.id, seen.get(e.id, "neither"), {}, {}) for e in problem.test]


def telling(distance=6.0):
    return features_of(EXAMPLES, telling=[1, 6, 7], distance=distance)


def rows(features):
    return [SAVs(features, SAVClassifier(k=3)), SAVs(features, SAVClassifier.from_preset("hec", k=3), "hec")]


def test_a_better_method_wins():
    zero_shot = Guessing(0.6)
    result = bake_off(EXAMPLES, rows(telling()), [MajorityClass(), zero_shot], repeats=2)
    assert result.winner is result.best and result.winner.name in ("sav", "hec")
    assert result.to_beat.name == "zero-shot-choice" and result.to_beat.score.value == pytest.approx(0.6)
    assert result.winner.lead.low > 0.2 and result.winner.p_value < 0.01
    assert result.winner.lead.value == pytest.approx(result.winner.score.value - 0.6)
    assert zero_shot.asked == 1
    assert result.verdict.startswith(f"{result.winner.name} wins: ")
    assert "% against 60.0 % of zero-shot-choice" in result.verdict
    assert [c.name for c in result.contenders[2:]] == ["zero-shot-choice", "majority"]


def test_where_nothing_is_better_nothing_wins():
    blind = features_of(EXAMPLES, telling=[])
    result = bake_off(EXAMPLES, rows(blind), [MajorityClass(), Guessing(0.9)])
    assert result.winner is None
    assert result.best.lead.high < 0
    assert result.verdict.startswith("Nothing beats zero-shot-choice (90.0 %). The best of the others")
    assert result.to_json()["winner"] is None and result.to_json()["to_beat"] == "zero-shot-choice"
    equal = bake_off(EXAMPLES, [replace(MajorityClass(), name="also")], [MajorityClass()])
    assert equal.winner is None and equal.best.lead.value == 0 and equal.best.p_value == 1


def test_a_lead_within_chance_is_no_win():
    """Right on 33 of 60 against 30 of 60: ahead, but not to be believed."""
    result = bake_off(EXAMPLES, [Guessing(0.55, "zero-shot-new")], [Guessing(0.5)])
    assert result.best.lead.value == pytest.approx(0.05)
    assert result.best.p_value > 0.05 and result.winner is None
    assert result.verdict.startswith("Nothing beats zero-shot-choice (50.0 %) for certain. zero-shot-new stands at +5")


def test_a_certain_lead_wins_over_a_higher_one_that_may_be_chance():
    def contender(name, score, p_value=None):
        at, ahead = Interval(score, score - 0.1, score + 0.1, "made"), Interval(score - 0.6, -0.05, 0.25, "made")
        return Contender(name, p_value is None, at, None if p_value is None else ahead, p_value)

    a, b, behind, cheap = (
        *(contender("a", 0.70, 0.150), contender("b", 0.69, 0.008), contender("behind", 0.4, 0.001)),
        contender("zero-shot-free", 0.6),
    )

    def result(*contenders):
        return BakeOff(contenders, 60, 2, "example", 5, 3, 0)

    mixed = result(a, b, cheap, behind)
    assert (mixed.best, mixed.winner) == (a, b)
    assert mixed.verdict.startswith("b wins: 69.0 % against 60.0 % of zero-shot-free")
    assert "+9.0 points (-5.0 to +25.0; p = 0.008). a scores higher, 70.0 %, but its +10.0 points" in mixed.verdict
    assert mixed.verdict.endswith("p = 0.150) may be chance.")
    assert mixed.to_json()["winner"] == "b"
    assert result(a, cheap, behind).winner is None, "certain, but behind"
    assert "scores higher" not in result(b, a, cheap).verdict


def test_the_majority_is_that_of_all_examples():
    """Eleven of each class: a majority of each fold's rest would be the wrong one of its held-out part."""
    even = bake_off(examples_of(["cat", "dog"] * 11), [], [MajorityClass()])
    assert even.contenders[0].score.value == 0.5
    uneven = bake_off(examples_of(["cat", "dog", "cat"] * 7), [], [MajorityClass()])
    assert uneven.contenders[0].score.value == pytest.approx(2 / 3)


def test_no_example_is_seen_before_it_is_asked():
    result = bake_off(EXAMPLES, [Peeking()], [MajorityClass()])
    assert next(c for c in result.contenders if c.name == "peeking").score.value == 0.0


def test_what_shares_an_image_or_a_group_is_never_parted():
    media = [Media(bytes([i])) for i in range(20)]
    examples = [Example(f"{i}{j}", f"q{j}", (media[i],), label=("a", "b")[j]) for i in range(20) for j in range(2)]
    assert clusters_of(examples).tolist() == [i for i in range(20) for _ in range(2)]
    in_groups = [replace(e, media=(), group=str(int(e.id[:-1]) // 4)) for e in examples]
    assert len(set(clusters_of(in_groups).tolist())) == 5
    chained = [
        Example("1", "", (media[0],)),
        Example("2", "", (media[1],)),
        Example("3", "", (media[0], media[1])),
        Example("4", "", (media[2],)),
    ]
    assert len(set(clusters_of(chained).tolist())) == 2

    class Recognising(Peeking):
        def predict(self, problem, *, progress=None):
            seen = {shot.media for shot in problem.shots}
            assert not any(e.media in seen for e in problem.test)
            return [Prediction(e.id, "a", {}, {}) for e in problem.test]

    bake_off(examples, [Recognising()], [MajorityClass()])


def test_questions_about_one_image_widen_the_interval():
    """Five questions an image, all right or all wrong, tell no more than one does."""
    media = [Media(bytes([i])) for i in range(24)]
    alone = [Example(f"{i}", f"q{i}", (media[i],), label="ab"[i % 2]) for i in range(24)]
    crowd = [replace(e, id=f"{e.id}/{j}", text=f"{e.text} {j}") for e in alone for j in range(5)]

    class Knowing(Guessing):
        """Right on every third image."""

        def predict(self, problem, *, progress=None):
            right = [int(e.id.partition("/")[0]) % 3 == 0 for e in problem.test]
            return [Prediction(e.id, e.label if ok else "c", {}, {}) for e, ok in zip(problem.test, right, strict=True)]

    def widths(examples):
        result = bake_off(examples, [Knowing(1, "zero-shot-new")], [MajorityClass()])
        return [of.high - of.low for of in (result.best.score, result.best.lead)], result.best.score.method

    (of_alone, _), (of_crowd, method) = widths(alone), widths(crowd)
    assert of_crowd == pytest.approx(of_alone, rel=0.15)
    assert method == "bootstrap over groups, one draw"
    apart = [replace(e, media=(Media(e.id.encode()),)) for e in crowd]
    of_apart, method = widths(apart)
    assert max(of_apart) < 0.7 * min(of_crowd), "negative control"
    assert method == "bootstrap over examples, one draw"


def test_groups_are_scored_as_groups():
    examples = [replace(e, group=str(i // 2)) for i, e in enumerate(EXAMPLES)]
    result = bake_off(examples, [], [Guessing(0.5)], task=replace(GENERIC, metric="pairs"))
    right = Guessing(0.5).predict(type("P", (), {"test": examples, "shots": ()}))
    whole = np.mean([right[i].label == examples[i].label and right[i + 1].label == examples[i + 1].label
                     for i in range(0, 60, 2)])  # fmt: skip
    assert result.scored == "group"
    assert result.contenders[0].score.value == pytest.approx(whole)
    assert whole < 0.4


def test_what_cannot_run_stands_last_and_says_why():
    result = bake_off(EXAMPLES, [Unavailable("hec", "it needs features")], [MajorityClass()])
    assert [c.name for c in result.contenders] == ["majority", "hec"]
    assert (result.contenders[1].obstacle, result.contenders[1].score) == ("it needs features", None)
    assert result.best is None and result.winner is None
    assert result.verdict == "None but the cheap ones ran; majority is the best of them, at 50.0 %."
    nothing = bake_off(EXAMPLES, [Unavailable("hec", "it needs features")], [Unavailable("also", "it needs a model")])
    assert nothing.verdict == "No method could run."


def test_a_method_that_breaks_off_costs_its_own_row_alone():
    class Silent(Guessing):
        def predict(self, problem, *, progress=None):
            raise EndpointError("https://host/v1 gave no answer")

    result = bake_off(EXAMPLES, rows(telling()), [Silent(0.5, "zero-shot-endpoint"), MajorityClass()])
    assert result.winner is not None and result.to_beat.name == "majority"
    assert result.contenders[-1].name == "zero-shot-endpoint"
    assert result.contenders[-1].obstacle == "https://host/v1 gave no answer"


def test_the_more_methods_the_harder_it_is_to_win():
    one = bake_off(EXAMPLES, [Guessing(0.75, "zero-shot-new")], [Guessing(0.5)])
    many = bake_off(EXAMPLES, [Guessing(0.75, f"zero-shot-{i}") for i in range(6)], [Guessing(0.5)])
    assert one.best.p_value < many.best.p_value <= 6 * one.best.p_value + 1e-9


def test_equal_seeds_give_equal_results_and_other_seeds_other_folds():
    first, again, other = (bake_off(EXAMPLES, rows(telling(2.0)), [MajorityClass()], seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_too_few_examples():
    with pytest.raises(DataError, match="class 'owl' cannot be cut in two"):
        bake_off(examples_of(["cat", "dog", "cat", "dog", "owl"]), [], [MajorityClass()])
    with pytest.raises(DataError, match="only the class 'cat'"):
        bake_off(examples_of(["cat", "cat"]), [], [MajorityClass()])
    assert bake_off(examples_of(["cat", "dog"] * 3), [], [MajorityClass()]).folds == 3
