"""Draw a run's log as the curve in the model card. Knows the log's entries and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

SHOWN = ("exists", "match", "colour", "shape", "count", "relation", "where", "easy", "pictogram_group")


def draw_curve(entries: Sequence[Mapping], picture: Path) -> None:
    """Left: the tower's accuracy per attribute. Right: answer tokens right per kind of question, over all steps."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    seen = [e for e in entries if "tower_shape" in e]
    for name in ("shape", "colour", "size", "texture", "place", "group_unseen"):
        left.plot([e["step"] for e in seen], [e[f"tower_{name}"] for e in seen], label=name.replace("_", ", "))
    left.set(title="vision tower, fresh scenes", xlabel="step", ylim=(0, 1.02))
    asked = [e for e in entries if "right" in e]
    at, start = [], 0
    for before, entry in zip([None, *asked], asked, strict=False):
        if before and before["phase"] != entry["phase"]:
            start = at[-1]
            right.axvline(start, color="grey", linestyle=":")
            right.text(start, 1.0, entry["phase"], va="top", fontsize=8)
        at.append(start + entry["step"])
    for name in SHOWN:
        points = [(x, e["right"][name]) for x, e in zip(at, asked, strict=True) if name in e["right"]]
        right.plot([x for x, _ in points], [y for _, y in points], label=name.replace("_", " "), linewidth=1)
    right.set(title="answer tokens right while training", xlabel="step", ylim=(0, 1.02))
    for axis in (left, right):
        axis.legend(fontsize=7, ncols=2)
        axis.grid(alpha=0.2)
    figure.savefig(picture, dpi=80)
    pyplot.close(figure)
