"""Several answers to the same examples side by side: how each fares, and how far the first is ahead of it.

Knows examples and predictions; loads no model and writes no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from savs.data.example import Example
from savs.evaluation import correctness, evaluate
from savs.intervals import Interval, mcnemar, paired_difference
from savs.prediction import Prediction
from savs.report import Metric, Report


@dataclass(frozen=True)
class Compared:
    """One method against the first.

    Attributes:
        name: of the method.
        report: how it fares.
        lead: how much more accurate the first method is, on the same examples or, where the task scores groups,
            on the same groups. Negative where the first is worse.
        p_value: exact, two-sided, that both are equally often right (McNemar).
    """

    name: str
    report: Report
    lead: Interval
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the attributes' names."""
        return {
            "name": self.name,
            "report": self.report.to_json(),
            "lead": asdict(self.lead),
            "p_value": self.p_value,
        }


def compare(
    examples: Sequence[Example],
    first: Sequence[Prediction],
    others: Mapping[str, Sequence[Prediction]],
    *,
    metric: Metric = "accuracy",
    classes: Sequence[str] | None = None,
    positive: str | None = None,
    unmatched: str | None = None,
) -> list[Compared]:
    """How each of `others` fares against `first`, in their order.

    Raises:
        DataError: as `evaluate`, of which the options are.
    """
    unit: Literal["example", "group"] = "group" if metric in ("pairs", "groups") else "example"
    right = correctness(examples, first, unit=unit)
    compared = []
    for name, predictions in others.items():
        report = evaluate(examples, predictions, metric=metric, classes=classes, positive=positive, unmatched=unmatched)
        theirs = correctness(examples, predictions, unit=unit)
        compared.append(Compared(name, report, paired_difference([right], [theirs]), mcnemar(right, theirs)))
    return compared
