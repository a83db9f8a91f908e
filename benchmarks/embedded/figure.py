"""The benchmark's figure: one row a task, one mark a method. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.embedded.measure import TaskResult
from benchmarks.embedded.methods import BEST_ZERO_SHOT, SAVS
from savs.plot import GRID, INK, NORMAL, PALETTE, SMALL, SOFT

#: Rows of the table that stand for themselves, with mark and colour; zero-shot is drawn as the best of its rows.
_MARKS = (
    (BEST_ZERO_SHOT, "s", PALETTE[1]),
    ("class means, raw pixels", "|", SOFT),
    ("class means, vision tower, mean and max", "v", PALETTE[4]),
    ("SAVs, random decoder", "^", PALETTE[3]),
    ("gda-loo", "D", PALETTE[2]),
    (SAVS, "o", PALETTE[0]),
)


def draw(results: Sequence[TaskResult]) -> Figure:
    """Accuracy of the main methods on every task; SAVs with their interval, chance as a grey bar from the left."""
    figure = Figure(figsize=(7.2, 0.36 * len(results) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    for place, result in enumerate(results):
        axes.barh(place, 100 * result.chance, height=0.72, color=GRID, zorder=0.5)
        savs = result.accuracy[SAVS]
        axes.plot([100 * savs.low, 100 * savs.high], [place, place], color=PALETTE[0], linewidth=2, zorder=2)
        for name, marker, colour in _MARKS:
            value = 100 * result.interval(name).value
            mine = name == SAVS
            size = 8 if marker == "|" else 6 if mine else 5
            axes.plot(
                value,
                place,
                marker,
                color=colour,
                markersize=size,
                markeredgewidth=1.6 if marker == "|" else 0.6,
                markeredgecolor=colour if marker == "|" else "white",
                zorder=4 if mine else 3,
                clip_on=False,
                label=name if place == 0 else None,
            )
    axes.barh([0], [0], color=GRID, label="chance")
    axes.set_yticks(range(len(results)), [result.name for result in results], fontsize=NORMAL, color=INK)
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy, %", fontsize=NORMAL, color=INK)
    axes.tick_params(labelsize=SMALL, labelcolor=SOFT, color=GRID, length=3)
    axes.tick_params(axis="y", length=0, labelsize=NORMAL, labelcolor=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    figure.legend(loc="outside upper center", ncols=4, fontsize=SMALL, frameon=False)
    return figure
