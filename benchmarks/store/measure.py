"""One measurement a process: a store is generated, and a fresh process does one thing with it and says what it took.

A process of its own, because the most memory that a process ever had is all that the system tells. Linux tells it of
the process alone; elsewhere it may hold what the parent had when the process was started.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from savs.backbones.base import BackboneSpec
from savs.classify import SAVClassifier
from savs.features import HeadLayout
from savs.store import ActivationStore

CLASSES = 20
#: Every so many heads, one tells the classes apart; the others are noise.
_TELLING = 49
_ROWS = 256
HEADS_A_LAYER = 28


def key(row: int) -> str:
    """The key of a generated row."""
    return f"{row:032x}"


def label(row: int) -> str:
    """The class of a generated row."""
    return f"class {row % CLASSES:02}"


def generate(folder: Path, *, examples: int, heads: int, head_dim: int, seed: int) -> dict[str, float]:
    """Fill a store with noise, and with signal in some heads; tells the seconds that the store took for it."""
    spec = BackboneSpec(model="generated", revision=f"seed {seed}", dtype="float16", attention="none")
    layout = HeadLayout.grid(heads // HEADS_A_LAYER, HEADS_A_LAYER, head_dim)
    store = ActivationStore.create(folder, spec=spec, layout=layout, dtype="float16")
    rng = np.random.default_rng(seed)
    means = 0.5 * rng.standard_normal((CLASSES, head_dim), dtype=np.float32)
    noise = rng.standard_normal((2 * _ROWS, layout.n_heads, head_dim), dtype=np.float32)
    seconds = 0.0
    for start in range(0, examples, _ROWS):
        rows = np.arange(start, min(start + _ROWS, examples))
        # Fresh noise for all would take longer than what is measured: heads and rows of one draw are shifted anew.
        z = np.roll(noise, rng.integers(layout.n_heads), axis=1)[rng.permutation(2 * _ROWS)[: len(rows)]]
        z[:, ::_TELLING] += means[rows % CLASSES][:, None]
        began = time.perf_counter()
        store.append(z, [key(row) for row in rows])
        seconds += time.perf_counter() - began
    size = sum(path.stat().st_size for path in store.shards)
    return {"seconds": seconds, "bytes": size, "rows": examples, "heads": layout.n_heads, "shards": len(store.shards)}


def fit(folder: Path, examples: int) -> dict[str, Any]:
    """Rank all heads of all rows and keep twenty, as `savs fit` does, without its held-out estimate."""
    features = ActivationStore.open(folder).select([key(row) for row in range(examples)])
    labels = np.array([label(row) for row in range(examples)])
    classifier = SAVClassifier().fit(features, labels)
    telling = set(range(0, features.layout.n_heads, _TELLING))
    found = telling & set(classifier.selected_heads_.tolist())
    return {"telling_heads": len(telling), "found_among_kept": len(found)}


def predict(folder: Path, examples: int) -> dict[str, Any]:
    """Fit on twenty rows a class, and classify all rows from their stored features."""
    store = ActivationStore.open(folder)
    shots = range(20 * CLASSES)
    classifier = SAVClassifier().fit(store.select([key(row) for row in shots]), [label(row) for row in shots])
    began = time.perf_counter()
    said = classifier.predict(store.select([key(row) for row in range(examples)]))
    right = sum(answer == label(row) for row, answer in enumerate(said.tolist()))
    return {"predict_seconds": time.perf_counter() - began, "right": right / examples}


def read(folder: Path, examples: int) -> dict[str, Any]:
    """Read 20 heads of 1,000 rows, spread over the heads and in rows that follow one another; best and worst of 20."""
    store = ActivationStore.open(folder)
    began = time.perf_counter()
    n_rows = len(store)
    opened = time.perf_counter() - began
    rows = min(1000, examples)
    heads = np.linspace(0, store.layout.n_heads - 1, 20).astype(int).tolist()
    stored = store.select([key(row) for row in range(rows)])
    times = []
    for _ in range(20):
        began = time.perf_counter()
        stored.read_heads(heads)
        times.append(time.perf_counter() - began)
    return {"index_seconds": opened, "index_rows": n_rows, "rows": rows, "median_ms": 1e3 * float(np.median(times)),
            "low_ms": 1e3 * min(times), "high_ms": 1e3 * max(times)}  # fmt: skip


def verify(folder: Path, examples: int) -> dict[str, Any]:
    """Read every byte again."""
    return {"damaged": len(ActivationStore.open(folder).verify())}


STEPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "fit": fit, "predict": predict, "read": read, "verify": verify,
}  # fmt: skip


def in_a_process(step: str, folder: Path, examples: int) -> dict[str, Any]:
    """Run one of `STEPS` in a fresh process; with the seconds and the most memory it took."""
    command = [sys.executable, "-m", "benchmarks.store.measure", step, str(folder), str(examples)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Do one step and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("examples", type=int)
    arguments = parser.parse_args()
    before = _peak()
    began = time.perf_counter()
    result = STEPS[arguments.step](arguments.folder, arguments.examples)
    seconds = time.perf_counter() - began
    print(json.dumps({**result, "seconds": seconds, "peak_bytes": _peak(), "bytes_of_the_imports": before}))


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
