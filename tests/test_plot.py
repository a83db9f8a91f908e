import base64
import itertools
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from savs.data.example import Example
from savs.evaluation import evaluate
from savs.features import HeadId, HeadLayout
from savs.intervals import Interval
from savs.plot import (
    PALETTE,
    accuracy_curve,
    class_colours,
    comparison,
    confusion,
    figure_bytes,
    figure_data_uri,
    head_grid,
    tsne,
    votes,
)
from savs.prediction import Prediction

LAYOUT = HeadLayout.grid(6, 4, 8)
SCORES = np.random.default_rng(0).random(24)
SELECTED = [LAYOUT.heads[i] for i in np.argsort(-SCORES)[:5]]


def report(truth, said, *, unmatched=None):
    examples = [Example(id=str(i), text="", label=label) for i, label in enumerate(truth)]
    answers = [Prediction(str(i), label, {}, {}) for i, label in enumerate(said)]
    return evaluate(examples, answers, unmatched=unmatched)


def prediction(*cast):
    return Prediction("a", cast[0], {}, {HeadId(i, 0): vote for i, vote in enumerate(cast)})


def patches(figure, gid):
    return [patch for patch in figure.axes[0].patches if patch.get_gid() == gid]


def texts(axes):
    return [text.get_text() for text in axes.texts]


FIGURES = {
    "head_grid": lambda: head_grid(LAYOUT, SCORES, SELECTED, title="heads"),
    "confusion": lambda: confusion(report(["a", "b"], ["a", "a"])),
    "curve": lambda: accuracy_curve([1, 8], [0.5, 0.9], [0.4, 0.8], [0.6, 1.0], xlabel="shots"),
    "votes": lambda: votes(prediction("a", "b"), ["a", "b"]),
    "tsne": lambda: tsne([[0, 0], [1, 1]], ["a", "b"]),
    "comparison": lambda: comparison({"SAVs": Interval(0.9, 0.8, 0.95, "Wilson")}, chance=0.5),
}


def test_the_head_grid_shows_the_scores_and_outlines_the_selected_heads():
    figure = head_grid(LAYOUT, SCORES, SELECTED)
    axes = figure.axes[0]
    assert np.array_equal(axes.images[0].get_array(), SCORES.reshape(6, 4))
    assert axes.images[0].origin == "lower", "layer 0 stands at the bottom"
    outlined = [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in patches(figure, "selected")]
    assert outlined == [tuple(head) for head in SELECTED]
    ranks = {text.get_text(): text.get_position() for text in axes.texts}
    assert ranks == {str(i): (head.head, head.layer) for i, head in enumerate(SELECTED, start=1)}


def test_the_head_grid_leaves_blank_what_is_no_head():
    layout = HeadLayout((HeadId(0, 0), HeadId(1, 0), HeadId(1, 1)), 8)
    shown = head_grid(layout, [0.1, 0.2, 0.3], []).axes[0].images[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == [[False, True], [False, False]]
    assert (shown[0, 0], shown[1, 0], shown[1, 1]) == (0.1, 0.2, 0.3)


def test_the_head_grid_refuses_what_does_not_fit_the_layout():
    with pytest.raises(ValueError, match=r"\[24\].*shape \(6, 4\)"):
        head_grid(LAYOUT, SCORES.reshape(6, 4), SELECTED)
    with pytest.raises(ValueError, match="L9H9"):
        head_grid(LAYOUT, SCORES, [HeadId(9, 9)])


def test_confusion_shades_by_the_share_of_the_row_and_writes_counts():
    figure = confusion(report(["a"] * 4 + ["b"], ["a", "a", "a", "b", "b"]))
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 1.0]]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "3", (1, 0): "1", (1, 1): "1"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_xlabel() == "predicted"


def test_confusion_says_how_many_answers_matched_nothing():
    figure = confusion(report(["a", "a", "b", "b"], ["a", "?", "b", "b"], unmatched="?"))
    assert figure.axes[0].images[0].get_array().tolist() == [[0.5, 0.0], [0.0, 1.0]]
    assert "25.0% of answers matched no class" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("n", [2, 40])
def test_confusion_labels_do_not_overlap(n):
    classes = [f"a rather long name {i:02}" for i in range(n)]
    figure = confusion(report(classes, classes))
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))
    assert all(0 <= box.y0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_the_curve_shows_means_interval_and_baselines():
    figure = accuracy_curve(
        [1, 4, 16],
        [0.5, 0.7, 0.9],
        [0.4, 0.6, 0.8],
        [0.6, 0.8, 1.0],
        xlabel="shots a class",
        baselines={"chance": 0.10, "zero-shot": 0.11},
    )
    axes = figure.axes[0]
    curve, *lines = axes.lines
    assert curve.get_xydata().tolist() == [[1, 0.5], [4, 0.7], [16, 0.9]]
    assert [line.get_ydata()[0] for line in lines] == [0.10, 0.11]
    band = axes.collections[0].get_paths()[0].vertices
    assert {(16.0, 0.8), (16.0, 1.0), (1.0, 0.4)} <= {tuple(point) for point in band.tolist()}
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4", "16"]
    assert texts(axes) == ["SAVs  90%", "chance  10%", "zero-shot  11%"]
    figure.draw_without_rendering()
    _, chance, zero_shot = (text.get_window_extent() for text in axes.texts)
    assert chance.y1 <= zero_shot.y0 + 1, "labels of close baselines are moved apart"


def test_a_short_axis_is_linear():
    figure = accuracy_curve([5, 10, 20], [0.5] * 3, [0.4] * 3, [0.6] * 3, xlabel="shots")
    assert figure.axes[0].get_xscale() == "linear"


def test_votes_are_squares_in_the_colours_of_their_classes():
    figure = votes(prediction("b", "a", "b"), ["a", "b", "c"])
    squares = patches(figure, "vote")
    assert [to_hex(square.get_facecolor()).upper() for square in squares] == [PALETTE[1], PALETTE[0], PALETTE[1]]
    assert [square.get_x() for square in squares] == sorted(square.get_x() for square in squares)
    assert texts(figure.axes[0]) == ["b ×2", "a ×1"]
    with pytest.raises(ValueError, match="'z'"):
        votes(prediction("z"), ["a"])
    with pytest.raises(ValueError, match="none"):
        votes(Prediction("a", "a", {}, {}), ["a"])


def test_many_votes_take_more_rows():
    squares = patches(votes(prediction(*"ab" * 25), ["a", "b"]), "vote")
    assert len(squares) == 50
    assert len({square.get_y() for square in squares}) == 3


def test_tsne_draws_each_class_in_its_colour_and_names_it():
    points = np.array([[0.0, 0.0], [1.0, 9.0], [2.0, 0.0]])
    axes = tsne(points, ["b", "c", "b"], classes=["a", "b", "c"]).axes[0]
    assert texts(axes) == ["b", "c"]
    assert [len(drawn.get_offsets()) for drawn in axes.collections] == [2, 1]
    assert [to_hex(drawn.get_facecolor()[0]).upper() for drawn in axes.collections] == [PALETTE[1], PALETTE[2]]
    assert axes.texts[0].get_position() == (1.0, 0.0)
    with pytest.raises(ValueError, match=r"\[3, 2\]"):
        tsne(points[:2], ["a", "b", "c"])


def test_comparison_draws_a_point_and_an_interval_for_each_method():
    rows = {"SAVs": Interval(0.9, 0.8, 0.95, ""), "zero-shot": Interval(0.3, 0.2, 0.4, "")}
    axes = comparison(rows, chance=0.1).axes[0]
    points = [line for line in axes.lines if line.get_gid()]
    assert [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in points] == [(0.9, 0), (0.3, 1)]
    spans = [tuple(line.get_xdata()) for line in axes.lines if line not in points]
    assert spans[:2] == [(0.8, 0.95), (0.2, 0.4)]
    assert axes.yaxis_inverted(), "the first method stands on top"
    assert "chance, 10%" in axes.get_xlabel()


def test_classes_keep_their_colour_and_the_palette_repeats():
    colours = class_colours([str(i) for i in range(12)])
    assert colours["1"] == PALETTE[1] == colours["11"]
    assert len({colours[str(i)] for i in range(10)}) == 10


# Machado, Oliveira and Fernandes 2009: full protanopia, deuteranopia and tritanopia, on linear RGB
COLOUR_BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def nearest_pair(colours, transform):
    """The smallest CIE76 difference between two colours as they are seen through `transform`."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(transform), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = seen @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2))


@pytest.mark.parametrize("sight", COLOUR_BLINDNESS)
def test_ten_classes_stay_apart_under_colour_blindness(sight):
    assert nearest_pair(PALETTE, COLOUR_BLINDNESS[sight]) > 15


def test_matplotlibs_own_colours_would_not_stay_apart():
    default = [entry["color"] for entry in matplotlib.rcParamsDefault["axes.prop_cycle"]]
    assert nearest_pair(default, COLOUR_BLINDNESS["deutan"]) < 10


@pytest.mark.parametrize("name", FIGURES)
def test_an_svg_stands_alone_and_is_the_same_each_time(name):
    make = FIGURES[name]
    assert isinstance(make(), Figure)
    svg = figure_bytes(make())
    assert svg == figure_bytes(make())
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    references = [value for node in root.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert references, "glyphs are references inside the file"
    assert all(value.startswith(("#", "data:")) for value in references)
    assert b"url(http" not in svg
    assert b"@import" not in svg
    assert "{http://www.w3.org/2000/svg}text" not in {node.tag for node in root.iter()}, "text needs no font"


def test_data_uris_hold_the_bytes_of_the_file():
    figure = FIGURES["votes"]()
    for kind, form, start in (("svg", "image/svg+xml", b"<?xml"), ("png", "image/png", b"\x89PNG")):
        head, _, body = figure_data_uri(figure, format=kind).partition(",")
        assert head == f"data:{form};base64"
        content = base64.b64decode(body)
        assert content.startswith(start)
        assert content == figure_bytes(figure, format=kind)


def test_drawing_leaves_matplotlib_as_it_was():
    script = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy();"
        "from savs.plot import tsne, figure_bytes; figure_bytes(tsne([[0, 0], [1, 1]], ['a', 'b']));"
        "assert matplotlib.rcParams.copy() == before, 'settings changed';"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot was imported';"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
