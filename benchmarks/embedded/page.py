"""The results as Markdown, as JSON, and as a table in the model's card. Computes no result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.embedded.measure import Aim, TaskResult
from benchmarks.embedded.methods import BEST_ZERO_SHOT, FREE, FREE_WORDS, METHODS, ROWS, SAVS
from benchmarks.embedded.sources import Source
from savs.errors import DataError
from savs.intervals import Interval

MARKS = ("<!-- results:begin -->", "<!-- results:end -->")

#: Columns of the summary after chance and majority, and what stands over them.
_SUMMARY = {
    BEST_ZERO_SHOT: "zero-shot",
    "class means, raw pixels": "pixels",
    "class means, vision tower, mean and max": "vision tower",
    "SAVs, random decoder": "random decoder",
    "SAVs, random weights": "random weights",
    "20 random heads": "20 random heads",
    SAVS: "SAVs",
    "sav-loo": "sav-loo",
    "hec": "hec",
    "gda-loo": "gda-loo",
    "calm": "calm",
}


def render(
    results: Sequence[TaskResult],
    aims: Sequence[Aim],
    setting: Mapping[str, Any],
    sources: Sequence[Source],
    *,
    figure: str,
) -> str:
    """The page.

    Args:
        results: of all tasks.
        aims: with their verdicts.
        setting: what else changes the numbers: `command`, `model`, `versions`, `seed`, `draws`, `shots`.
        sources: packages that data were fetched from.
        figure: the figure's path, relative to the page.
    """
    model = setting["model"]
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    return "\n\n".join(
        [
            "# The embedded model: what it can and cannot do",
            f"Made by `{setting['command']}`, which writes this page, its figure and "
            f"[`embedded.json`](embedded.json) with every number. Nothing here was edited by hand.",
            f"{len(results)} tasks in words, and on images, that the embedded model's training never saw. Those on "
            "drawn scenes and easy-vqa ask of such scenes what training, too, asked of others; digits, textile, "
            "invented names and OpenMoji are of another kind than anything in training. Each is fitted on "
            f"{setting['shots']} labelled examples a class (fewer where a task says so) in {setting['draws']} draws, "
            "and tested on the same examples in each. Tasks, prompts, settings and aims were fixed before the model "
            "that is measured here existed, and did not change; training did, after earlier models were measured on "
            "them: letters, more questions about pairs of images, more wordings, made-up words between those of a "
            "question and the telling back of what the tower sees were added, relatives of held-out pictograms left "
            "out. Brackets hold a 95 % interval for new shots and new test examples at once (draws and examples are "
            "resampled crosswise, examples that share an image or a group together).",
            "## At a glance",
            f"![Accuracy of each method on each task]({figure})",
            summary_table(results),
            "Accuracy in %. The best of a row is bold. *Zero-shot* is the best of four: the answer that the model "
            "writes, or the likeliest label, each with the labels as they stand and with words that the model knows in "
            "their place. *Pixels* and *vision tower* are nearest class means without the text decoder (the tower's "
            "tokens pooled to their mean and maximum), centred on the shots. *Random decoder* is SAVs over the trained "
            "tower under a decoder with random weights, *random weights* SAVs over the same architecture untrained, "
            "both drawn once, as the library draws them. "
            "No prompt is worded as any of training's questions (easy-vqa excepted); how the model answers in words "
            "that training used is told by the gates of its card. "
            f"SAVs keep 20 of {setting['heads']} heads, a larger share than the paper's 20 of 784. "
            f"{_note_of_words(results)}",
            _wins_and_losses(results),
            "## Aims",
            _aims_section(aims),
            *_nothing_shown(results),
            "## All rows",
            _full_table(results),
            _zero_shot_legend(results),
            *_whole_section(results),
            *_apart_section(results),
            "## SAVs against the best of the others",
            _difference_table(results),
            "Points of accuracy, SAVs less the other, paired over draws and examples. The other is the one with the "
            "highest score, chosen after the fact and so in its own favour.",
            "## The tasks",
            _task_table(results),
            "`{...}` stands for text that differs from example to example.",
            *_source_section(sources),
            "## How this was made",
            "```\n" + setting["command"] + "\n```",
            f"Model `{model['model']}`, revision `{model['revision']}`, {model['dtype']}, attention "
            f"`{model['attention']}`; {setting['heads']} heads. Seed {setting['seed']} draws the data and the random "
            f"weights, seeds {setting['seed']} to {setting['seed'] + setting['draws'] - 1} draw the shots. {versions}.",
        ]
    ) + "\n"  # fmt: skip


def summary_table(results: Sequence[TaskResult]) -> str:
    """Tasks by main methods, with intervals; the best of each row bold."""
    rows = []
    for result in results:
        shown = {name: result.interval(name) for name in _SUMMARY}
        best = max(round(interval.value, 3) for interval in shown.values())
        cells = [_with_interval(found, bold=round(found.value, 3) == best) for found in shown.values()]
        rows.append([result.name, _percent(result.chance), _percent(result.majority), *cells])
    return _table(["task", "chance", "majority", *_SUMMARY.values()], rows)


def insert_into_card(card: Path, table: str) -> None:
    """Write `table` between the two marks of the card, which are added at its end where it has none.

    Raises:
        DataError: the card has one mark without the other, or more than one pair.
    """
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    begin, end = MARKS
    counts = text.count(begin), text.count(end)
    if counts == (0, 0):
        text = f"{text.rstrip()}\n\n{begin}\n{end}\n".lstrip()
    elif counts != (1, 1) or text.index(end) < text.index(begin):
        raise DataError(
            f"expected one {begin} and one {end} after it; found {counts[0]} and {counts[1]}", location=str(card)
        )
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    card.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def card_text(results: Sequence[TaskResult], aims: Sequence[Aim], setting: Mapping[str, Any]) -> str:
    """What goes into the card: the summary, what it shows and does not show, and where it comes from."""
    missed = [aim.says for aim in aims if not aim.met]
    return "\n\n".join(
        [
            "### As a classifier",
            "SAVs and what they must be compared with, asked in words that training never used:",
            summary_table(results),
            f"Accuracy in %, {setting['shots']} shots a class or fewer, {setting['draws']} draws, 95 % intervals; the "
            "best of a row is bold. *Zero-shot* is the best of four answers without shots, chosen after the fact. "
            "*Pixels* and *vision tower* are class means without the decoder; *random decoder* is the trained tower "
            "under an untrained one. *SAVs* are the paper's rule, the four to their right other rules over the same "
            "heads.",
            _wins_and_losses(results),
            *_nothing_shown(results),
            f"Of {len(aims)} aims set before, {len(aims) - len(missed)} are met. "
            + (f"Missed: {'; '.join(missed)}." if missed else ""),
            f"Made by `{setting['command']}` on revision `{setting['model']['revision']}`. Every row, control and aim "
            "stands in `docs/results/embedded.md` of the repository.",
        ]
    )


def as_json(results: Sequence[TaskResult], aims: Sequence[Aim], setting: Mapping[str, Any]) -> str:
    """Every number, for a program."""
    content = {
        "setting": setting,
        "aims": [asdict(aim) for aim in aims],
        "tasks": [result.to_json() for result in results],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _wins_and_losses(results: Sequence[TaskResult]) -> str:
    """Where SAVs win and where they lose, in so many words."""

    def names(*verdicts: str) -> list[str]:
        return [result.name for result in results if (result.zero_shot.verdict, result.control.verdict) == verdicts]

    against = {
        "above both the best zero-shot answer and the best control": names("above", "above"),
        "below the best zero-shot answer": [result.name for result in results if result.zero_shot.verdict == "below"],
        "below the best control": [result.name for result in results if result.control.verdict == "below"],
    }
    found = [f"{where} on {_listed(tasks) if tasks else 'no task'}" for where, tasks in against.items()]
    return f"By intervals that leave out zero, SAVs are {'; '.join(found)}."


def _nothing_shown(results: Sequence[TaskResult]) -> list[str]:
    """What being level with zero-shot does not say."""
    idle = [result.name for result in results if result.interval(BEST_ZERO_SHOT).low <= result.majority]
    both = [result.name for result in results if result.name in idle and result.accuracy[SAVS].low <= result.majority]
    said = []
    if idle:
        said.append(
            f"On {_listed(idle)} even the best zero-shot answer is not clearly better than always giving the commonest "
            "label, so that to be level with it, or above, is no merit there"
        )
    if both:
        said.append(f"on {_listed(both)} SAVs are not either")
    return [f"{'; '.join(said)}."] if said else []


def _apart_section(results: Sequence[TaskResult]) -> list[str]:
    some = [result for result in results if result.apart]
    if not some:
        return []
    rows = [
        [name, *(_with_interval(result.apart[name]) for result in some)] for name in (method.name for method in METHODS)
    ]
    return [
        "## Apart from relatives",
        _table(["accuracy, %", *(f"{result.name}: {result.n_apart} of {result.n_test}" for result in some)], rows),
        "Only test examples that differ from every example that may be a shot in more than who is shown.",
    ]


def _note_of_words(results: Sequence[TaskResult]) -> str:
    names = [result.name for result in results if not result.words_known]
    if not names:
        return ""
    return (
        f"The labels of {_listed(names)} mean nothing to the model; there, zero-shot in known words is told what each "
        "label stands for, which SAVs are not."
    )


def _aims_section(aims: Sequence[Aim]) -> str:
    met = sum(aim.met for aim in aims)
    rows = [[aim.says, aim.found, "met" if aim.met else "**missed**"] for aim in aims]
    return (
        f"Set before the model was trained, and judged by the paper's rule (*SAVs*) alone: {met} of {len(aims)} "
        "are met. *Level* means that the interval of the difference holds zero, *above* that it lies above zero.\n\n"
        + _table(["aim", "found", ""], rows)
    )


def _full_table(results: Sequence[TaskResult]) -> str:
    rows = [
        ["chance", *(_percent(result.chance) for result in results)],
        ["majority", *(_percent(result.majority) for result in results)],
    ]
    best = [max(round(found.value, 3) for found in result.accuracy.values()) for result in results]
    for name in ROWS:
        cells = []
        for result, top in zip(results, best, strict=True):
            found = result.accuracy.get(name)
            text = "" if found is None else _percent(found.value)
            cells.append(f"**{text}**" if found is not None and round(found.value, 3) == top else text)
        rows.append([name, *cells])
        if name in (FREE, FREE_WORDS):
            cells = [_percent(result.unmatched[name]) if name in result.unmatched else "" for result in results]
            rows.append(["*of which no label*", *(f"*{cell}*" if cell else "" for cell in cells)])
    return _table(["accuracy, %", *(result.name for result in results)], rows)


def _zero_shot_legend(results: Sequence[TaskResult]) -> str:
    told = [
        f"{result.name} ({', '.join(f'{label}: {word}' for label, word in result.words.items())})"
        for result in results
        if result.words
    ]
    presets = ", ".join(f"*{method.name}*" for method in METHODS if method.preset != "sav")
    return (
        "*Known words* stand for labels so: "
        + "; ".join(told)
        + ". Rows without known words are empty where the labels "
        "are words that the model knows. *No label* is the share of written answers that name no class; they count as "
        "wrong. *20 random heads* vote like SAVs but are drawn, by another seed in each draw; *all heads* vote "
        "together. "
        f"{presets} are [other rules](../method.md) over the same heads. The best of a column is bold."
    )


def _whole_section(results: Sequence[TaskResult]) -> list[str]:
    grouped = [result for result in results if result.whole]
    if not grouped:
        return []
    columns = [(result, kind) for result in grouped for kind in result.whole]
    rows = [
        [
            name,
            *(
                _with_interval(result.whole[kind][name]) if name in result.whole[kind] else ""
                for result, kind in columns
            ),
        ]
        for name in ROWS
    ]
    return [
        "## Whole groups",
        _table(["share right throughout, %", *(f"{result.name}: {kind}" for result, kind in columns)], rows),
        "*Question*: a caption judged rightly on both images. *Image*: both captions judged rightly on an image. "
        "*Group*: all four. *Pair*: the right caption and its hard negative. Guessing gives 25, 25, 6 and 25.",
    ]


def _difference_table(results: Sequence[TaskResult]) -> str:
    rows = []
    for result in results:
        cells = [result.name]
        for difference in (result.zero_shot_as_given, result.zero_shot, result.control):
            by = difference.by
            cells.append(f"{100 * by.value:+.1f} ({100 * by.low:+.0f} to {100 * by.high:+.0f}), {difference.verdict}")
            cells.append(difference.other)
        rows.append(cells)
    names = ["zero-shot, labels as they stand", "which", "zero-shot, best", "which", "best control", "which"]
    return _table(["task", *names], rows)


def _task_table(results: Sequence[TaskResult]) -> str:
    rows = []
    for result in results:
        origin = "; ".join(part for part in (result.source, result.note) if part)
        asks = f"{result.asks} ({origin})" if origin else result.asks
        prompt = "`" + result.prompt.replace("\n", " / ").replace("|", "\\|") + "`"
        rows.append([result.name, asks, prompt, str(len(result.classes)), str(result.shots), str(result.n_test)])
    return _table(["task", "what is told apart", "prompt", "classes", "shots", "tested on"], rows)


def _source_section(sources: Sequence[Source]) -> list[str]:
    if not sources:
        return []
    rows = [[source.package, source.licence, f"`{source.sha256}`"] for source in sources]
    return ["## Fetched data", _table(["package", "licence", "SHA-256"], rows)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _with_interval(interval: Interval, *, bold: bool = False) -> str:
    value = _percent(interval.value)
    return f"{f'**{value}**' if bold else value} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
