"""`SAVClassifier` as a scikit-learn estimator, and what must not change its answers."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from savs.classify import PRESETS, SAVClassifier, readers


def features(n_classes=4, shots=10, n_heads=30, head_dim=16, seed=0, dtype=np.float32):
    """Heads of very different worth: some tell the classes apart, many do not."""
    rng = np.random.default_rng(seed)
    y = np.repeat([f"class {c}" for c in range(n_classes)], shots)
    centres = rng.normal(size=(n_classes, n_heads, head_dim)) * rng.uniform(0, 1.2, (1, n_heads, 1))
    z = np.repeat(centres, shots, axis=0) + rng.normal(size=(len(y), n_heads, head_dim))
    return z.astype(dtype), y


@pytest.mark.parametrize("preset", PRESETS)
def test_scikit_learn_accepts_every_preset(preset):
    skipped = {
        result["check_name"]
        for result in check_estimator(SAVClassifier.from_preset(preset), on_fail="raise", on_skip=None)
        if result["status"] != "passed"
    }
    assert skipped <= {"check_array_api_input"}  # asks for packages that are not installed, of every estimator


def test_clone_keeps_every_choice():
    classifier = SAVClassifier.from_preset("calm", k=7, temperature=0.5)
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.get_params()["k"] == 7


def test_grid_search_over_three_dimensional_features():
    z, y = features()
    search = GridSearchCV(SAVClassifier(), {"k": [1, 5, 20], "head_classifier": ["centroid", "gda"]}, cv=3).fit(z, y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.selected_heads_.shape == (search.best_params_["k"],)


def test_cross_validation_tells_signal_from_noise():
    z, y = features()
    assert cross_val_score(SAVClassifier(), z, y, cv=4).mean() > 0.9
    assert cross_val_score(SAVClassifier(), z, np.random.default_rng(0).permutation(y), cv=4).mean() < 0.5


def test_pipelines_before_and_behind():
    z, y = features()
    scaled = make_pipeline(FunctionTransformer(lambda x: x / 7), SAVClassifier()).fit(z, y)
    assert (scaled.predict(z) == SAVClassifier().fit(z, y).predict(z)).all()  # cosines know no scale
    embedded = make_pipeline(SAVClassifier(k=5), LogisticRegression(max_iter=500)).fit(z, y)
    assert embedded[0].transform(z).shape == (40, 5 * 16)
    assert embedded.score(z, y) > 0.9


def test_transform_is_the_selected_columns():
    z, y = features()
    classifier = SAVClassifier(k=6).fit(z, y)
    np.testing.assert_array_equal(classifier.transform(z), z[:, classifier.selected_heads_].reshape(len(z), -1))


def test_two_dimensions_are_one_head():
    z, y = features()
    flat, deep = SAVClassifier().fit(z[:, 3], y), SAVClassifier().fit(z[:, 3:4], y)
    np.testing.assert_array_equal(flat.head_scores_, deep.head_scores_)
    assert (flat.predict(z[:, 3]) == deep.predict(z[:, 3:4])).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_compact_and_stored_classifiers_answer_alike(preset):
    z, y = features(n_heads=12)
    new, _ = features(n_heads=12, seed=1)
    classifier = SAVClassifier.from_preset(preset, k=5).fit(z, y)
    kept = new[:, classifier.selected_heads_]
    compact = classifier.compact()
    again = SAVClassifier.from_tensors(classifier.get_params(), classifier.classes_, compact.tensors())
    assert {array.dtype.name for array in compact.tensors().values()} <= {"float32", "int64"}
    for name, array in compact.tensors().items():
        np.testing.assert_array_equal(array, again.tensors()[name], err_msg=name)
    np.testing.assert_array_equal(again.predict_proba(kept), compact.predict_proba(kept))
    np.testing.assert_array_equal(again.head_votes(kept), compact.head_votes(kept))
    np.testing.assert_array_equal(compact.predict(kept), classifier.predict(new))
    np.testing.assert_allclose(compact.predict_proba(kept), classifier.predict_proba(new), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_shots_changes_nothing(seed):
    """To the last bit for the paper's rule; few-valued features make heads tie by the dozen."""
    z, y = features(seed=seed)
    z[:, ::2] = np.round(z[:, ::2])
    first = SAVClassifier(k=8).fit(z, y)
    rng = np.random.default_rng(seed)
    for _ in range(25):
        order = rng.permutation(len(y))
        other = SAVClassifier(k=8).fit(z[order], y[order])
        np.testing.assert_array_equal(other.selected_heads_, first.selected_heads_)
        np.testing.assert_array_equal(other.head_scores_, first.head_scores_)
        np.testing.assert_array_equal(other.class_means_, first.class_means_)
        np.testing.assert_array_equal(other.head_weights_, first.head_weights_)


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - {"linear"}))
def test_the_order_of_the_shots_changes_no_answer_of_any_preset(preset):
    z, y = features(n_heads=12)
    z[:, 0] = z[0, 0]  # a head that attends to the first token alone: all shots are equally near
    order = np.random.default_rng(1).permutation(len(y))
    first = SAVClassifier.from_preset(preset, k=6).fit(z, y)
    other = SAVClassifier.from_preset(preset, k=6).fit(z[order], y[order])
    np.testing.assert_array_equal(other.selected_heads_, first.selected_heads_)
    np.testing.assert_allclose(other.head_scores_, first.head_scores_, atol=1e-12)
    np.testing.assert_allclose(other.predict_proba(z), first.predict_proba(z), atol=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_size_of_blocks_changes_nothing(preset, monkeypatch):
    z, y = features(n_heads=9)
    whole = SAVClassifier.from_preset(preset, k=4).fit(z, y)
    expected = whole.predict_proba(z)
    for size in (1, 2000, 5000):
        monkeypatch.setattr(readers, "BLOCK_ELEMENTS", size)
        blocked = SAVClassifier.from_preset(preset, k=4).fit(z, y)
        # Counts are exact; a mean of probabilities may be summed in another order.
        np.testing.assert_allclose(blocked.head_scores_, whole.head_scores_, rtol=0, atol=1e-15 * (preset == "hec"))
        np.testing.assert_array_equal(blocked.selected_heads_, whole.selected_heads_)
        np.testing.assert_allclose(blocked.predict_proba(z), expected, atol=1e-12)


@pytest.mark.parametrize("preset", ["sav", "sav-loo", "gda-loo", "knn"])
def test_memory_does_not_grow_with_the_number_of_heads(preset, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK_ELEMENTS", 2**16)

    def peak(n_heads):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(200, n_heads, 8)).astype(np.float32)
        y = np.arange(200) % 4
        classifier = SAVClassifier.from_preset(preset, k=4)
        tracemalloc.start()
        classifier.fit(z, y)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    few, many = peak(100), peak(800)
    block = 8 * 2**16  # bytes
    assert many < 40 * block  # a handful of working arrays of one block each, for the hungriest rule
    assert many < few + 2 * block  # eight times the heads are 4.5 MB more of features, none of it copied


def test_memory_of_neighbours_does_not_grow_with_the_square_of_the_examples(monkeypatch):
    monkeypatch.setattr(readers, "BLOCK_ELEMENTS", 2**16)
    z = np.random.default_rng(0).normal(size=(1600, 3, 8)).astype(np.float32)
    y = np.arange(1600) % 4
    tracemalloc.start()
    SAVClassifier.from_preset("knn", k=2).fit(z, y).predict(z)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 0.5 * 8 * len(z) ** 2  # every shot beside every other at one head


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(0, 10**6))
def test_blocks_cover_every_item_once(n_items, elements):
    slices = list(readers.blocks(n_items, elements))
    assert [i for s in slices for i in range(s.start, s.stop)] == list(range(n_items))
    assert all((s.stop - s.start) * elements <= readers.BLOCK_ELEMENTS or s.stop - s.start == 1 for s in slices)


def test_presets_name_choices_that_differ():
    assert PRESETS["sav"] == {}
    params = {name: SAVClassifier.from_preset(name).get_params() for name in PRESETS}
    assert len({str(p) for p in params.values()}) == len(PRESETS)
    hec = params["hec"]
    assert (hec["head_classifier"], hec["ranking"], hec["scored_on"]) == ("gda", "probability", "shots")
    assert hec["combination"] == "mean_probability"
    calm = params["calm"]
    assert (calm["k"], calm["ranking"], calm["scored_on"]) == (None, "margin", "leave_one_out")
    with pytest.raises(ValueError, match="'savs'.*sav, sav-loo"):
        SAVClassifier.from_preset("savs")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"k": 0}, "k=0;"),
        ({"k": 2.5}, "k=2.5;"),
        ({"k": "20"}, "k='20';"),
        ({"k": True}, "k=True;"),
        ({"head_classifier": "svm"}, "head_classifier='svm'; choose one of centroid, gda, knn, linear"),
        ({"ranking": "auc"}, "ranking='auc'; choose one of accuracy"),
        ({"scored_on": "loo"}, "scored_on='loo'; choose one of shots"),
        ({"combination": "mean"}, "combination='mean'; choose one of majority"),
        ({"temperature": 0}, "temperature=0;"),
        ({"temperature": -1.5}, "temperature=-1.5;"),
    ],
)
def test_a_bad_choice_is_shown(params, message):
    z, y = features()
    with pytest.raises(ValueError, match=message):
        SAVClassifier(**params).fit(z, y)


def test_bad_data_are_shown():
    z, y = features()
    with pytest.raises(ValueError, match="got one class, 'class 0'"):
        SAVClassifier().fit(z[:5], y[:5])
    few = np.r_[0:10, 10]
    with pytest.raises(ValueError, match="^class 'class 1' has one example"):
        SAVClassifier(scored_on="leave_one_out").fit(z[few], y[few])
    assert SAVClassifier().fit(z[few], y[few]).classes_.tolist() == ["class 0", "class 1"]
    with pytest.raises(ValueError, match=r"\(40, 30, 16, 1\)"):
        SAVClassifier().fit(z[..., None], y)
    fitted = SAVClassifier().fit(z, y)
    with pytest.raises(ValueError, match="heads have 15 dimensions; fitted with 16"):
        fitted.predict(z[..., 1:])
    with pytest.raises(ValueError, match="29 features"):
        fitted.predict(z[:, 1:])


def test_the_best_head_decides_a_tied_vote_and_shares_are_shares():
    z, y = features(n_classes=3, n_heads=4)
    classifier = SAVClassifier(k=4).fit(z, y)
    votes, shares = classifier.head_votes(z), classifier.predict_proba(z)
    for row, share, label in zip(votes, shares, classifier.predict(z), strict=True):
        counts = [np.mean(row == c) for c in classifier.classes_]
        np.testing.assert_allclose(share, counts)
        tied = [c for c, count in zip(classifier.classes_, counts, strict=True) if count == max(counts)]
        assert label == next(vote for vote in row if vote in tied)


@pytest.mark.parametrize("preset", ["sav", "hec", "calm", "knn"])
def test_answers_come_in_blocks_of_examples_that_change_nothing(preset, monkeypatch):
    """Memory must not grow with examples x heads x classes."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 4)
    X = rng.normal(size=(24, 5, 8)) + y[:, None, None]
    new = rng.normal(size=(50, 5, 8)) + rng.integers(0, 6, 50)[:, None, None]
    offered = rng.random((50, 6)) < 0.5
    offered[:, 2] = True
    classifier = SAVClassifier.from_preset(preset, k=3).fit(X, y)
    expected = [f(new, offered) for f in (classifier.predict, classifier.predict_proba, classifier.head_votes)]
    decide, sizes = type(classifier.heads_).decide, []
    monkeypatch.setattr(readers, "BLOCK_ELEMENTS", 7 * 3 * 8)
    monkeypatch.setattr(type(classifier.heads_), "decide", lambda self, z: sizes.append(len(z)) or decide(self, z))
    in_blocks = [f(new, offered) for f in (classifier.predict, classifier.predict_proba, classifier.head_votes)]
    assert sizes == [7, 7, 7, 7, 7, 7, 7, 1] * 3
    np.testing.assert_array_equal(in_blocks[0], expected[0])
    np.testing.assert_allclose(in_blocks[1], expected[1], rtol=1e-12)
    np.testing.assert_array_equal(in_blocks[2], expected[2])
