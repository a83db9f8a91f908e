"""The vectorised classifier gives what the paper's plain loop gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from savs.classify import SAVClassifier
from savs.data.example import Example

# Vectors whose length is a power of two (or zero): every cosine among them is computed without any rounding, so both
# sides must agree on every tie, and there are dozens. Shots of a class are copies, so that the means are exact too.
EXACT_VECTORS = [
    (0, 0, 0, 0),
    *(tuple(sign * 4 * (i == axis) for i in range(4)) for axis in range(4) for sign in (1, -1)),
    *((2 * a, 2 * b, 2 * c, 2) for a in (1, -1) for b in (1, -1) for c in (1, -1)),
]


def assert_agree(z, y, queries, k):
    classifier = SAVClassifier(k=k).fit(z, y)
    loop = naive.fit_and_predict(z.tolist(), y.tolist(), queries.tolist(), k)
    np.testing.assert_array_equal(classifier.head_scores_, np.array(loop["right"]) / len(y))
    assert classifier.selected_heads_.tolist() == loop["selected"]
    assert classifier.head_votes(queries).tolist() == loop["votes"]
    assert classifier.predict(queries).tolist() == loop["labels"]


@pytest.mark.parametrize("seed", range(12))
def test_random_features(seed):
    rng = np.random.default_rng(seed)
    n_classes, n_heads, head_dim = rng.integers(2, 6), rng.integers(1, 40), rng.integers(2, 40)
    y = rng.permutation(np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 20)]))
    z = rng.normal(size=(len(y), n_heads, head_dim)) + 0.5 * rng.normal(size=(n_classes, n_heads, head_dim))[y]
    assert_agree(z, y, rng.normal(size=(15, n_heads, head_dim)), int(rng.integers(1, n_heads + 1)))


@pytest.mark.parametrize("kind", ["llama", "qwen2_vl"])
def test_features_of_a_model(kind, backbone, pictures):
    model = backbone(kind)
    media = [(picture,) if model.takes_images else () for picture in pictures(12)]
    z = model.head_activations([Example(str(i), "word " * (i % 5) + "x" * (i % 3), media[i]) for i in range(12)])
    assert_agree(z, np.arange(12) % 3, z + np.float32(0.01), 5)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_every_tie_goes_as_the_rule_says_where_arithmetic_is_exact(data):
    n_classes, n_heads = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 30))
    vectors = st.sampled_from(EXACT_VECTORS)
    of_class = data.draw(
        st.lists(st.lists(vectors, min_size=n_heads, max_size=n_heads), min_size=n_classes, max_size=n_classes)
    )
    queries = data.draw(st.lists(st.lists(vectors, min_size=n_heads, max_size=n_heads), min_size=1, max_size=8))
    y = np.array(data.draw(st.permutations([*range(n_classes)] * data.draw(st.integers(1, 4)))))
    z = np.array(of_class, dtype=float)[y]
    assert_agree(z, y, np.array(queries, dtype=float), data.draw(st.integers(1, n_heads)))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_small_integers_against_exact_fractions(data):
    """Scores and votes of features that tie by the dozen, judged in exact arithmetic.

    Two cosines that are equal as real numbers may differ in their last digit as floats; the package calls them equal
    and takes the lower class, and so does the fraction. Nothing is left out: at these sizes cosines that differ at
    all differ by far more than rounding.
    """
    n_classes, n_heads, head_dim = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 12)), 3
    y = np.array([*range(n_classes), *data.draw(st.lists(st.integers(0, n_classes - 1), max_size=8))])
    size = len(y) * n_heads * head_dim
    values = data.draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))
    z = np.array(values).reshape(len(y), n_heads, head_dim)
    sums = [[z[y == c, head].sum(axis=0).tolist() for c in range(n_classes)] for head in range(n_heads)]

    def nearest(x, head):
        order = [naive.exact_cosine_order(x.tolist(), total) for total in sums[head]]
        return order.index(max(order))

    votes = np.array([[nearest(z[i, head], head) for head in range(n_heads)] for i in range(len(y))])
    classifier = SAVClassifier(k=None).fit(z.astype(float), y)
    right = (votes == y[:, None]).sum(axis=0)
    np.testing.assert_array_equal(classifier.head_scores_, right / len(y))
    order = naive.rank(right.tolist())
    assert classifier.selected_heads_.tolist() == order
    np.testing.assert_array_equal(classifier.head_votes(z.astype(float)), votes[:, order])
    assert classifier.predict(z.astype(float)).tolist() == [naive.majority(row) for row in votes[:, order].tolist()]


@pytest.mark.parametrize("seed", range(5))
def test_classes_with_the_same_mean_tie_to_the_first(seed):
    """Equal columns of one matrix product may differ in the last digit (OpenBLAS), which must not choose a class."""
    rng = np.random.default_rng(seed)
    head_dim, n_classes = 67, 29
    z = np.repeat(rng.normal(size=(1, 8, head_dim)), 2 * n_classes, axis=0)
    y = np.repeat(np.arange(n_classes), 2)
    classifier = SAVClassifier(k=None).fit(z, y)
    assert (classifier.head_votes(rng.normal(size=(31, 8, head_dim))) == 0).all()
    np.testing.assert_array_equal(classifier.head_scores_, 1 / n_classes)
