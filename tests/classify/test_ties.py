"""The tie rules, against their statement in plain Python."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

import naive
from savs.classify.classifier import _majority
from savs.classify.selector import rank_heads, score_heads
from savs.classify.similarity import ROUNDING, best_class

COARSE = st.integers(0, 4).map(lambda i: i / 4)  # few values, so that ties are the rule


def test_thousands_of_rankings_and_votes():
    rng = np.random.default_rng(0)
    tied = 0
    for _ in range(3000):
        n = int(rng.integers(1, 60))
        scores, tie_break = rng.integers(0, 5, (2, n)) / 4
        assert rank_heads(scores, tie_break).tolist() == naive.rank(scores.tolist(), tie_break.tolist())
        votes = rng.integers(0, 5, (4, n))
        assert _majority(votes, 5).tolist() == [naive.majority(row) for row in votes.tolist()]
        counts = np.sort(np.bincount(votes[0], minlength=5))
        tied += int(counts[-1] == counts[-2])
    assert tied > 300  # the rule was asked for


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(COARSE, COARSE), min_size=1, max_size=40))
def test_heads(pairs):
    scores, tie_break = (np.array(column) for column in zip(*pairs, strict=True))
    assert rank_heads(scores, tie_break).tolist() == naive.rank(scores.tolist(), tie_break.tolist())
    assert rank_heads(scores, np.zeros(len(scores))).tolist() == naive.rank(scores.tolist())


@settings(max_examples=200, deadline=None)
@given(st_np.arrays(np.intp, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=st.integers(0, 4)))
def test_votes(votes):
    assert _majority(votes, 5).tolist() == [naive.majority(row) for row in votes.tolist()]


@settings(max_examples=200, deadline=None)
@given(st_np.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=COARSE))
def test_classes(scores):
    expected = [row.index(max(row)) for row in scores.tolist()]
    assert best_class(scores).tolist() == expected
    # The last digits do not matter; what is larger than rounding does.
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, scores.shape) * ROUNDING
    assert best_class(scores + noise).tolist() == expected
    last = scores.copy()
    last[:, -1] = scores.max() + 1e-9
    assert (best_class(last) == scores.shape[1] - 1).all()


def test_margin_breaks_ties_of_accuracy_only():
    # Both heads are right on both examples, the second by more; the third is right once, by a mile.
    decisions = np.array([[[0.6, 0.4], [0.9, 0.1], [9.0, 0.0]], [[0.4, 0.6], [0.1, 0.9], [9.0, 0.0]]])
    accuracy, margin = score_heads(decisions, np.array([0, 1]), ranking="margin", temperature=1.0)
    assert rank_heads(accuracy, margin).tolist() == [1, 0, 2]
    accuracy, none = score_heads(decisions, np.array([0, 1]), ranking="accuracy", temperature=1.0)
    assert rank_heads(accuracy, none).tolist() == [0, 1, 2]
