"""The tables of a recipe's page, as plain text: scores, leads, the paper's numbers, costs, data. Computes nothing.

One form for the terminal, for Markdown and for HTML. Where there is no number, a mark in brackets leads to the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from savs.bench.columns import Column, column
from savs.bench.recipes import ENDPOINT, FIRST, Panel
from savs.bench.results import Entry, Results, Spent
from savs.intervals import Interval

Place = tuple[str, str]


@dataclass(frozen=True)
class Grid:
    """One table.

    Attributes:
        title: above it.
        head: names of the columns, the first over the rows' names.
        rows: cells; the first of each is its name.
        words: the columns that hold words, by their names in `head`, beside the first.
        best: (row, column) of the cells that hold the best number of their column.
        says: what the cells mean, in a sentence or two.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...] = ()
    best: frozenset[tuple[int, int]] = frozenset()
    says: str = ""

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns that hold numbers, by their names."""
        return tuple(name for name in self.head[1:] if name not in self.words)


@dataclass
class Reasons:
    """Why there is no number, each reason once, under a number of its own."""

    marks: dict[str, str] = field(default_factory=dict)

    def mark(self, why: str) -> str:
        """`(1)`, which stands for the reason from now on."""
        return self.marks.setdefault(why, f"({len(self.marks) + 1})")


def places_of(panel: Panel) -> list[Place]:
    """Every (column, score) of a panel, in order."""
    return [(name, score) for name in panel.columns for score in column(name).scores]


def blocks(places: Sequence[Place], across: int) -> list[list[Place]]:
    """Places a few at a time, so that a table fits; the scores of one data set stay together."""
    made: list[list[Place]] = []
    for name in dict.fromkeys(name for name, _ in places):
        of_one = [place for place in places if place[0] == name]
        if not made or len(made[-1]) + len(of_one) > across:
            made.append([])
        made[-1] += of_one
    return made


def score_grid(
    results: Results,
    panel: Panel,
    reasons: Reasons,
    *,
    places: Sequence[Place],
    cell: Callable[[Interval], str],
    head: Callable[[Column, str], str],
) -> Grid:
    """Methods down, scores across, with the lines of the majority class and of chance below.

    Args:
        results: with the entries.
        panel: whose rows are shown.
        reasons: where marks of missing numbers are kept.
        places: which scores.
        cell: how a number is written.
        head: how a score is called.
    """
    rows = [
        (row.name, *(_number(results.entry(panel.name, row.name, *place), reasons, cell) for place in places))
        for row in panel.rows
    ]
    lines = [
        (line, *(_line(results, reasons, line, place) for place in places))
        for line in ("majority", "chance")
        if any(getattr(each, line) for each in results.columns)
    ]
    titles = tuple(head(column(name), score) for name, score in places)
    return Grid(panel.title, ("method", *titles), (*rows, *lines), best=_best(results, panel, places))


def lead_grid(results: Results, panel: Panel, reasons: Reasons, places: Sequence[Place]) -> Grid:
    """How far the first method is ahead of each other one, in points, with the interval and the p-value."""

    def text(entry: Entry) -> str:
        if entry.lead is None:
            return reasons.mark(entry.why or f"{FIRST} has no number to compare with")
        by, p = entry.lead.by, entry.lead.p_value
        sign = "*" if by.low > 0 or by.high < 0 else ""
        points = f"{100 * by.value:+.1f}{sign} [{100 * by.low:+.0f}, {100 * by.high:+.0f}]"
        return points if p is None else f"{points} p {_p(p)}"

    rows = tuple(
        (row.name, *(text(results.entry(panel.name, row.name, *place)) for place in places))
        for row in panel.rows
        if row.name != FIRST
    )
    titles = tuple(column(name).score_title(score) for name, score in places)
    says = (
        f"Points by which {FIRST} is ahead, paired over draws and examples, with a 95 % interval; * where that leaves "
        "out zero. p is McNemar's exact test on the first draw alone, of answers that are right or wrong; where a "
        "group has two points, or examples share an image, the signs of whole groups are flipped. Nothing is corrected "
        "for the number of comparisons."
    )
    return Grid(f"{panel.title}: {FIRST} against the others", ("method", *titles), rows, says=says)


def curve_grid(results: Results, panel: Panel) -> Grid:
    """A curve's points on the mean over data sets, each by its strictest score."""
    lines = dict.fromkeys(row.name.partition(", ")[0] for row in panel.rows)
    counts = dict.fromkeys(row.name.partition(", ")[2] for row in panel.rows)

    def mean(line: str, count: str) -> str:
        places = [(name, column(name).scores[-1]) for name in panel.columns]
        found = [results.entry(panel.name, f"{line}, {count}", *place) for place in places]
        values = [each.interval.value for each in found if each.interval is not None]
        return _percent(sum(values) / len(values)) if len(values) == len(places) else "none"

    rows = tuple((line, *(mean(line, count) for count in counts)) for line in lines)
    head = (panel.counts, *(count.partition(" ")[0] for count in counts))
    says = (
        "Mean over the data sets, of pairs and groups those that are right throughout; none where a data set has no "
        "number."
    )
    return Grid(f"{panel.title}, on the mean over data sets", head, rows, says=says)


def heads_grid(results: Results) -> Grid:
    """The heads of each task that are kept, in the first draw."""
    rows = []
    for each in results.maps:
        score = dict(zip(each.layout.heads, each.head_scores, strict=True))
        worst, layers = each.selected[-1], sorted({head.layer for head in each.selected})
        title = column(each.column).title if each.part is None else f"{column(each.column).title}: {each.part}"
        best = f"{each.selected[0]} {score[each.selected[0]]:.2f}"
        rows.append((title, best, f"{worst} {score[worst]:.2f}", " ".join(map(str, layers))))
    says = "Scores are shares of the shots that a head alone gets right, on which it was made."
    head = ("task", "best head", "last kept", "layers of kept heads")
    return Grid("Kept heads", head, tuple(rows), words=head[1:], says=says)


def paper_grid(results: Results, panel: Panel) -> Grid | None:
    """This run beside the paper's numbers for the same model; None where there are none."""
    rows = [
        (
            f"{each.row}, {results.closed}" if each.row == ENDPOINT else each.row,
            column(each.column).score_title(each.score),
            value_and_interval(each.interval),
            _percent(each.paper),
            f"{100 * (each.interval.value - each.paper):+.1f}",
        )
        for each in results.entries
        if each.panel == panel.name and each.interval is not None and each.paper is not None
    ]
    if not rows:
        return None
    head = ("method", "score", "here", "paper", "difference")
    title = f"{panel.title}: beside the paper's {results.model or results.closed or 'dual encoders'}"
    return Grid(title, head, tuple(rows), words=("score",))


def cost_grid(results: Results) -> Grid:
    """What a row costs a data set and draw, on the mean over data sets."""
    rows = []
    for name in dict.fromkeys(each.row for each in results.spent):
        of_row = [each for each in results.spent if each.row == name]
        rows.append(
            (
                name,
                _mean(of_row, lambda each: each.seconds, ".2f"),
                _mean(of_row, lambda each: each.forwards, ".0f"),
                _mean(of_row, lambda each: each.reading_seconds, ".1f", without="none"),
                _mean(of_row, lambda each: each.reading_forwards, ".0f", without="none"),
                _mean(of_row, lambda each: each.reading_stored, ".0f", without="none"),
                _most(of_row),
            )
        )
    head = ("method", "seconds", "forwards", "shared seconds", "shared forwards", "from a store", "peak memory")
    says = (
        "A data set and draw, on the mean over data sets. Forwards are sequences through the text decoder; a token "
        "that is generated counts as one. Shared is the reading of heads, once a data set for all rows that use them, "
        "and of the data set where heads are chosen; examples that an earlier run had stored cost no forward here. "
        "Memory is the most in use at once: of the GPU, or else of the whole process, weights and data included."
    )
    return Grid("What it costs", head, tuple(rows), says=says)


def data_grid(results: Results) -> Grid:
    """What each column was measured on."""
    rows = tuple(
        (
            column(each.name).title,
            column(each.name).asks,
            each.task or "no data",
            str(len(each.classes)),
            f"{each.n_pool:,}",
            f"{each.n_test:,}",
            "; ".join(each.notes) or each.why or "none",
        )
        for each in results.columns
    )
    head = ("data set", "asks for", "measured on", "classes", "to draw from", "to answer", "notes")
    return Grid("Data", head, rows, words=("asks for", "measured on", "notes"))


def prompt_grid(results: Results) -> Grid:
    """How each column's examples were asked."""
    rows = tuple((column(each.name).title, each.prompt) for each in results.columns if each.prompt)
    return Grid("Prompts", ("data set", "prompt"), rows, words=("prompt",))


def beside_grids(results: Results) -> list[Grid]:
    """What else reports tell, a data set a table."""
    value = {(each.row, each.column, each.score): _percent(each.value) for each in results.beside}
    grids = []
    for name in dict.fromkeys(each.column for each in results.beside):
        of_column = [each for each in results.beside if each.column == name]
        scores = tuple(dict.fromkeys(each.score for each in of_column))
        rows = tuple(
            (row, *(value.get((row, name, score), "none") for score in scores))
            for row in dict.fromkeys(each.row for each in of_column)
        )
        says = (
            "In %, on the mean over draws: macro F1, average precision of the positive class (none where a method "
            "gives no probabilities), and the score of each split."
        )
        grids.append(Grid("Beside these scores", (column(name).title, *scores), rows, says=says))
    return grids


def shot_notes(results: Results, names: Sequence[str]) -> tuple[str, ...]:
    """Of which data sets there were fewer shots than asked for, or one draw, a sentence each."""
    return tuple(
        f"{column(each.name).title}: {each.shots}." for each in results.columns if each.shots and each.name in names
    )


def reason_grid(reasons: Reasons) -> Grid:
    """What the marks of missing numbers stand for."""
    head = ("mark", "why there is no number")
    return Grid("Where there is no number", head, tuple((m, why) for why, m in reasons.marks.items()), words=head[1:])


def unmatched_grid(results: Results) -> Grid | None:
    """The share of written answers that name no class."""
    found = [each for each in results.entries if each.unmatched > 0]
    if not found:
        return None
    names = [name for name in results.recipe.columns if any(each.column == name for each in found)]
    share = {(each.row, each.column): each.unmatched for each in found}
    rows = tuple(
        (row, *(_percent(share.get((row, name), 0.0)) for name in names))
        for row in dict.fromkeys(each.row for each in found)
    )
    says = "Share of the answers, in %, that name no class. They count as wrong."
    return Grid("Answers of no class", ("method", *(column(n).title for n in names)), rows, says=says)


def value_and_interval(interval: Interval) -> str:
    """`63.3 [57, 69]`."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def value_and_half(interval: Interval) -> str:
    """`63.3 ±6`."""
    return f"{100 * interval.value:.1f} ±{50 * (interval.high - interval.low):.0f}"


def _number(entry: Entry, reasons: Reasons, cell: Callable[[Interval], str]) -> str:
    if entry.interval is None:
        return reasons.mark(entry.why or "nothing was run")
    return cell(entry.interval) + (f" {reasons.mark(entry.why)}" if entry.why else "")


def _line(results: Results, reasons: Reasons, line: str, place: Place) -> str:
    name, score = place
    measured = next(each for each in results.columns if each.name == name)
    values = getattr(measured, line)
    return _percent(values[score]) if values else reasons.mark(measured.why or "no data")


def _best(results: Results, panel: Panel, places: Sequence[Place]) -> frozenset[tuple[int, int]]:
    best = set()
    for across, place in enumerate(places, start=1):
        entries = [results.entry(panel.name, row.name, *place) for row in panel.rows]
        values = [e.interval.value if e.interval is not None else -1.0 for e in entries]
        best |= {(down, across) for down, value in enumerate(values) if value == max(values) >= 0}
    return frozenset(best)


def _mean(
    rows: Iterable[Spent], of: Callable[[Spent], float | None], form: str, *, without: str = "not counted"
) -> str:
    known = [value for value in map(of, rows) if value is not None]
    return format(sum(known) / len(known), form) if known else without


def _most(rows: Iterable[Spent]) -> str:
    known = [each.peak_bytes for each in rows if each.peak_bytes is not None]
    return f"{max(known) / 2**20:,.0f} MB" if known else "not told"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
