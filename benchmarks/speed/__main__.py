"""`python -m benchmarks.speed`: how fast the package is, as a page and as JSON. With `--gpu`, on a GPU."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import savs
from benchmarks.speed import asked_again, gpu, growth, modelless, page, rows
from benchmarks.speed.models import Workload, embedded, many_image_tokens, text
from benchmarks.speed.timing import NotTheSame, Row, Timer
from savs.errors import SavsError

ROOT = Path(__file__).parents[2]
_VERSIONS = ("torch", "transformers", "numpy", "scikit-learn", "pillow")

#: Fixed before anything was measured.
EMBEDDED_TARGETS = {"fit": 12.0, "predict": 5.0}
TEXT_TARGETS = {"fit": 6.5, "predict": 2.2}
QUESTION_TARGET = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; returns the exit status."""
    given = _parser().parse_args(arguments)
    typed = sys.argv[1:] if arguments is None else list(arguments)
    # What a trial measures means nothing, and must not take the place of what was measured.
    out = given.out or ROOT / ("build/speed" if given.quick else "docs")
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        if given.gpu:
            _write(out, "gpu", gpu.run(tiny=given.quick, repeats=given.repeats), _setting(typed, given))
        else:
            _write(out, "cpu", _on_this_machine(given), _setting(typed, given))
    except (SavsError, NotTheSame) as error:
        _log(f"error: {error}")
        return 1
    return 0


def _on_this_machine(given: argparse.Namespace) -> dict[str, Any]:
    timer, few = Timer(given.repeats, given.clock), Timer(min(3, given.repeats), given.clock)
    quick = given.quick
    demo = embedded(10 if quick else 20, 8 if quick else 120)
    language = text(10 if quick else 20, 3 if quick else 4, 4 if quick else 24, tiny=quick)
    found: list[Row] = []

    def add(*more: Row) -> None:
        found.extend(more)
        for row in more:
            ratio = f"{row.ratio.median:.2f} times ({row.ratio.low:.2f} to {row.ratio.high:.2f})"
            _log(f"{row.model}: {row.what}, against {row.slow}: {ratio}")

    _warm(demo, language)
    rows.shallow_equals_whole(demo)
    add(*rows.fit_and_predict(demo, timer, EMBEDDED_TARGETS))
    add(*rows.fit_and_predict(language, few, TEXT_TARGETS))
    for n in (16,) if quick else (120, 1200):
        add(rows.overhead(demo, timer, n), rows.overhead(demo, timer, n, side_by_side=False))
    add(rows.overhead(language, few, len(language.test)))
    add(*rows.levers(demo, timer), rows.together(demo, few), *rows.levers(language, few))
    add(*asked_again.more_questions(demo.name, demo.backbone, 4 if quick else 24, 64, timer, QUESTION_TARGET))
    seeing = many_image_tokens(tiny=quick)
    add(*asked_again.more_questions(seeing.spec.model, seeing, 2 if quick else 4, 224, few, QUESTION_TARGET))
    add(*asked_again.images_again(demo.name, demo.backbone, 4 if quick else 24, 64, timer))
    add(*asked_again.images_again(seeing.spec.model, seeing, 2, 224, few))
    for n_classes in (10, 20) if quick else (10, 100, 1000):
        add(*modelless.scoring(n_classes, few))
    add(*modelless.storing(demo.backbone.spec, 64 if quick else 2048, few))
    return {
        "rows": [row.to_json() for row in found],
        "max_layer": [*rows.depths(demo, few), *rows.depths(language, few)],
        "growth": growth.growth((16,) if quick else (100, 1000, 10_000), given.clock),
    }


def _warm(*works: Workload) -> None:
    """First calls load code and ask the model what it allows; they are not what is measured."""
    for work in works:
        for _ in range(2):
            work.backbone.head_activations(work.test[:4])


def _setting(typed: Sequence[str], given: argparse.Namespace) -> dict[str, Any]:
    return {
        "command": shlex.join(["python", "-m", "benchmarks.speed", *typed]),
        "quick": given.quick,
        "clock": given.clock,
        "repeats": given.repeats,
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        "machine": torch.cuda.get_device_name() if given.gpu and torch.cuda.is_available() else platform.machine(),
        "versions": {
            "Python": platform.python_version(),
            "savs": savs.__version__,
            **{name: version(name) for name in _VERSIONS},
        },
    }


def _write(folder: Path, part: str, results: dict[str, Any], setting: dict[str, Any]) -> None:
    """Put one part's results beside those of the other, and draw the page anew from both."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "speed.json"
    both = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    both[part] = {"setting": setting, **results}
    file.write_text(json.dumps(both, indent=1) + "\n", encoding="utf-8")
    (folder / "speed.md").write_text(page.render(both), encoding="utf-8")
    _log(f"wrote {folder / 'speed.md'}")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="measure a model of 7B parameters on a GPU instead")
    parser.add_argument(
        "--quick", action="store_true", help="a trial: tiny models and few examples, to see that it runs"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement; the slow ones take 3 at most")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu where the machine is shared")
    parser.add_argument("--threads", type=int, help="of torch; its own choice by default")
    parser.add_argument("--out", type=Path, help="folder of speed.md and speed.json; docs, or build/speed with --quick")
    return parser


if __name__ == "__main__":
    sys.exit(main())
