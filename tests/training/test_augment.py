"""An augmented picture is another picture of the same thing: three in ten are out of focus, none is the one it was."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

import augment  # noqa: E402
import images  # noqa: E402
from fetch import Pictogram  # noqa: E402


@pytest.fixture
def edges():
    """Black and white squares: blurring them makes greys."""
    board = np.indices((64, 64)).sum(0) // 8 % 2 * 255
    return Image.fromarray(np.repeat(board[..., None], 3, -1).astype(np.uint8))


def sharpness(image):
    return np.abs(np.diff(np.asarray(image, np.float32), axis=0)).max()


def test_three_of_ten_are_out_of_focus(edges):
    rng = np.random.default_rng(0)
    blurred = [sharpness(augment.blur(edges, rng)) < sharpness(edges) for _ in range(1000)]
    assert 0.25 < np.mean(blurred) < 0.35


def pictogram(picture):
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return Pictogram(stream.getvalue(), "1F600", "board", "games", "boards", held_out=False)


DRAW = {
    "scene": lambda picture: images._draw_scene(0),
    "pictogram": lambda picture: images._draw_pictogram((pictogram(picture), 0)),
    "letter": lambda picture: images._draw_letter(0),
    "easy": lambda picture: images._draw_easy((picture, 0)),
}


@pytest.mark.parametrize("kind", DRAW)
def test_every_kind_of_image_is_out_of_focus_at_times(kind, edges, monkeypatch):
    sharp, blurred = (
        (monkeypatch.setattr(augment, "BLURRED", share), DRAW[kind](edges).astype(int))[1] for share in (0.0, 1.0)
    )
    assert np.abs(sharp - blurred).max() > 20


def test_no_two_are_alike_and_the_same_number_draws_the_same(edges):
    drawn = [augment.augment(edges, np.random.default_rng(seed), strong=True) for seed in (0, 1, 0)]
    assert (drawn[0] == drawn[2]).all() and (drawn[0] != drawn[1]).any()
    assert drawn[0].shape == (64, 64, 3) and drawn[0].dtype == np.uint8
