"""Figures of reports, head scores and votes.

Knows matplotlib's objects only: nothing here computes a result, shows a window, or touches pyplot and its settings.
Every function returns a `Figure`; `figure_bytes` and `figure_data_uri` turn it into SVG or PNG.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression

from savs.features import HeadId, HeadLayout
from savs.intervals import Interval
from savs.prediction import Prediction
from savs.report import Report

#: Six colours of Okabe and Ito, then four that keep all ten apart under each common form of colour blindness.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7A1050",
    "#8F4BE0",
    "#5A4620",
    "#201A80",
)
ACCENT, INK, SOFT, GRID = "#D55E00", "#222222", "#6B6B6B", "#E4E4E4"
MARKERS = "os^DvP"
SMALL, NORMAL, LARGE = 7.0, 8.0, 9.5
WIDTH = 6.0


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """The colour of each class by its place in `classes`, the same in every figure. Repeats after ten."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(classes)}


def head_grid(
    layout: HeadLayout,
    scores: ArrayLike,
    selected: Sequence[HeadId],
    *,
    title: str = "",
    label: str = "head score",
) -> Figure:
    """Head scores on the layer x head grid, the selected heads outlined and numbered by rank.

    Args:
        layout: which head each score belongs to. Places of the grid without a head stay white.
        scores: `[n_heads]` in the layout's order.
        selected: the selected heads, best first.
        title: above the grid.
        label: what the colour bar measures.

    Raises:
        ValueError: `scores` does not have one value a head, or a selected head is not in the layout.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (layout.n_heads,):
        raise ValueError(f"scores must be [{layout.n_heads}], one a head of the layout, got shape {values.shape}")
    strange = sorted(set(selected) - set(layout.heads))
    if strange:
        raise ValueError(f"selected heads that are not in the layout: {', '.join(map(str, strange))}")
    n_layers, n_heads = layout.shape
    grid = np.full(layout.shape, np.nan)
    for head, value in zip(layout.heads, values, strict=True):
        grid[head.layer, head.head] = value

    cell = min((WIDTH - 1.5) / n_heads, WIDTH / n_layers, 0.34)
    figure, axes = _figure(cell * n_heads + 1.5, cell * n_layers + 0.9, title=title)
    image = axes.imshow(grid, cmap="Blues", origin="lower", interpolation="nearest", aspect="equal")
    shade = ScalarMappable(image.norm, image.cmap)
    font = min(SMALL, cell * 72 * 0.5)
    for rank, chosen in enumerate(selected, start=1):
        x, y = chosen.head, chosen.layer
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=ACCENT, linewidth=1.3, gid="selected"))
        ink = _readable_on(shade.to_rgba(grid[y, x]))
        axes.text(x, y, str(rank), ha="center", va="center_baseline", fontsize=font, color=ink)
    axes.set_xlabel("head", fontsize=NORMAL, color=INK)
    axes.set_ylabel("layer", fontsize=NORMAL, color=INK)
    axes.xaxis.set_major_locator(FixedLocator(_every(n_heads)))
    axes.yaxis.set_major_locator(FixedLocator(_every(n_layers)))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    inch = 1 / (cell * n_heads)
    bar = figure.colorbar(image, cax=axes.inset_axes((1 + 0.12 * inch, 0, 0.1 * inch, 1)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=SMALL, labelcolor=SOFT)
    bar.set_label(label, fontsize=NORMAL, color=INK)
    return figure


def confusion(report: Report, *, title: str = "") -> Figure:
    """The confusion matrix: counts in the cells, shaded by the share of the true class.

    Answers that matched no class have no column; where there are any, the label below says how many.
    """
    counts = np.array(report.confusion)
    support = np.array([row.support for row in report.per_class])
    share = counts / np.maximum(support, 1)[:, None]
    n, longest = len(report.classes), max(len(name) for name in report.classes)
    cell = float(np.clip(4.2 / n, 0.17, 0.5))
    tick = min(NORMAL, cell * 72 * 0.62)
    names = 0.5 + 0.0085 * tick * longest
    rotated = 0.0085 * tick * longest > cell
    figure, axes = _figure(
        max(cell * n + names, 2.4), cell * n + (names if rotated else 0.6) + (0.3 if title else 0.0), title=title
    )
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    font = min(NORMAL, cell * 72 * min(0.42, 1.25 / len(str(counts.max()))))
    for row, column in np.argwhere(counts > 0):
        ink = _readable_on(image.cmap(share[row, column]))
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center_baseline", fontsize=font, color=ink)
    axes.set_xticks(range(n), report.classes, fontsize=tick, color=INK, rotation=90 if rotated else 0)
    axes.set_yticks(range(n), report.classes, fontsize=tick, color=INK)
    missed = f"\n{report.unmatched_rate:.1%} of answers matched no class" if report.unmatched_rate else ""
    axes.set_xlabel("predicted" + missed, fontsize=NORMAL, color=INK)
    axes.set_ylabel("true", fontsize=NORMAL, color=INK)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return figure


def accuracy_curve(
    x: Sequence[int],
    mean: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    xlabel: str,
    baselines: Mapping[str, float] | None = None,
    name: str = "SAVs",
    title: str = "",
) -> Figure:
    """Accuracy against shots or heads, with its interval as a band and the baselines as dashed lines.

    Args:
        x: `[n_points]` positive and ascending. The axis is logarithmic where it spans a factor of eight or more.
        mean: `[n_points]` accuracies in [0, 1].
        low: `[n_points]` lower ends of the intervals.
        high: `[n_points]` upper ends.
        xlabel: what x counts.
        baselines: accuracies that do not depend on x, such as chance and zero-shot, by name.
        name: what the curve is called.
        title: above the figure.
    """
    means, lows, highs = (np.asarray(values, dtype=np.float64) for values in (mean, low, high))
    figure, axes = _figure(WIDTH * 0.75, 2.9, title=title)
    axes.fill_between(x, lows, highs, color=PALETTE[0], alpha=0.16, linewidth=0)
    axes.plot(x, means, color=PALETTE[0], linewidth=1.8, marker="o", markersize=4, clip_on=False, zorder=3)
    ends = {name: float(means[-1]), **(baselines or {})}
    for value in (baselines or {}).values():
        axes.axhline(value, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)

    lowest, highest = min(*lows, *ends.values()), max(*highs, *ends.values())
    room = 0.06 * max(highest - lowest, 0.1)
    axes.set_ylim(max(0.0, lowest - room), min(1.0, highest + room))
    if x[-1] / x[0] >= 8:
        axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(x), [str(value) for value in x])
    axes.set_xlabel(xlabel, fontsize=NORMAL, color=INK)
    axes.set_ylabel("accuracy", fontsize=NORMAL, color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(_percent)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    _open_frame(axes)

    bottom, top = axes.get_ylim()
    heights = _apart(list(ends.values()), gap=0.075 * (top - bottom))
    for (what, value), height in zip(ends.items(), heights, strict=True):
        mine = what == name
        axes.annotate(
            f"{what}  {value:.0%}",
            xy=(1.02, height),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=NORMAL,
            color=PALETTE[0] if mine else SOFT,
            fontweight="bold" if mine else "normal",
            annotation_clip=False,
        )
    return figure


def votes(prediction: Prediction, classes: Sequence[str], *, per_row: int = 20) -> Figure:
    """The votes of the selected heads on one example: a square a head, best head first, in its class's colour.

    Made to be read at the size of a thumbnail; the line below counts the votes of the commonest classes.

    Args:
        prediction: with at least one vote.
        classes: all classes, in the order that gives them their colours.
        per_row: squares in a row.

    Raises:
        ValueError: there are no votes, or one is for a class that is not in `classes`.
    """
    cast = list(prediction.votes.values())
    colours = class_colours(classes)
    if not cast or not set(cast) <= set(classes):
        raise ValueError(f"votes must be for some of {tuple(classes)}, got {sorted(set(cast)) or 'none'}")
    n_columns, n_rows = min(per_row, len(cast)), -(-len(cast) // per_row)
    cell = 0.11
    width, height = cell * per_row, cell * n_rows + 0.17
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    for i, vote in enumerate(cast):
        row, column = divmod(i, n_columns)
        corner = (column * cell + 0.007, height - (row + 1) * cell + 0.007)
        axes.add_patch(Rectangle(corner, cell - 0.014, cell - 0.014, facecolor=colours[vote], linewidth=0, gid="vote"))
    left = 0.007
    for vote, count in Counter(cast).most_common(3):
        text = f"{_shortened(vote, 12)} \u00d7{count}"
        needed = 0.06 * len(text) + 0.07
        if left > 0.01 and left + needed > width:
            break
        axes.text(
            left, 0.03, text, fontsize=SMALL - 0.5, color=_as_ink(colours[vote]), fontweight="bold", va="baseline"
        )
        left += needed
    return figure


def tsne(points: ArrayLike, labels: Sequence[str], *, classes: Sequence[str] | None = None, title: str = "") -> Figure:
    """Two-dimensional points coloured by class, each class named at its median.

    Args:
        points: `[n_samples, 2]`, embedded by the caller.
        labels: `[n_samples]` classes.
        classes: all classes, in the order that gives them their colours; sorted labels by default.
        title: above the figure.

    Raises:
        ValueError: `points` is not `[n_samples, 2]` with one point a label.
    """
    xy = np.asarray(points, dtype=np.float64)
    if xy.shape != (len(labels), 2):
        raise ValueError(f"points must be [{len(labels)}, 2], one a label, got shape {xy.shape}")
    names = list(classes) if classes is not None else sorted(set(labels))
    colours, of_class = class_colours(names), np.array(labels)
    figure, axes = _figure(WIDTH * 0.75, WIDTH * 0.75, title=title)
    present = [(i, name) for i, name in enumerate(names) if (of_class == name).any()]
    for i, name in present:
        x, y = xy[of_class == name].T
        marker = MARKERS[i // len(PALETTE) % len(MARKERS)]
        axes.scatter(x, y, s=16, color=colours[name], marker=marker, linewidths=0.3, edgecolors="white", alpha=0.85)
    halo = [withStroke(linewidth=2.6, foreground="white")]
    middles = np.array([np.median(xy[of_class == name], axis=0) for _, name in present]).reshape(-1, 2)
    heights = _apart(middles[:, 1], gap=min(0.04, 0.9 / max(len(present), 1)) * float(np.ptp(xy[:, 1])))
    for (_, name), x, y in zip(present, middles[:, 0], heights, strict=True):
        text = axes.text(x, y, name, fontsize=NORMAL, fontweight="bold", ha="center", va="center", zorder=4)
        text.set(color=_as_ink(colours[name]), path_effects=halo)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GRID)
    return figure


def comparison(rows: Mapping[str, Interval], *, chance: float | None = None, title: str = "") -> Figure:
    """Methods beside each other, the first on top: a point for the accuracy, a line for its interval.

    Args:
        rows: the interval of each method, by name.
        chance: drawn as a dashed line.
        title: above the figure.
    """
    figure, axes = _figure(WIDTH, 0.26 * len(rows) + 0.75, title=title)
    for place, interval in enumerate(rows.values()):
        colour = PALETTE[0] if place == 0 else SOFT
        axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="round")
        axes.plot(interval.value, place, "o", color=colour, markersize=5.5, gid=f"method-{place}", clip_on=False)
        axes.annotate(
            f"{interval.value:.1%}",
            xy=(1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=NORMAL,
            color=colour,
            fontweight="bold" if place == 0 else "normal",
        )
    if chance is not None:
        axes.axvline(chance, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=NORMAL, color=INK)
    axes.set_xlabel(
        "accuracy" if chance is None else f"accuracy (dashed: chance, {chance:.0%})", fontsize=NORMAL, color=INK
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(_percent)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    _open_frame(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def figure_bytes(figure: Figure, *, format: Literal["svg", "png"] = "svg", dpi: int = 160) -> bytes:
    """The figure as a file: the same bytes for the same figure, text as outlines, nothing fetched from elsewhere."""
    buffer = io.BytesIO()
    # The only setting that savefig does not take as an argument; it is put back at once.
    with matplotlib.rc_context({"svg.hashsalt": "savs", "svg.fonttype": "path"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type") if format == "svg" else ("Software",))
        figure.savefig(buffer, format=format, dpi=dpi, facecolor="white", metadata=nothing)
    return buffer.getvalue()


def figure_data_uri(figure: Figure, *, format: Literal["svg", "png"] = "svg") -> str:
    """The figure as a `data:` URI, for the `src` of an image in a self-contained page."""
    kind = {"svg": "image/svg+xml", "png": "image/png"}[format]
    return f"data:{kind};base64,{base64.b64encode(figure_bytes(figure, format=format)).decode()}"


def _figure(width: float, height: float, *, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, labelcolor=SOFT, color=GRID, length=3)
    if title:
        axes.set_title(title, loc="left", fontsize=LARGE, color=INK)
    return figure, axes


def _open_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)


def _readable_on(colour: Sequence[float] | NDArray[np.float64]) -> str:
    """Dark ink on light colours and white on dark ones (relative luminance, Rec. 709)."""
    return "white" if float(np.dot(colour[:3], (0.2126, 0.7152, 0.0722))) < 0.5 else INK


def _percent(value: float, _position: float) -> str:
    return f"{100 * value:.3g}%"


def _as_ink(colour: str) -> tuple[float, ...]:
    """A colour darkened until it can be read as text on white."""
    return tuple(0.72 * part for part in to_rgb(colour))


def _every(n: int) -> list[int]:
    """Ticks of a grid axis: all of up to 10 places, else every second, fourth or eighth."""
    step = next((step for step in (1, 2, 4) if n / step <= 10), 8)
    return list(range(0, n, step))


def _apart(heights: ArrayLike, *, gap: float) -> list[float]:
    """The heights, moved as little as keeps each at least `gap` above the one below."""
    wanted = np.asarray(heights, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    offsets = gap * np.arange(len(wanted))
    # Without the offsets the constraint is that heights do not fall: isotonic regression.
    level = IsotonicRegression().fit_transform(offsets, wanted[order] - offsets)
    placed = np.empty(len(wanted))
    placed[order] = level + offsets
    return [float(height) for height in placed]


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
