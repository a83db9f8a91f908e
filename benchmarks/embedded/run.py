"""Running tasks, one after the other or side by side. Writes nothing but a line a task to standard error."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import cache, partial

import numpy as np

from benchmarks.embedded.features import backbones_of, features_of_task
from benchmarks.embedded.measure import TaskResult, measure
from benchmarks.embedded.methods import SAVS, draw_shots, few_shot_answers, zero_shot_answers
from benchmarks.embedded.tasks import BenchTask, load_task
from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
from savs.processes import side_by_side


def run_tasks(given: argparse.Namespace) -> list[TaskResult]:
    """All tasks, several at a time where `given.jobs` says so."""
    run = partial(_run_named, given=given)
    if given.jobs == 1:
        return [run(name) for name in given.tasks]
    with side_by_side(given.jobs) as pool:
        return list(pool.map(run, given.tasks))


def _run_named(name: str, given: argparse.Namespace) -> TaskResult:
    start = time.perf_counter()
    task = shortened(load_task(name, seed=given.seed), given.max_test)
    result = run_task(backbones(given.model, given.seed), task, given.shots, given.draws, given.seed)
    log(f"{name}: SAVs {result.accuracy[SAVS]}, {time.perf_counter() - start:.0f} s")
    return result


@cache
def backbones(model: str, seed: int) -> dict[str, HuggingFaceBackbone]:
    """The models, opened once in each process."""
    return backbones_of(load_backbone(model, dtype="float32", device="cpu"), seed)


def run_task(models: dict[str, HuggingFaceBackbone], task: BenchTask, shots: int, draws: int, seed: int) -> TaskResult:
    """Every row of one task.

    Args:
        models: of `backbones`.
        task: with its data.
        shots: labelled examples a class, where the task does not set its own number.
        draws: how many times the shots are drawn.
        seed: of the first draw and of the bootstraps.
    """
    shots = min(shots, task.shots or shots)
    features = features_of_task(models, task.data)
    labels = np.array([str(example.label) for example in task.data.pool])
    drawn = draw_shots(task, shots, range(seed, seed + draws))
    answers = zero_shot_answers(models["heads"], task) | few_shot_answers(features, labels, drawn)
    return measure(task, answers, shots=shots, seed=seed)


def shortened(task: BenchTask, most: int | None) -> BenchTask:
    """The task with at most so many test examples, for a trial."""
    if most is None:
        return task
    return replace(task, data=replace(task.data, test=task.data.test[:most]), apart=task.apart[:most])


def log(text: str) -> None:
    """Tell of progress or an error."""
    print(text, file=sys.stderr, flush=True)
