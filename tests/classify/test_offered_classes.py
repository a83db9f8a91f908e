"""Where only some classes may be the answer, every head chooses among these, as if it knew no others."""

import numpy as np
import pytest

from savs.classify import PRESETS, SAVClassifier
from savs.prediction import predictions_of


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    y = np.repeat([f"class {c}" for c in range(5)], 8)
    centres = rng.normal(size=(5, 12, 6))
    z = np.repeat(centres, 8, axis=0) + rng.normal(scale=1.5, size=(40, 12, 6))
    queries = np.repeat(centres, 4, axis=0) + rng.normal(scale=1.5, size=(20, 12, 6))
    may = np.zeros((20, 5), dtype=bool)
    for row in range(20):
        may[row, rng.choice(5, 2, replace=False)] = True
    return z, y, queries, may


@pytest.mark.parametrize("preset", PRESETS)
def test_no_other_class_is_answered_voted_for_or_has_a_share(problem, preset):
    z, y, queries, may = problem
    fitted = SAVClassifier.from_preset(preset, k=4).fit(z, y)
    shares = fitted.predict_proba(queries, may)
    assert np.all(shares[~may] == 0)
    assert np.allclose(shares.sum(axis=1), 1)
    for said in (fitted.predict(queries, may)[:, None], fitted.head_votes(queries, may)):
        assert all(may[row, fitted.classes_.tolist().index(label)] for row in range(20) for label in said[row])
    assert np.any(fitted.predict(queries) != fitted.predict(queries, may)), "the choice must matter here"


def test_a_head_that_errs_beyond_the_choice_still_votes_within_it(problem):
    z, y, queries, may = problem
    fitted = SAVClassifier(k=1).fit(z, y)
    kept = queries[:, fitted.selected_heads_[0]]
    means = fitted.class_means_[:, 0]
    cosines = (kept @ means.T) / np.linalg.norm(kept, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    by_hand = fitted.classes_[np.where(may, cosines, -np.inf).argmax(axis=1)]
    assert fitted.predict(queries, may).tolist() == by_hand.tolist()


@pytest.mark.parametrize("preset", PRESETS)
def test_offering_every_class_changes_nothing(problem, preset):
    z, y, queries, _ = problem
    fitted = SAVClassifier.from_preset(preset, k=4).fit(z, y)
    everything = np.ones((20, 5), dtype=bool)
    assert np.array_equal(fitted.predict(queries), fitted.predict(queries, everything))
    assert np.array_equal(fitted.predict_proba(queries), fitted.predict_proba(queries, everything))


def test_what_is_offered_must_fit_and_be_something(problem):
    z, y, queries, may = problem
    fitted = SAVClassifier(k=1).fit(z, y)
    for wrong in (may[:, :4], may[:3], np.zeros_like(may)):
        with pytest.raises(ValueError, match=r"expected \(20, 5\), with a class in every row"):
            fitted.predict(queries, wrong)


def test_predictions_are_among_what_is_offered(problem):
    z, y, queries, may = problem
    fitted = SAVClassifier(k=3).fit(z, y)
    answers = predictions_of(fitted, [str(i) for i in range(20)], queries, (), may)
    assert [answer.label for answer in answers] == fitted.predict(queries, may).tolist()
