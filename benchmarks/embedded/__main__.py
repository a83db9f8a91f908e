"""`python -m benchmarks.embedded`: run every task and write the page, its figure, the numbers, and the card's table."""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import savs
from benchmarks.embedded import figure, page, run
from benchmarks.embedded.measure import TaskResult, aims
from benchmarks.embedded.run import log
from benchmarks.embedded.sources import fetch
from benchmarks.embedded.tasks import TASKS, sources_of
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.errors import SavsError
from savs.plot import figure_bytes

ROOT = Path(__file__).parents[2]
_VERSIONS = ("torch", "transformers", "numpy", "scikit-learn", "pillow", "resvg-py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        for source in sources_of(given.tasks):
            fetch(source)
        trained = run.backbones(given.model, given.seed)["heads"]
        setting = _setting(given, trained, sys.argv[1:] if arguments is None else arguments)
        write(run.run_tasks(given), setting, given)
    except SavsError as error:
        log(f"error: {error}")
        return 1
    return 0


def write(results: Sequence[TaskResult], setting: dict[str, Any], given: argparse.Namespace) -> None:
    """The files under `given.out`, and the table in the card where one was named."""
    given.out.mkdir(parents=True, exist_ok=True)
    verdicts = aims(results)
    picture = figure.draw(results)
    (given.out / "embedded.svg").write_bytes(figure_bytes(picture))
    (given.out / "embedded.png").write_bytes(figure_bytes(picture, format="png"))
    text = page.render(results, verdicts, setting, sources_of(given.tasks), figure="embedded.svg")
    (given.out / "embedded.md").write_text(text, encoding="utf-8")
    (given.out / "embedded.json").write_text(page.as_json(results, verdicts, setting), encoding="utf-8")
    if given.card is not None:
        page.insert_into_card(given.card, page.card_text(results, verdicts, setting))
    log(f"wrote {given.out / 'embedded.md'}")


def _setting(given: argparse.Namespace, trained: HuggingFaceBackbone, arguments: Sequence[str]) -> dict[str, Any]:
    """What changes the numbers, without anything that differs from run to run."""
    installed = {name: version(name) for name in _VERSIONS}
    spec = {name: value for name, value in trained.spec.to_json().items() if name != "location"}
    return {
        "command": shlex.join(["python", "-m", "benchmarks.embedded", *arguments]),
        "model": spec,
        "heads": trained.layout.n_heads,
        "seed": given.seed,
        "draws": given.draws,
        "shots": given.shots,
        "versions": {"Python": platform.python_version(), "savs": savs.__version__, **installed},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedded", description=__doc__)
    parser.add_argument("--model", default="demo", help="`demo`, or the folder of another LLaVA")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--shots", type=int, default=20, help="labelled examples a class")
    parser.add_argument("--draws", type=int, default=5, help="how many times the shots are drawn; two or more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="tasks at a time, each on one core")
    parser.add_argument("--max-test", type=int, help="test examples of each task, for a trial (a multiple of 4)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder of the results")
    parser.add_argument("--card", type=Path, help="model card to write the summary into, between its marks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
