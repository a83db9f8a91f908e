"""`python -m benchmarks.embedded`: run every task and write the page, its figure, the numbers, and the card's table."""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import savs
from benchmarks.embedded import figure, page
from benchmarks.embedded.features import backbones_of, features_of_task
from benchmarks.embedded.measure import TaskResult, aims, measure
from benchmarks.embedded.methods import SAVS, draw_shots, few_shot_answers, zero_shot_answers
from benchmarks.embedded.sources import fetch
from benchmarks.embedded.tasks import TASKS, BenchTask, load_task, sources_of
from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
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
        trained = _backbones(given.model, given.seed)["heads"]
        setting = _setting(given, trained, sys.argv[1:] if arguments is None else arguments)
        write(run_tasks(given), setting, given)
    except SavsError as error:
        _log(f"error: {error}")
        return 1
    return 0


def run_tasks(given: argparse.Namespace) -> list[TaskResult]:
    """All tasks, several at a time where `given.jobs` says so."""
    run = partial(_run_named, given=given)
    if given.jobs == 1:
        return [run(name) for name in given.tasks]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(run, given.tasks))


def _run_named(name: str, given: argparse.Namespace) -> TaskResult:
    start = time.perf_counter()
    task = shortened(load_task(name, seed=given.seed), given.max_test)
    result = run_task(_backbones(given.model, given.seed), task, given.shots, given.draws, given.seed)
    _log(f"{name}: SAVs {result.accuracy[SAVS]}, {time.perf_counter() - start:.0f} s")
    return result


@cache
def _backbones(model: str, seed: int) -> dict[str, HuggingFaceBackbone]:
    """The models, opened once in each process."""
    return backbones_of(load_backbone(model, dtype="float32", device="cpu"), seed)


def run_task(
    backbones: dict[str, HuggingFaceBackbone], task: BenchTask, shots: int, draws: int, seed: int
) -> TaskResult:
    """Every row of one task.

    Args:
        backbones: of `backbones_of`.
        task: with its data.
        shots: labelled examples a class, where the task does not set its own number.
        draws: how many times the shots are drawn.
        seed: of the first draw and of the bootstraps.
    """
    shots = min(shots, task.shots or shots)
    features = features_of_task(backbones, task.data)
    labels = np.array([str(example.label) for example in task.data.pool])
    drawn = draw_shots(task, shots, range(seed, seed + draws))
    answers = zero_shot_answers(backbones["heads"], task) | few_shot_answers(features, labels, drawn)
    return measure(task, answers, shots=shots, seed=seed)


def shortened(task: BenchTask, most: int | None) -> BenchTask:
    """The task with at most so many test examples, for a trial."""
    if most is None:
        return task
    return replace(task, data=replace(task.data, test=task.data.test[:most]))


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
        page.insert_into_card(given.card, page.card_text(results, setting))
    _log(f"wrote {given.out / 'embedded.md'}")


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


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
