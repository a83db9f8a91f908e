"""A recipe's results as files: Markdown beside its pictures, HTML with the pictures inside, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from savs.bench.cells import write_whole
from savs.bench.columns import Column, column
from savs.bench.figures import figures
from savs.bench.grids import (
    Grid,
    Reasons,
    beside_grids,
    blocks,
    cost_grid,
    curve_grid,
    data_grid,
    heads_grid,
    lead_grid,
    paper_grid,
    places_of,
    prompt_grid,
    reason_grid,
    score_grid,
    shot_notes,
    unmatched_grid,
    value_and_interval,
)
from savs.bench.recipes import Panel
from savs.bench.results import Results
from savs.bench.rows import RANKING
from savs.plot import figure_bytes

#: Scores beside each other before a table is broken.
_ACROSS = 6


@dataclass(frozen=True)
class Section:
    """A heading, what is said beneath it, tables and a figure."""

    title: str
    says: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    figure: str | None = None


def write_pages(results: Results, folder: Path) -> list[Path]:
    """Write `<recipe>.md`, `.html`, `.csv`, `.json` and the figures as SVG; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    name = results.recipe.name
    drawn = {f"{name}-{part}": figure_bytes(figure) for part, figure in figures(results).items()}
    sections = _sections(results, list(drawn))
    texts = {f"{stem}.svg": picture.decode() for stem, picture in drawn.items()} | {
        f"{name}.md": markdown(results, sections),
        f"{name}.html": html(results, sections, drawn),
        f"{name}.csv": table(results),
        f"{name}.json": json.dumps(results.to_json(), indent=1, ensure_ascii=False) + "\n",
    }
    for file, text in texts.items():
        write_whole(folder / file, text)
    return [folder / file for file in texts]


def markdown(results: Results, sections: Sequence[Section]) -> str:
    """The page as Markdown, beside its figures."""
    lines = [f"# {results.recipe.title}", "", *_paragraphs(_opening(results, code="`"))]
    for section in sections:
        lines += [f"## {section.title}", ""]
        if section.figure is not None:
            lines += [f"![{section.title}]({section.figure}.svg)", ""]
        lines += _paragraphs(section.says)
        for grid in section.grids:
            lines += _markdown_grid(grid)
    return "\n".join(lines).rstrip() + "\n"


def html(results: Results, sections: Sequence[Section], drawn: Mapping[str, bytes]) -> str:
    """The page as one HTML file that needs nothing else."""
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = files("savs").joinpath("templates/bench.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        title=results.recipe.title,
        opening=_opening(results, code=""),
        sections=sections,
        pictures={name: f"data:image/svg+xml;base64,{b64encode(svg).decode()}" for name, svg in drawn.items()},
    )


def table(results: Results) -> str:
    """Every number as CSV, one a line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("panel", "method", "column", "score", "value", "low", "high", "draws", "shots", "seeds", "unmatched")
        + ("lead", "lead_low", "lead_high", "p", "paper", "difference", "seconds", "forwards", "peak_bytes", "why")
    )
    spent = {(each.panel, each.row, each.column): each for each in results.spent}
    for e in results.entries:
        cost = spent.get((e.panel, e.row, e.column))
        found, lead = e.interval, e.lead
        difference = found.value - e.paper if found is not None and e.paper is not None else None
        numbers = (
            *((found.value, found.low, found.high) if found else (None,) * 3),
            e.draws,
            e.shots,
            " ".join(map(str, e.seeds)),
            e.unmatched,
            *((lead.by.value, lead.by.low, lead.by.high, lead.p_value) if lead else (None,) * 4),
            e.paper,
            difference,
            *((cost.seconds, cost.forwards, cost.peak_bytes) if cost else (None,) * 3),
            e.why,
        )
        writer.writerow((e.panel, e.row, e.column, e.score, *(_short(number) for number in numbers)))
    for also in results.beside:
        writer.writerow(("beside", also.row, also.column, also.score, _short(also.value), *[""] * 16))
    return out.getvalue()


def _sections(results: Results, drawn: Sequence[str]) -> list[Section]:
    reasons = Reasons()
    sections = _head_sections(results) if results.recipe.shows == "heads" else []
    for panel in results.recipe.panels:
        sections += _panel_sections(results, panel, reasons, drawn)
    beside = beside_grids(results)
    sections += [_section(*beside)] if beside else []
    unmatched = unmatched_grid(results)
    sections += [_section(unmatched)] if unmatched is not None else []
    sections += [_section(reason_grid(reasons))] if reasons.marks else []
    return [*sections, _section(cost_grid(results)), _section(data_grid(results)), _section(prompt_grid(results))]


def _section(*grids: Grid) -> Section:
    """Tables under the title of the first, and what it says."""
    return Section(grids[0].title, (grids[0].says,) if grids[0].says else (), grids)


def _head_sections(results: Results) -> list[Section]:
    name = results.recipe.name
    scores = Section(
        "Head scores on the shots, the kept heads outlined",
        ("From the lowest score of a task (white) to its highest (dark), as each title tells them.",),
        figure=f"{name}-heads",
    )
    points = Section(
        "What the best head sees",
        ("Output of the head named in each title for the test examples, in the plane by t-SNE. Colours are classes.",),
        figure=f"{name}-tsne",
    )
    return [*([scores, points] if results.maps else []), _section(heads_grid(results))]


def _panel_sections(results: Results, panel: Panel, reasons: Reasons, drawn: Sequence[str]) -> list[Section]:
    """The scores of a panel with its figure and the paper's numbers, and for a table the first row's leads."""
    parts = blocks(places_of(panel), _ACROSS)
    scores = [
        score_grid(results, panel, reasons, places=part, cell=value_and_interval, head=Column.score_title)
        for part in parts
    ]
    curve, beside = curve_grid(results, panel) if panel.counts else None, paper_grid(results, panel)
    figure = f"{results.recipe.name}-{panel.file}"
    section = Section(
        f"{panel.name}: {panel.title}" if panel.name and not panel.counts else panel.title,
        (
            _SCORES,
            *_of_ranking(results, panel),
            *([curve.says] if curve else []),
            *shot_notes(results, panel.columns),
        ),
        tuple(grid for grid in (curve, *scores, beside) if grid is not None),
        figure if figure in drawn else None,
    )
    compared = any(entry.lead is not None for entry in results.entries if entry.panel == panel.name)
    if panel.counts or not compared:
        return [section]
    return [section, _section(*(lead_grid(results, panel, reasons, part) for part in parts))]


_SCORES = (
    "In %, with a 95 % interval for new shots and new test examples at once (draws and examples are resampled "
    "crosswise). The best of a column is bold. Majority is always the commonest label of the test examples, chance is "
    "guessing among what is offered."
)


def _of_ranking(results: Results, panel: Panel) -> tuple[str, ...]:
    """What guessing gives to rows that only compare."""
    # Of the 24 orders of a group's four similarities, four have both true ones in front.
    ranked = [e for e in results.entries if e.panel == panel.name and e.row in RANKING and e.interval is not None]
    names = dict.fromkeys(e.row for e in ranked if column(e.column).metric in ("pairs", "groups"))
    if not names:
        return ()
    return (
        f"{' and '.join(names)} cannot judge a caption by itself, and say which of two captions or images fits better: "
        "guessing gives that 50 % of pairs, questions and images, and 16.7 % of groups, and not what stands at chance.",
    )


def _opening(results: Results, *, code: str) -> tuple[str, ...]:
    setting, spec = results.setting, results.setting["model"]
    made = f"Made by {code}{setting['command']}{code}, which writes this page. Nothing here was edited by hand."
    model = (
        f"Model {spec['model']} (revision {spec['revision'][:16]}, {spec['dtype']}, {setting['heads']} heads); "
        f"{setting['shots']} shots a class, {setting['draws']} draws ({setting['costly_draws']} of methods that run "
        f"the model for every draw), seed {setting['seed']}; "
        + ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
        + f"; {setting['machine']}."
    )
    about = (setting["about"],) if setting.get("about") else ()
    return (made, *about, model)


def _markdown_grid(grid: Grid) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"

    body = [
        line([f"**{cell}**" if (down, across) in grid.best else cell for across, cell in enumerate(row)])
        for down, row in enumerate(grid.rows)
    ]
    rule = line(["---:" if name in grid.numbers else "---" for name in grid.head])
    return [line(grid.head), rule, *body, ""]


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in (text, "")]


def _short(value: object) -> object:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
