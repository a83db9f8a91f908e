"""Where a task's heads lie, and how the best of them sees the test examples (figure 3). Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.bench.data import ColumnData
from savs.bench.runner import Bench
from savs.classify import SAVClassifier
from savs.data.sampling import sample_shots
from savs.demo.run import embed
from savs.features import HeadId, HeadLayout


@dataclass(frozen=True)
class HeadMap:
    """The heads of one task, by the paper's rule and the first draw of the shots.

    Attributes:
        column: the data set.
        part: its subtask, if it has any.
        layout: all heads.
        head_scores: `[n_heads]` share of the shots that each head gets right.
        selected: the kept heads, best first.
        points: `[n_test, 2]`, t-SNE of the best head's output for the test examples.
        labels: `[n_test]` their classes.
    """

    column: str
    part: str | None
    layout: HeadLayout
    head_scores: NDArray[np.floating]
    selected: tuple[HeadId, ...]
    points: NDArray[np.floating]
    labels: tuple[str, ...]

    @property
    def title(self) -> str:
        """The data set, and the subtask where there is one."""
        return self.column if self.part is None else f"{self.column}: {self.part}"

    def to_json(self) -> dict[str, Any]:
        """Every number, for a program."""
        return {
            "column": self.column,
            "part": self.part,
            "head_scores": {
                str(h): round(float(s), 4) for h, s in zip(self.layout.heads, self.head_scores, strict=True)
            },
            "selected_heads": [str(head) for head in self.selected],
            "best_head_points": np.round(self.points, 3).tolist(),
            "labels": list(self.labels),
        }


def head_maps(bench: Bench, data: ColumnData) -> list[HeadMap]:
    """The heads of every subtask of a column."""
    features, _ = bench.features(data, bench.setting.shots)
    row = {example_id: i for i, example_id in enumerate(features.ids)}
    maps = []
    for part in data.parts:
        of_part = data.of_part(part)
        shots, _ = sample_shots(of_part.pool, bench.shots(of_part), bench.setting.seed)
        labels = np.array([str(example.label) for example in shots])
        fitted = SAVClassifier().fit(features.z[[row[example.id] for example in shots]], labels)
        selected = tuple(features.layout.heads[i] for i in fitted.selected_heads_)
        test = features.take([row[example.id] for example in of_part.test])
        maps.append(
            HeadMap(
                column=data.column.name,
                part=part,
                layout=features.layout,
                head_scores=fitted.head_scores_,
                selected=selected,
                points=embed(test, selected[0], bench.setting.seed),
                labels=tuple(str(example.label) for example in of_part.test),
            )
        )
    return maps
