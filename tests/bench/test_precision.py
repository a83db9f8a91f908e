"""Average precision of resampled examples is scikit-learn's, and its intervals are over draws and examples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from savs.bench.precision import Ranking, average_precision, difference, interval

RNG = np.random.default_rng(0)
POSITIVE = RNG.random(60) < 0.3


def ranking(strength, *, draws=3, seed=1, parts=None):
    """Scores of few values, so that many are equal; the higher `strength`, the better they rank."""
    noise = np.random.default_rng(seed).random((draws, len(POSITIVE)))
    return Ranking(np.round(noise + strength * POSITIVE, 1), POSITIVE, parts)


def test_it_is_scikit_learns_with_equal_scores_and_repeated_examples():
    counts = RNG.integers(0, 3, size=(20, len(POSITIVE)))
    scores = ranking(0.3).scores[0]
    for found, times in zip(average_precision(scores, POSITIVE, counts), counts, strict=True):
        rows = np.repeat(np.arange(len(POSITIVE)), times)
        assert found == pytest.approx(average_precision_score(POSITIVE[rows], scores[rows]))


def test_the_value_is_the_mean_over_draws_and_parts():
    parts = tuple("ab"[i % 2] for i in range(len(POSITIVE)))
    whole, by_part = ranking(0.3), ranking(0.3, parts=parts)
    assert interval(whole).value == pytest.approx(np.mean([average_precision_score(POSITIVE, s) for s in whole.scores]))
    of = np.array(parts)
    each = [average_precision_score(POSITIVE[of == p], s[of == p]) for p in "ab" for s in by_part.scores]
    assert interval(by_part).value == pytest.approx(np.mean(each))


def test_the_interval_holds_the_value_and_widens_where_draws_differ():
    alike, apart = ranking(0.3), ranking(0.3)
    apart.scores[1] = 1 - apart.scores[1]
    found, wide = interval(alike), interval(apart)
    assert 0 < found.low < found.value < found.high < 1
    assert wide.high - wide.low > found.high - found.low
    assert found.method == "bootstrap over 3 draws and examples"
    assert interval(ranking(0.3, draws=1)).method == "bootstrap over examples, one draw"


def test_no_error_is_not_certainty():
    found = interval(ranking(5.0))
    assert (found.value, found.high) == (1.0, 1.0) and found.low < 0.9
    assert "Wilson" in found.method


def test_the_difference_is_paired():
    good, bad, one = ranking(0.6), ranking(0.1), ranking(0.1, draws=1)
    ahead, behind = difference(good, bad), difference(bad, good)
    assert ahead.value == pytest.approx(interval(good).value - interval(bad).value) == pytest.approx(-behind.value)
    assert ahead.low > 0 > behind.high
    same = difference(good, good)
    assert (same.low, same.value, same.high) == (0, 0, 0), "on the same resamples a method never leads itself"
    assert difference(good, one).value == pytest.approx(interval(good).value - interval(one).value)
    two = Ranking(good.scores[:2], POSITIVE)
    assert difference(good, Ranking(bad.scores[:2], POSITIVE)).value == pytest.approx(
        interval(two).value - interval(Ranking(bad.scores[:2], POSITIVE)).value
    ), "only the draws that both have count"
