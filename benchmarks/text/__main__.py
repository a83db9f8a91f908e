"""`python -m benchmarks.text`: every rule on every text task, as a page and as JSON. Minutes to half an hour."""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import savs
from benchmarks.embedded.sources import SMOLLM2
from benchmarks.rules.measure import cell, measure
from benchmarks.text.page import render
from benchmarks.text.smollm2 import smollm2
from benchmarks.text.tasks import TextTask, load_tasks
from savs.backbones.huggingface import load_backbone
from savs.errors import SavsError

ROOT = Path(__file__).parents[2]
_VERSIONS = ("torch", "transformers", "gguf", "numpy", "scikit-learn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.page:
        _write(given.out, json.loads((given.out / "text.json").read_text(encoding="utf-8")))
        return 0
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        tasks = load_tasks()
        backbone = load_backbone(given.model or smollm2(), dtype="float32", device="cpu")
        cells = []
        for task in tasks:
            start = time.perf_counter()
            answered = measure(
                backbone, task.name, task.pool, task.test,
                draws=given.draws, seed=given.seed, progress=_progress(task.name),
            )  # fmt: skip
            cells += [cell(task.name, [part], seed=given.seed) for part in answered]
            _log(f"{task.name}: {time.perf_counter() - start:.0f} s")
    except SavsError as error:
        _log(f"error: {error}")
        return 1
    results = {
        "setting": {
            "command": shlex.join(["python", "-m", "benchmarks.text", *typed]),
            "model": {name: value for name, value in backbone.spec.to_json().items() if name != "location"},
            "wheel": SMOLLM2.package,
            "heads": backbone.layout.n_heads,
            "seed": given.seed,
            "draws": given.draws,
            "versions": {
                "Python": platform.python_version(),
                "savs": savs.__version__,
                **{name: version(name) for name in _VERSIONS},
            },
        },
        "tasks": [_described(task) for task in tasks],
        "cells": [cell.to_json() for cell in cells],
    }
    _write(given.out, results)
    return 0


def _write(folder: Path, results: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "text.md").write_text(render(results), encoding="utf-8")


def _described(task: TextTask) -> dict[str, Any]:
    return {
        "name": task.name,
        "asks": task.asks,
        "template": task.template,
        "classes": list(task.classes),
        "n_pool": len(task.pool),
        "n_test": len(task.test),
        "source": task.source.package,
        "licence": task.source.licence,
    }


def _progress(name: str) -> Any:
    shown = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 20:
            shown = time.monotonic()
            _log(f"{name}: {done} of {total}")

    return progress


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text", description=__doc__)
    parser.add_argument("--model", help="another text model: a folder or a GGUF file")
    parser.add_argument("--draws", type=int, default=5, help="how many times the shots are drawn; two or more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", action="store_true", help="only make the page anew from the numbers there are")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder of the results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
