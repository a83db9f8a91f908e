import numpy as np
import pytest
from scipy import stats

from savs.intervals import (
    clustered_interval,
    draws_interval,
    holm,
    mcnemar,
    paired_difference,
    sign_flip_test,
    two_sample_interval,
    wilson_interval,
)


def test_wilson_has_width_where_nothing_is_wrong():
    interval = wilson_interval(30, 30)
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(30 / (30 + stats.norm.ppf(0.975) ** 2))  # closed form at n right of n


def test_clusters_of_one_agree_with_the_binomial():
    right = np.repeat([1, 0], [140, 60])
    interval, plain = clustered_interval(right, np.ones(200)), wilson_interval(140, 200)
    assert interval.value == 0.7
    assert (interval.low, interval.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_clusters_weigh_by_their_size():
    assert clustered_interval([1, 0, 9], [1, 1, 18]).value == 0.5
    even = clustered_interval([1, 2, 10], [2, 4, 20])
    assert (even.low, even.high) == (0.5, 0.5), "a cluster's points and its size are resampled together"


def test_clusters_that_are_all_right_or_single_tell_little():
    perfect = clustered_interval([4] * 10, [4] * 10)
    assert (perfect.value, perfect.low) == (1.0, wilson_interval(10, 10).low)
    assert perfect.method == "Wilson over groups"
    single = clustered_interval([3], [4])
    assert (single.value, single.low, single.high) == (0.75, 0.0, 1.0)


def test_two_samples_need_two_of_each():
    difference = two_sample_interval([1.0, 2.0, 3.0], [0.0, 0.5], lambda a, b: float(a.mean() - b.mean()))
    assert difference.value == 1.75
    assert 0.5 <= difference.low < 1.75 < difference.high <= 3.0
    alone = two_sample_interval([1.0], [0.0, 0.5], lambda a, b: float(a.mean() > b.mean()))
    assert (alone.low, alone.high) == (0.0, 1.0)


def simulate(rng, n_draws, n_examples, spread):
    """Right and wrong where examples differ in difficulty and draws differ by `spread` in log odds."""
    difficulty = rng.normal(1.5, 1.5, n_examples)
    of_draw = rng.normal(0, spread, (n_draws, 1))
    return rng.random((n_draws, n_examples)) < 1 / (1 + np.exp(-(difficulty + of_draw)))


def coverage(n_draws, spread, interval):
    rng = np.random.default_rng(0)
    truth = simulate(rng, 1000, 1000, spread).mean()
    found = [interval(simulate(rng, n_draws, 100, spread)) for _ in range(150)]
    return np.mean([low <= truth <= high for low, high in found])


def crossed(right):
    interval = draws_interval(right, n_resamples=200)
    return interval.low, interval.high


def pooled(right):
    """The mistake to avoid: taking the answers of all draws for independent examples."""
    interval = wilson_interval(int(right.sum()), right.size)
    return interval.low, interval.high


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_the_interval_over_draws_covers_the_truth_about_as_often_as_it_says(spread):
    assert coverage(5, spread, crossed) >= 0.9
    assert coverage(5, spread, pooled) < 0.85, "negative control"


def test_the_draws_interval_counts_both_draws_and_examples():
    rng = np.random.default_rng(0)
    same = np.tile(rng.random(200) < 0.8, (5, 1))
    only_examples = draws_interval(same)
    one = wilson_interval(int(same[0].sum()), 200)
    assert (only_examples.low, only_examples.high) == pytest.approx((one.low, one.high), abs=0.012)
    shares = np.linspace(0.6, 1.0, 5)
    differing = np.array([rng.permutation(200) < 200 * share for share in shares])
    assert draws_interval(differing).value == pytest.approx(0.8)
    wide = draws_interval(differing)
    standard_error = np.sqrt(np.var(shares, ddof=1) / 5)  # of a mean of five; the examples add little
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * standard_error, rel=0.08)
    assert wide.high - wide.low > 2 * (only_examples.high - only_examples.low)


def test_draws_are_deterministic_by_seed():
    right = simulate(np.random.default_rng(1), 3, 80, 0.3)
    assert draws_interval(right, seed=4) == draws_interval(right, seed=4)
    assert draws_interval(right, seed=4) != draws_interval(right, seed=5)


def test_all_right_in_every_draw_is_not_certainty():
    interval = draws_interval(np.ones((3, 50), dtype=bool))
    assert (interval.value, interval.low) == (1.0, wilson_interval(50, 50).low)


def test_one_draw_says_that_it_is_one():
    assert draws_interval([[True, False, True]]).method == "bootstrap over examples, one draw"


@pytest.mark.parametrize("wrong", [[1, 0], [[1.5, 1.0]], np.empty((0, 3)), np.empty((3, 0))])
def test_what_is_not_draws_by_examples_is_refused(wrong):
    with pytest.raises(ValueError, match="correct"):
        draws_interval(wrong)


def test_a_paired_difference_is_tighter_than_two_separate_intervals():
    rng = np.random.default_rng(2)
    a = rng.random((3, 300)) < 0.8
    b = a.copy()
    b[:, :15] = False  # b is a with some examples lost, so the difference has one sign
    difference = paired_difference(a, b)
    assert difference.value == pytest.approx(a.mean() - b.mean())
    assert 0 < difference.low < difference.value < difference.high
    assert draws_interval(a).low < draws_interval(b).high, "unpaired, the two would not be told apart"
    mirrored = paired_difference(b, a)
    assert (mirrored.value, mirrored.low) == pytest.approx((-difference.value, -difference.high))


def test_a_single_cluster_tells_nothing_of_its_spread():
    right = np.array([[1, 0, 1, 1], [1, 0, 0, 1]])
    alone = draws_interval(right, clusters=[7, 7, 7, 7])
    assert (alone.low, alone.high, alone.method) == (0.0, 1.0, "none: a single group")
    lead = paired_difference(right, 1 - right, clusters=[7, 7, 7, 7])
    assert (lead.low, lead.high) == (-1.0, 1.0)
    assert draws_interval(right, clusters=[7, 7, 8, 8]).low > 0.0, "two tell something"


def test_clusters_are_resampled_whole():
    """Twenty clusters of ten alike: the interval is that of twenty, whatever the number of examples, part by part."""
    rng = np.random.default_rng(0)
    few = rng.random((3, 20)) < 0.6
    many, which = np.repeat(few, 10, axis=1), np.repeat(np.arange(20), 10)
    whole, alone = draws_interval(many, clusters=which), draws_interval(few)
    assert (whole.value, whole.low, whole.high) == pytest.approx((alone.value, alone.low, alone.high))
    assert draws_interval(many).high - draws_interval(many).low < 0.7 * (whole.high - whole.low), "negative control"
    difference = paired_difference(many, ~many, clusters=which)
    assert difference.method == "paired bootstrap over 3 draws and groups"
    assert difference.low == pytest.approx(paired_difference(few, ~few).low)
    parts = np.repeat(["a", "b"], 100)
    assert draws_interval(many, parts=parts, clusters=which).low == pytest.approx(
        draws_interval(few, parts=parts[::10]).low
    )
    assert draws_interval(few, clusters=np.arange(20)) == draws_interval(few), "each alone is none"
    assert draws_interval(np.ones((3, 200)), clusters=which).low == wilson_interval(20, 20).low
    with pytest.raises(ValueError, match="clusters must name that of each of 20 examples"):
        draws_interval(few, clusters=which)


def test_a_method_without_draws_is_compared_to_each_draw():
    a, b = np.array([[1, 1, 0, 1], [1, 0, 0, 1]]), np.array([[1, 0, 0, 0]])
    assert paired_difference(a, b).value == (5 / 8) - (1 / 4)
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(3, 4\)"):
        paired_difference(a, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="same draws and examples"):
        paired_difference(a, np.zeros((2, 5)))


def test_mcnemar_by_hand():
    # a alone is right five times, b alone never: two tails of (1/2)^5
    a, b = [1] * 8 + [0] * 2, [1] * 3 + [0] * 7
    assert mcnemar(a, b) == pytest.approx(2 / 32)
    assert mcnemar(b, a) == mcnemar(a, b)
    assert mcnemar(a, a) == 1.0
    with pytest.raises(ValueError, match="one length"):
        mcnemar([1, 0], [1])


def test_parts_weigh_alike_whatever_their_size():
    right = np.array([[1] * 90 + [0] * 10], dtype=bool)
    parts = ["large"] * 80 + ["small"] * 20
    assert draws_interval(right, parts=parts).value == pytest.approx((1.0 + 0.5) / 2)
    assert draws_interval(right).value == pytest.approx(0.9)
    alone = draws_interval(right[:, 80:])
    halved = draws_interval(right, parts=parts)  # the large part is without error, so the small one's spread is halved
    assert halved.high - halved.low == pytest.approx((alone.high - alone.low) / 2, abs=0.02)
    with pytest.raises(ValueError, match="100 examples"):
        draws_interval(right, parts=["large"])


def test_a_difference_is_averaged_over_the_same_parts():
    a, b = np.ones((1, 100), dtype=bool), np.array([[True] * 80 + [False] * 20])
    parts = [0] * 80 + [1] * 20
    assert paired_difference(a, b, parts=parts).value == pytest.approx(0.5)
    assert paired_difference(a, b).value == pytest.approx(0.2)


def test_shares_of_groups_count_as_much_as_their_points():
    assert draws_interval([[0.0, 0.5, 1.0, 0.5]]).value == 0.5


def test_flipping_signs_is_mcnemar_with_one_draw():
    rng = np.random.default_rng(0)
    for share in (0.5, 0.6, 0.8):
        a, b = rng.random(60) < share, rng.random(60) < 0.5
        assert sign_flip_test([a], [b]) == pytest.approx(mcnemar(a, b), abs=0.02)
    assert sign_flip_test([a], [a]) == 1.0


def test_flipping_signs_errs_as_often_as_it_says():
    rng = np.random.default_rng(1)
    alike = [
        sign_flip_test(rng.random((3, 40)) < 0.6, rng.random((3, 40)) < 0.6, n_resamples=500, seed=i)
        for i in range(200)
    ]
    assert 0.01 <= np.mean(np.array(alike) < 0.05) <= 0.10


def test_clusters_are_flipped_together():
    """Ten wins in one cluster are one win: without clusters they would look like ten."""
    a, b = np.repeat([1, 0, 1], 10)[None], np.repeat([0, 0, 1], 10)[None]
    assert sign_flip_test(a, b) < 0.01
    assert sign_flip_test(a, b, clusters=np.repeat([0, 1, 2], 10)) == 1.0


def test_methods_on_other_examples_cannot_be_paired():
    with pytest.raises(ValueError, match="same examples"):
        sign_flip_test([[1, 0]], [[1, 0, 1]])


def test_several_tests_are_held_to_more():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
