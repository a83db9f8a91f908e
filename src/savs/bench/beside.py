"""Scores that stand beside those of the tables: macro F1, average precision, and the score of each split.

Computed from the kept answers, as `savs.evaluate` computes them. Knows no method, no model and no file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

from savs.baselines.zero_shot import UNMATCHED
from savs.bench.data import ColumnData
from savs.bench.precision import average_precision
from savs.grouping import group_rows
from savs.prediction import Prediction


def beside(data: ColumnData, draws: Sequence[Sequence[Prediction]]) -> dict[str, float]:
    """What a report tells beside the column's scores, by name, on the mean over draws.

    Macro F1 of two classes; average precision where the task names a positive class and every answer has its
    probability; the score of each split where one classifier serves all. Nothing where a column is of subtasks.

    Args:
        data: with the test examples.
        draws: the answers of each draw, in the order of the test examples.
    """
    if data.column.by_part:
        return {}
    of_draws = [{**_macro_f1(data, of), **_precision(data, of), **_splits(data, of)} for of in draws]
    told = [name for name in of_draws[0] if all(name in found for found in of_draws)]
    return {name: float(np.mean([found[name] for found in of_draws])) for name in told}


def _macro_f1(data: ColumnData, answers: Sequence[Prediction]) -> dict[str, float]:
    if data.column.metric != "accuracy" or len(data.classes) != 2:
        return {}
    truth, said = [str(example.label) for example in data.test], [answer.label for answer in answers]
    names = sorted({*truth, *said} - {UNMATCHED})
    return {"macro F1": float(f1_score(truth, said, labels=names, average="macro", zero_division=0))}


def _precision(data: ColumnData, answers: Sequence[Prediction]) -> dict[str, float]:
    name = data.task.positive
    positive = np.array([example.label == name for example in data.test])
    if name is None or not 0 < positive.sum() < len(positive) or any(name not in a.probabilities for a in answers):
        return {}
    scores = np.array([answer.probabilities[name] for answer in answers])
    whole = np.ones((1, len(answers)), dtype=np.int64)
    return {"average precision": float(average_precision(scores, positive, whole)[0])}


def _splits(data: ColumnData, answers: Sequence[Prediction]) -> dict[str, float]:
    right = np.array([example.label == answer.label for example, answer in zip(data.test, answers, strict=True)])
    whole = data.column.metric in ("pairs", "groups")
    units = list(group_rows(data.test).values()) if whole else [[row] for row in range(len(data.test))]
    won: dict[str, list[bool]] = {}
    for rows in units:
        split = data.test[rows[0]].split
        if split is not None:
            won.setdefault(split, []).append(bool(right[rows].all()))
    return {split: float(np.mean(won[split])) for split in sorted(won)} if len(won) > 1 else {}
