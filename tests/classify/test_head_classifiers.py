"""Head classifiers: each against its definition, and each leave-one-out form against fitting again without i."""

import numpy as np
import pytest

from savs.classify import SAVClassifier
from savs.classify.head_classifiers import HEAD_CLASSIFIERS
from savs.classify.similarity import class_means, normalise, softmax

COUNTS = {"balanced": [4, 4, 4], "unbalanced": [2, 9, 3, 5], "two classes": [3, 2]}


def features(counts, *, n_heads=5, head_dim=7, padding=0, seed=0):
    """Continuous features; every second head has `padding` zero columns, as a narrower layer would."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    z = rng.normal(size=(len(y), n_heads, head_dim)) + rng.normal(size=(len(counts), n_heads, head_dim))[y]
    if padding:
        z[:, ::2, -padding:] = 0.0
    return z, y


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("name", ["centroid", "gda", "knn"])
def test_leave_one_out_is_fitting_again_without_each(name, counts, padding):
    z, y = features(counts, padding=padding)
    rule = HEAD_CLASSIFIERS[name]
    closed = rule.leave_one_out(z, y, len(counts))
    again = np.empty_like(closed)
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        again[i] = rule.fit(z[others], y[others], len(counts)).decide(z[i : i + 1])[0]
    if name == "gda":  # scores of a Gaussian are known up to a term that the classes of one example share
        closed, again = (scores - scores.mean(axis=-1, keepdims=True) for scores in (closed, again))
    np.testing.assert_allclose(closed, again, atol=1e-9, rtol=0)
    seen = rule.fit(z, y, len(counts)).decide(z)
    assert np.abs(softmax(seen) - softmax(closed)).max() > 1e-3  # the shots themselves would say something else


@pytest.mark.parametrize("name", ["gda", "knn"])
def test_padding_with_zeros_changes_nothing(name):
    z, y = features(COUNTS["unbalanced"])
    padded = np.pad(z, ((0, 0), (0, 0), (0, 4)))
    rule = HEAD_CLASSIFIERS[name]
    for scores in (lambda x: rule.fit(x, y, 4).decide(x), lambda x: rule.leave_one_out(x, y, 4)):
        np.testing.assert_allclose(softmax(scores(padded)), softmax(scores(z)), atol=1e-9)


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_gda_is_the_formula_of_hec(counts):
    """arXiv 2603.24181: P = d pinv((N - 1) S + tr(S) I), logits over a temperature of ten."""
    z, y = features(counts, head_dim=9)
    rule = HEAD_CLASSIFIERS["gda"]
    ours = softmax(rule.fit(z, y, len(counts)).decide(z) / rule.temperature)
    for head in range(z.shape[1]):
        x = z[:, head] / np.linalg.norm(z[:, head], axis=1, keepdims=True)
        mu = np.stack([x[y == c].mean(axis=0) for c in range(len(counts))])
        scatter = sum(np.outer(x[i] - mu[y[i]], x[i] - mu[y[i]]) for i in range(len(y)))
        covariance = scatter / (len(y) - 1)
        precision = 9 * np.linalg.pinv((len(y) - 1) * covariance + np.trace(covariance) * np.eye(9))
        for i in range(len(y)):
            logits = [
                -0.5 * (x[i] - mu[c]) @ precision @ (x[i] - mu[c]) + np.log(np.mean(y == c)) for c in range(len(counts))
            ]
            expected = np.exp(np.array(logits) / 10) / np.exp(np.array(logits) / 10).sum()
            np.testing.assert_allclose(ours[i, head], expected, atol=1e-9)


def test_gda_without_any_variance_says_nothing():
    """One example a class: the pseudo-inverse of a zero scatter is zero, and only the prior is left."""
    z, y = features([1, 1, 1])
    np.testing.assert_allclose(softmax(HEAD_CLASSIFIERS["gda"].fit(z, y, 3).decide(z)), 1 / 3, atol=1e-9)


def test_knn_shares_are_counted():
    z, y = features([6, 5, 4])
    shares = HEAD_CLASSIFIERS["knn"].fit(z, y, 3).decide(z)
    for i in range(len(y)):
        for head in range(z.shape[1]):
            x = z[:, head] / np.linalg.norm(z[:, head], axis=1, keepdims=True)
            nearest = sorted(range(len(y)), key=lambda j: (-float(x[i] @ x[j]), j))[:5]  # noqa: B023
            expected = [sum(y[j] == c for j in nearest) / 5 for c in range(3)]
            np.testing.assert_allclose(shares[i, head], expected)


@pytest.mark.parametrize("counts", [[8, 8], [6, 7, 8]], ids=["two classes", "three classes"])
def test_linear_probe_is_logistic_regression_on_directions(counts):
    from sklearn.linear_model import LogisticRegression

    z, y = features(counts, n_heads=2)
    heads = HEAD_CLASSIFIERS["linear"].fit(z, y, len(counts))
    probabilities = softmax(heads.decide(z))
    for head in range(2):
        x = normalise(z[:, head])
        expected = LogisticRegression(C=10.0, max_iter=1000).fit(x, y).predict_proba(x)
        np.testing.assert_allclose(probabilities[:, head], expected, atol=1e-9)


def test_linear_probe_has_no_closed_leave_one_out_form_and_says_so():
    z, y = features([3, 3])
    with pytest.raises(ValueError, match="cross_validation"):
        SAVClassifier(head_classifier="linear", scored_on="leave_one_out").fit(z, y)


def test_reliability_is_calms_formula():
    """arXiv 2602.07077: r[head, c] = mean over unseen examples of c of max(0, p_c - best other), normalised a class."""
    counts = [4, 6, 5]
    z, y = features(counts, n_heads=6)
    classifier = SAVClassifier.from_preset("calm").fit(z, y)
    reliability = np.zeros((6, 3))
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        means = class_means(z[rest], y[rest], 3)
        for head in range(6):
            cosines = [
                z[i, head] @ means[c, head] / np.linalg.norm(z[i, head]) / np.linalg.norm(means[c, head])
                for c in range(3)
            ]
            p = np.exp(np.array(cosines) / 0.07) / np.exp(np.array(cosines) / 0.07).sum()
            best_other = max(p[c] for c in range(3) if c != y[i])
            reliability[head, y[i]] += max(0.0, p[y[i]] - best_other) / counts[y[i]]
    weights = (reliability / reliability.sum(axis=0))[classifier.selected_heads_]
    np.testing.assert_allclose(classifier.head_weights_, weights, atol=1e-9)

    unit, means = normalise(z), normalise(class_means(z, y, 3))
    p = softmax(np.einsum("nhd,chd->nhc", unit, means) / 0.07)[:, classifier.selected_heads_]
    scores = (p * weights).sum(axis=1)
    np.testing.assert_allclose(classifier.predict_proba(z), scores / scores.sum(axis=1, keepdims=True), atol=1e-9)
