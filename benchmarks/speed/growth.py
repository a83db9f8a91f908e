"""What an example costs by how many there are: one step at one number of examples, in a fresh process each.

A process of its own, because memory that an earlier step gave back stays with a process: what a later one takes of it
would not show.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.speed.models import Workload, embedded, on_disk, questions, temporary
from benchmarks.speed.timing import CLOCKS
from savs.backbones.base import BackboneSpec
from savs.backbones.cost import measured
from savs.data.example import Example, Media
from savs.extraction import COMMIT_EVERY, fill
from savs.features import HeadLayout
from savs.model import SAVModel
from savs.store import ActivationStore
from savs.together import windows

ROOT = Path(__file__).parents[2]
_LAYOUT = HeadLayout.grid(30, 9, 64)

Clock = Callable[[], float]


def growth(counts: Sequence[int], clock: str) -> list[dict[str, Any]]:
    """Time and memory of every step at every number of examples."""
    found = []
    for n in counts:
        with temporary() as folder:
            for step in STEPS:
                arguments = [step, str(n), folder, "--clock", clock, "--threads", str(torch.get_num_threads())]
                command = [sys.executable, "-m", "benchmarks.speed.growth", *arguments]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
                found.append(json.loads(run.stdout))
    return found


def measure(step: str, n: int, folder: Path, clock: Clock) -> dict[str, Any]:
    """One step in this process, once what it needs is loaded and warm."""
    job = STEPS[step](n, folder)
    with measured(None) as before:
        pass
    with measured(None) as cost:
        seconds = job(clock)
    return {
        "what": step,
        "n": n,
        "ms_per_example": 1e3 * seconds / n,
        "start_mb": (before.peak_bytes or 0) / 1e6,
        "peak_mb": (cost.peak_bytes or 0) / 1e6,
    }


def _timed(job: Callable[[], object]) -> Callable[[Clock], float]:
    def run(clock: Clock) -> float:
        start = clock()
        job()
        return clock() - start

    return run


def _work(n: int, folder: Path) -> tuple[Workload, list[Example]]:
    """The embedded model, warm, and `n` labelled examples whose images are in files."""
    work = embedded(20, 120)
    backbone = work.backbone
    for _ in range(2):
        backbone.head_activations(work.test[:16])
    # Pictures come again after a while: sharing them would make many examples cheaper than few.
    backbone.levers = replace(backbone.levers, share_prefixes=False)
    # In no order of their labels, so that the first few have all of them.
    order = np.random.default_rng(0).permutation(len(work.pool) + len(work.test))
    return work, on_disk([(*work.pool, *work.test)[i] for i in order], folder, n)


def _fit(n: int, folder: Path) -> Callable[[Clock], float]:
    work, examples = _work(n, folder)
    return _timed(partial(SAVModel.fit, work.backbone, examples))


def _predict(n: int, folder: Path) -> Callable[[Clock], float]:
    work, examples = _work(n, folder)
    return _timed(partial(_predict_in_windows, work.fitted(), examples))


def _predict_in_windows(fitted: SAVModel, examples: Sequence[Example]) -> int:
    """As `savs predict` does, which writes each window's answers and forgets them."""
    return sum(len(fitted.predict(some)) for some in windows(examples))


def _further_questions(n: int, folder: Path) -> Callable[[Clock], float]:
    """`n` further questions, three about an image: what four about each take longer than one."""
    work, _ = _work(1, folder)
    work.backbone.levers = replace(work.backbone.levers, share_prefixes=True)
    fitted, images = work.fitted(), []
    rng = np.random.default_rng(0)
    for i in range(-(-n // 3)):
        images.append(Media(folder / f"asked-{i}.png"))
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / f"asked-{i}.png")
    one, four = (_timed(partial(_predict_in_windows, fitted, questions(images, each))) for each in (1, 4))
    return lambda clock: (four(clock) - one(clock)) * n / (3 * len(images))


def _fill(n: int, folder: Path) -> Callable[[Clock], float]:
    work, examples = _work(n, folder)
    store = ActivationStore.create(folder / "filled", spec=work.backbone.spec, layout=work.backbone.layout)
    # The same few pictures come again and again; a text of its own makes each example one to run.
    different = [replace(example, text=f"{example.text} {row}") for row, example in enumerate(examples)]
    return _timed(partial(fill, store, work.backbone, different))


def _fit_from_a_store(n: int, folder: Path) -> Callable[[Clock], float]:
    """On what `_fill` left; labels are made up, since they do not change how long it takes."""

    def fit() -> None:
        store = ActivationStore.open(folder / "filled")
        labels = ["ab"[row % 2] for row in range(n)]
        SAVModel.fit_features(store.select(store.keys, labels=labels), backbone=store.spec)

    return _timed(fit)


def _write(n: int, folder: Path) -> Callable[[Clock], float]:
    z = np.random.default_rng(0).normal(size=(COMMIT_EVERY, _LAYOUT.n_heads, _LAYOUT.head_dim)).astype(np.float32)
    spec = BackboneSpec("drawn", revision="seed 0", dtype="float32", attention="none")

    def write() -> None:
        store = ActivationStore.create(folder / "written", spec=spec, layout=_LAYOUT)
        keys = (f"{row:032x}" for row in range(n))
        while part := list(islice(keys, COMMIT_EVERY)):
            store.append(z[: len(part)], part)

    return _timed(write)


def _read(_: int, folder: Path) -> Callable[[Clock], float]:
    return _timed(lambda: ActivationStore.open(folder / "written").read(heads=_LAYOUT.heads[-20:]))


#: What is done, by its name on the page, in this order: some go on from what one before them left in the folder. Each
#: loads what it needs and gives back what is measured, which tells its seconds.
STEPS: dict[str, Callable[[int, Path], Callable[[Clock], float]]] = {
    "fit": _fit,
    "predict": _predict,
    "a further question": _further_questions,
    "fill a store": _fill,
    "fit from a store": _fit_from_a_store,
    "write features": _write,
    "read 20 heads": _read,
}


def main() -> None:
    """Do one step and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("n", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clock", choices=CLOCKS, required=True)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(json.dumps(measure(given.step, given.n, given.folder, CLOCKS[given.clock])))


if __name__ == "__main__":
    main()
