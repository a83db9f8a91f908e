"""Write what is known of each benchmark into `benchmarks.md`, between its marks: `python docs/update_benchmarks.py`."""

import re
from pathlib import Path

from savs.data.benchmark_specs import BenchmarkSpec, Source, benchmarks
from savs.data.tasks import load_task

PAGE = Path(__file__).with_name("benchmarks.md")
MARKS = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def updated(page: str) -> str:
    """The page with the table and the sections as the specs have them now."""
    begin, end = MARKS
    parts = [table(), *(section(spec) for spec in benchmarks())]
    return re.sub(f"{begin}.*{end}", lambda _: "\n\n".join([begin, *parts, end]), page, flags=re.DOTALL)


def table() -> str:
    """One line a benchmark."""
    lines = ["| benchmark | columns of table 1 | asked as | score | licence |", "|---|---|---|---|---|"]
    for spec in benchmarks():
        asked = f"{spec.ways}-way choice" if spec.ways else labels(spec)
        scores = ", ".join(dict.fromkeys(spec.columns.values())).replace("_", " ")
        lines.append(f"| {spec.title} | `{'`, `'.join(spec.columns)}` | {asked} | {scores} | {spec.licence} |")
    return "\n".join(lines)


def labels(spec: BenchmarkSpec) -> str:
    """The labels of a benchmark's task."""
    return ", ".join(load_task(spec.task).labels or ())


def section(spec: BenchmarkSpec) -> str:
    """Where the data are got, in which shapes they load, and what to know."""
    lines = [f"### {spec.title}", f"`--task {spec.task}`. Get it from {links(spec.address)}."]
    if spec.note:
        lines.append(spec.note)
    rows = [f"| {place(spec, source)} | {rows_of(source)} | {media(source)} |" for source in spec.sources]
    lines.append("\n".join(["| where | rows | media |", "|---|---|---|", *rows]))
    return "\n\n".join(lines)


def links(address: str) -> str:
    """The address with its URLs as links."""
    return re.sub(r"https://[^\s,)]+", lambda url: f"<{url[0]}>", address)


def place(spec: BenchmarkSpec, source: Source) -> str:
    """Where a source is looked for."""
    folder = f"`DATA_ROOT/{spec.name}/`"
    return f"the Hub, or its files in {folder}" if source.on_hub else f"{folder}, {source.name}"


def rows_of(source: Source) -> str:
    """The files of a source, and which part they are."""
    parts = {"train": source.train, "test": source.test, "all": source.whole}
    told = [f"{part}: {some(patterns)}" for part, patterns in parts.items() if patterns]
    return "; ".join(told)


def some(patterns: tuple[str, ...]) -> str:
    """The first few patterns, and how many more there are."""
    shown = ", ".join(f"`{pattern}`" for pattern in patterns[:2])
    return shown if len(patterns) <= 2 else f"{shown} and {len(patterns) - 2} more"


def media(source: Source) -> str:
    """The folders of the media."""
    if source.on_hub:
        return "in the rows"
    folders = dict.fromkeys((*source.media, *source.test_media))
    return ", ".join(f"`{folder}/`" for folder in folders) or "found by the end of their path"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
