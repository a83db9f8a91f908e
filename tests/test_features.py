"""`HeadId`, `HeadLayout` and `HeadFeatures`: names, order, shapes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.features import HeadFeatures, HeadId, HeadLayout


@given(st.integers(0, 10**4), st.integers(0, 10**4))
def test_a_head_is_read_back_from_its_name(layer, head):
    assert HeadId.parse(str(HeadId(layer, head))) == (layer, head)


def test_a_head_prints_as_layer_and_head():
    assert str(HeadId(14, 7)) == "L14H7"
    assert f"{HeadId(0, 11)}" == "L0H11"
    assert HeadId(2, 9) < HeadId(10, 0)  # by number, not by letter


@pytest.mark.parametrize("text", ["", "14.7", "L14", "H7L14", "L-1H0", "L1H2x", "l1h2"])
def test_other_names_are_refused(text):
    with pytest.raises(ValueError, match=f"'{text}' is not a head; expected the form L14H7"):
        HeadId.parse(text)


def test_a_grid_is_in_order():
    layout = HeadLayout.grid(3, 2, 5)
    assert [str(head) for head in layout.heads] == ["L0H0", "L0H1", "L1H0", "L1H1", "L2H0", "L2H1"]
    assert (layout.n_heads, layout.shape, layout.head_dim) == (6, (3, 2), 5)


def test_the_shape_is_the_grid_that_holds_every_head():
    assert HeadLayout((HeadId(1, 3), HeadId(4, 0)), 8).shape == (5, 4)


@pytest.mark.parametrize("heads", [[(1, 0), (0, 0)], [(0, 0), (0, 0)]], ids=["order", "twice"])
def test_heads_out_of_order_are_refused(heads):
    with pytest.raises(ValueError, match="unique and in ascending"):
        HeadLayout(tuple(HeadId(*head) for head in heads), 4)


def test_a_head_has_a_size():
    with pytest.raises(ValueError, match="head_dim must be positive, got 0"):
        HeadLayout.grid(1, 1, 0)


@pytest.fixture
def features():
    z = np.arange(4 * 6 * 5, dtype=np.float32).reshape(4, 6, 5)
    return HeadFeatures(z, tuple("abcd"), ("x", None, "y", "x"), HeadLayout.grid(3, 2, 5), "f00d")


def test_shapes_must_agree(features):
    with pytest.raises(ValueError, match=r"\(4, 6, 4\); ids and layout say \(4, 6, 5\)"):
        dataclasses.replace(features, z=features.z[..., 1:])
    with pytest.raises(ValueError, match="3 labels for 4 examples"):
        dataclasses.replace(features, labels=("x", "y", "x"))


def test_take_keeps_rows_together(features):
    taken = features.take([2, 0])
    assert (len(taken), taken.ids, taken.labels) == (2, ("c", "a"), ("y", "x"))
    np.testing.assert_array_equal(taken.z, features.z[[2, 0]])
    assert (taken.layout, taken.fingerprint) == (features.layout, "f00d")
    assert len(features.take(np.flatnonzero([False] * 4))) == 0
