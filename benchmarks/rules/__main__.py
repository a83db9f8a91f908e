"""`python -m benchmarks.rules`: every rule on the embedded model's tasks at 5, 10 and 20 shots. Minutes."""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import savs
from benchmarks.embedded.tasks import TASKS, BenchTask, load_task
from benchmarks.rules.measure import SHOTS, cell, measure
from benchmarks.rules.page import render
from savs.backbones.huggingface import load_backbone
from savs.errors import SavsError

ROOT = Path(__file__).parents[2]
#: What the mean over tasks is called in a table.
MEAN = "mean of the tasks"
_VERSIONS = ("torch", "transformers", "numpy", "scikit-learn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.page:
        _write(given.out, json.loads((given.out / "rules.json").read_text(encoding="utf-8")))
        return 0
    try:
        results = run(given, sys.argv[1:] if arguments is None else arguments)
    except SavsError as error:
        _log(f"error: {error}")
        return 1
    _write(given.out, results)
    return 0


def run(given: argparse.Namespace, typed: Sequence[str]) -> dict[str, Any]:
    """Every number, as `rules.json` holds them.

    Raises:
        SavsError: a task's data cannot be fetched, or the model cannot be loaded.
    """
    tasks = [load_task(name, seed=given.seed) for name in given.tasks]
    taking_part = [task for task in tasks if _gives(task, max(SHOTS))]
    backbone = load_backbone(given.model, dtype="float32", device="cpu")
    by_task = []
    for task in taking_part:
        start = time.perf_counter()
        by_task.append(measure(backbone, task.name, task.data.pool, task.data.test, draws=given.draws, seed=given.seed))
        _log(f"{task.name}: {time.perf_counter() - start:.0f} s")
    chances = {task.name: 1 / len(task.data.classes) for task in taking_part}
    means = [cell(MEAN, parts, seed=given.seed) for parts in zip(*by_task, strict=True)]
    return {
        "setting": {
            "command": shlex.join(["python", "-m", "benchmarks.rules", *typed]),
            "model": {name: value for name, value in backbone.spec.to_json().items() if name != "location"},
            "heads": backbone.layout.n_heads,
            "seed": given.seed,
            "draws": given.draws,
            "most": max(SHOTS),
            "left_out": [task.name for task in tasks if task not in taking_part],
            "versions": {
                "Python": platform.python_version(),
                "savs": savs.__version__,
                **{name: version(name) for name in _VERSIONS},
            },
        },
        "chances": {**chances, MEAN: sum(chances.values()) / len(chances)},
        "means": [mean.to_json() for mean in means],
        "cells": [cell(part.task, [part], seed=given.seed).to_json() for parts in by_task for part in parts],
    }


def _gives(task: BenchTask, shots: int) -> bool:
    """Whether every class has so many examples to draw from."""
    counts = Counter(example.label for example in task.data.pool)
    return min(counts.values()) >= shots


def _write(folder: Path, results: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "rules.md").write_text(render(results), encoding="utf-8")


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rules", description=__doc__)
    parser.add_argument("--model", default="demo", help="`demo`, or the folder of another model")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--draws", type=int, default=5, help="how many times the shots are drawn; two or more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", action="store_true", help="only make the page anew from the numbers there are")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder of the results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
