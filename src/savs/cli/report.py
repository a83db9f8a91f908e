"""A report for a terminal: scores, what they beat, classes, confusions.

Knows rich and the shape of a `Report`; computes nothing but what to show first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from savs.cli.tables import percent, table

if TYPE_CHECKING:
    from savs.comparison import Compared
    from savs.intervals import Interval
    from savs.report import Report

#: A confusion matrix of more classes does not fit in 80 columns; the commonest confusions are listed instead.
_MATRIX_CLASSES = 12
_SHOWN_CONFUSIONS = 10
#: Of more classes than this, the worst are shown.
_SHOWN_CLASSES = 30
_MATRIX_LABEL = 18


def report_tables(report: Report, compared: Sequence[Compared] = ()) -> list[RenderableType]:
    """Everything a person wants to see of a report, the scores first."""
    parts = [per_split(report), ""] if report.splits else []
    return [scores(report, compared), "", *parts, per_class(report), "", confusions(report)]


def scores(report: Report, compared: Sequence[Compared] = ()) -> RenderableType:
    """The scores of the classifier, in percent, with their intervals, and of what it is compared with."""
    numbers = ["score", "interval", "SAVs ahead by", "p"]
    made = table(f"{report.n:,} examples", *numbers[: 4 if compared else 2], right=numbers)
    _add_method(made, "SAVs", report)
    made.add_row("  macro F1", percent(report.macro_f1))
    made.add_row("  balanced accuracy", percent(report.balanced_accuracy))
    for method in compared:
        _add_method(made, method.name, method.report, method)
        if method.report.unmatched_rate:
            made.add_row("  answers of no class", percent(method.report.unmatched_rate))
    made.add_row(Text(f"always {report.majority_class!r}"), percent(report.majority_accuracy))
    made.add_row(f"chance, {len(report.classes)} classes", percent(report.chance))
    about = Text(f"in percent; {100 * report.accuracy.confidence:g} % intervals: {report.accuracy.method}", style="dim")
    if compared:
        about.append(f"; ahead by: {compared[0].lead.method}; p: McNemar")
    return Group(made, about)


def per_split(report: Report) -> RenderableType:
    """The score of each part of the test set beside what always answering its commonest label gives, and their mean."""
    numbers = ["score", "interval", "always one", "examples"]
    made = table("part", *numbers, right=numbers)
    for part in report.splits:
        made.add_row(Text(part.split), *_score(part.score), percent(part.majority_accuracy), f"{part.n:,}")
    if report.mean_of_splits is not None:
        made.add_row(Text("mean of the parts", style="bold"), percent(report.mean_of_splits))
    return made


def per_class(report: Report) -> RenderableType:
    """Precision, recall and F1 of each class, or of the worst where there are many."""
    numbers = ["precision", "recall", "F1", "examples"]
    made = table("class", *numbers, right=numbers)
    shown = report.per_class
    if len(shown) > _SHOWN_CLASSES:
        shown = tuple(sorted(shown, key=lambda score: score.f1))[:_SHOWN_CLASSES]
    for score in shown:
        values = (percent(score.precision), percent(score.recall), percent(score.f1), f"{score.support:,}")
        made.add_row(Text(score.label), *values)
    if len(shown) == len(report.per_class):
        return made
    return Group(made, Text(f"the {len(shown)} worst of {len(report.per_class)} classes; --json has all", style="dim"))


def confusions(report: Report) -> RenderableType:
    """The confusion matrix, or the commonest confusions where there are many classes."""
    return _matrix(report) if len(report.classes) <= _MATRIX_CLASSES else _commonest(report)


def _add_method(made: Table, name: str, report: Report, against: Compared | None = None) -> None:
    lead = [lead_in_points(against.lead), p_in_words(against.p_value)] if against else []
    of_groups = report.metric in ("pairs", "groups")
    made.add_row(Text(name, style="bold"), *_score(report.accuracy), *([] if of_groups else lead))
    if report.groups is not None:
        made.add_row("  questions right on both", *_score(report.groups.question))
        made.add_row("  images right on both", *_score(report.groups.image))
        made.add_row("  groups wholly right", *_score(report.groups.group), *lead)
    if report.pairs is not None:
        made.add_row("  pairs wholly right", *_score(report.pairs), *lead)
    if report.average_precision is not None:
        made.add_row(Text(f"  average precision, {report.positive}"), *_score(report.average_precision))


def _score(value: Interval) -> tuple[str, str]:
    return percent(value.value), f"{percent(value.low)} to {percent(value.high)}"


def lead_in_points(value: Interval) -> str:
    """A difference in percentage points, with its interval."""
    return f"{100 * value.value:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"


def p_in_words(p: float) -> str:
    """A p-value with three decimals."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _matrix(report: Report) -> RenderableType:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    made.add_column("true, predicted as", no_wrap=True, max_width=_MATRIX_LABEL)
    for number in range(1, len(report.classes) + 1):
        made.add_column(str(number), justify="right", no_wrap=True)
    for i, (label, row) in enumerate(zip(report.classes, report.confusion, strict=True)):
        cells = [
            Text(str(n) if n else "·", style="bold green" if i == j else "red" if n else "dim")
            for j, n in enumerate(row)
        ]
        made.add_row(Text(f"{i + 1:>2} {label}", overflow="ellipsis"), *cells)
    return made


def _commonest(report: Report) -> RenderableType:
    wrong = [
        (count, true, said)
        for true, row in zip(report.classes, report.confusion, strict=True)
        for said, count in zip(report.classes, row, strict=True)
        if count and said != true
    ]
    made = table("true", "predicted as", "times", right=["times"])
    for count, true, said in sorted(wrong, key=lambda confusion: -confusion[0])[:_SHOWN_CONFUSIONS]:
        made.add_row(Text(true), Text(said), str(count))
    return made if wrong else Text("no confusions")
