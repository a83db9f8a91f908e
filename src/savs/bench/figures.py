"""The figures of a recipe, drawn from its results. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from savs.bench.columns import column
from savs.bench.head_maps import HeadMap
from savs.bench.recipes import FIRST, Panel
from savs.bench.results import Entry, Results
from savs.bench.rows import Row
from savs.plot import ACCENT, GRID, INK, NORMAL, PALETTE, SMALL, SOFT, class_colours

_WIDTH = 7.2
#: Small pictures beside each other.
_ACROSS = 4
#: Seven of them, so that with ten colours no two of seventy methods look alike.
_MARKS = "sD^vP<>"


def figures(results: Results) -> dict[str, Figure]:
    """The figures of a recipe, by a name for their file."""
    if results.recipe.shows == "heads":
        return {"heads": _head_grids(results.maps), "tsne": _embeddings(results.maps)} if results.maps else {}
    drawn = {}
    for panel in results.recipe.panels:
        found = {each.column for each in results.entries if each.panel == panel.name and each.interval is not None}
        names = [name for name in panel.columns if name in found]
        if names:
            draw = _curves if panel.counts else _dots
            drawn[panel.file] = draw(results, panel, names)
    return drawn


def _dots(results: Results, panel: Panel, names: Sequence[str]) -> Figure:
    """One line a score, one mark a method; the first method with its interval, chance as a grey bar from the left."""
    places = [(name, score) for name in names for score in column(name).scores]
    figure = Figure(figsize=(_WIDTH, 0.3 * len(places) + 1.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    chances = {each.name: each.chance or {} for each in results.columns}
    for y, (name, score) in enumerate(places):
        axes.barh(y, 100 * chances[name].get(score, 0.0), height=0.72, color=GRID, zorder=0.5)
    for i, row in enumerate(panel.rows):
        entries = [results.entry(panel.name, row.name, *place) for place in places]
        at = [(y, e.interval) for y, e in enumerate(entries) if e.interval is not None]
        if not at:
            continue
        first = row.name == FIRST
        colour = PALETTE[i % len(PALETTE)] if not first else INK
        for y, interval in at if first else ():
            axes.plot([100 * interval.low, 100 * interval.high], [y, y], color=INK, linewidth=1.6, zorder=2)
        axes.plot(
            [100 * interval.value for _, interval in at],
            [y for y, _ in at],
            "o" if first else _MARKS[i % len(_MARKS)],
            color=colour,
            markersize=6 if first else 4.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=4 if first else 3,
            clip_on=False,
            label=row.name,
        )
    axes.barh([0], [0], color=GRID, label="chance")
    axes.set_yticks(range(len(places)), [column(name).score_title(score) for name, score in places])
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("score, %", fontsize=NORMAL, color=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    _plain(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=NORMAL, labelcolor=INK)
    figure.legend(loc="outside upper center", ncols=5, fontsize=SMALL, frameon=False)
    return figure


def _curves(results: Results, panel: Panel, names: Sequence[str]) -> Figure:
    """One small picture a data set, by its strictest score: a curve a preset, the first with its interval as a band."""
    figure, places = _small_pictures(len(names), height=1.45)
    lines = list(dict.fromkeys(row.name.partition(",")[0] for row in panel.rows))
    for axes, name in zip(places, names, strict=True):
        score = column(name).scores[-1]
        for colour, line in zip(PALETTE, lines, strict=False):
            rows = [row for row in panel.rows if row.name.partition(",")[0] == line]
            entries = [(row, results.entry(panel.name, row.name, name, score)) for row in rows]
            _curve(axes, {_count(results, row, entry): entry for row, entry in entries}, line, colour)
        chance = next(each.chance or {} for each in results.columns if each.name == name)
        axes.axhline(100 * chance[score], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set_title(column(name).score_title(score), fontsize=NORMAL, color=INK, loc="left")
        axes.set_xscale("log", base=2)
        counts = sorted({_count(results, r, results.entry(panel.name, r.name, name, score)) for r in panel.rows})
        axes.xaxis.set_major_locator(FixedLocator(counts))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(counts, [f"{count:g}" for count in counts])
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        _plain(axes)
    handles, labels = places[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(lines), fontsize=NORMAL, frameon=False)
    figure.supxlabel(panel.counts, fontsize=NORMAL, color=INK)
    figure.supylabel("score, % (dashed: chance)", fontsize=NORMAL, color=INK)
    return figure


def _curve(axes: Axes, points: Mapping[float, Entry], line: str, colour: str) -> None:
    found = [(x, interval) for x in sorted(points) if (interval := points[x].interval) is not None]
    if not found:
        return
    x = [count for count, _ in found]
    axes.plot(x, [100 * i.value for _, i in found], color=colour, linewidth=1.4, marker="o", markersize=2.5, label=line)
    if line == FIRST:
        low, high = ([100 * getattr(i, end) for _, i in found] for end in ("low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _count(results: Results, row: Row, entry: Entry) -> float:
    """Where a row stands on the axis: at the shots that there were, and for all heads at as many as the model has."""
    if row.shots is not None and entry.shots is not None:
        return entry.shots
    return float(results.setting["heads"]) if row.x == math.inf or row.x is None else row.x


def _head_grids(maps: Sequence[HeadMap]) -> Figure:
    figure, places = _small_pictures(len(maps), height=1.75)
    for axes, each in zip(places, maps, strict=True):
        grid = np.full(each.layout.shape, np.nan)
        for head, score in zip(each.layout.heads, each.head_scores, strict=True):
            grid[head.layer, head.head] = score
        axes.imshow(grid, cmap="Blues", origin="lower", aspect="auto")
        for head in each.selected:
            corner = (head.head - 0.5, head.layer - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=ACCENT, linewidth=0.9, gid="selected"))
        low, high = each.head_scores.min(), each.head_scores.max()
        axes.set_title(f"{_title(each)}, {low:.2f} to {high:.2f}", fontsize=NORMAL, color=INK, loc="left")
        axes.tick_params(labelsize=SMALL, labelcolor=SOFT, length=0)
        axes.spines[:].set_visible(False)
    figure.supxlabel("head", fontsize=NORMAL, color=INK)
    figure.supylabel("layer", fontsize=NORMAL, color=INK)
    return figure


def _embeddings(maps: Sequence[HeadMap]) -> Figure:
    figure, places = _small_pictures(len(maps), height=1.75)
    for axes, each in zip(places, maps, strict=True):
        colours = class_colours(sorted(set(each.labels)))
        axes.scatter(
            each.points[:, 0],
            each.points[:, 1],
            s=4,
            c=[colours[label] for label in each.labels],
            linewidths=0,
            alpha=0.8,
        )
        axes.set_title(f"{_title(each)}, {each.selected[0]}", fontsize=NORMAL, color=INK, loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(GRID)
    return figure


def _title(each: HeadMap) -> str:
    title = column(each.column).short
    return title if each.part is None else f"{title}: {each.part}"


def _small_pictures(count: int, *, height: float) -> tuple[Figure, list[Axes]]:
    down = -(-count // _ACROSS)
    figure = Figure(figsize=(_WIDTH + 0.6, height * down + 0.7), layout="constrained")
    grid = figure.subplots(down, min(_ACROSS, count), squeeze=False)
    places = [axes for axes in grid.flat]
    for axes in places[count:]:
        axes.remove()
    return figure, places[:count]


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=SMALL, labelcolor=SOFT, color=GRID, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
