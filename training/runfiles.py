"""The files of a run and the device it runs on. Knows nothing of what is learned."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from images import Data

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SEED = 7
HERE = Path(__file__).parent
MODEL = HERE.parent / "src" / "savs" / "demo" / "model"
#: Of a run in its folder; of the run that made the shipped weights, beside the scripts.
LOG = "log.jsonl"


def use_device(*, threads: int = 1) -> None:
    """Put what a process makes from now on where it computes; a CPU process takes so many threads."""
    torch.set_num_threads(threads)
    torch.set_default_device(DEVICE)
    torch.set_flush_denormal(True)


def log(run: Path, **entry: object) -> None:
    """Append one JSON line to the run's log, and show it."""
    line = json.dumps(entry)
    with (run / LOG).open("a") as stream:
        stream.write(line + "\n")
    print(line, flush=True)


def read_log(run: Path) -> list[dict]:
    """The log's entries in order; of those that a killed run logged and its next start logged again, the later."""
    entries: dict[tuple[str, int | None], dict] = {}
    for line in (run / LOG).read_text().splitlines():
        entry = json.loads(line)
        entries[entry["phase"], entry.get("step")] = entry
    return list(entries.values())


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` once all is written: a killed run leaves nothing half done."""
    partial = path.with_name(f"partial-{path.name}")
    yield partial
    partial.replace(path)


def save(path: Path, content: object) -> None:
    """Write tensors, or what holds them."""
    with written(path) as partial:
        torch.save(content, partial)


def load(path: Path) -> dict:
    """Read what `save` wrote, to the device of this run."""
    return torch.load(path, map_location=DEVICE)


def save_data(run: Path, images: np.ndarray, data: Data) -> None:
    """Keep the drawn images and their labels."""
    with written(run / "labels.pkl") as partial:
        partial.write_bytes(pickle.dumps(data, protocol=5))
    save_array(run / "images.npy", images)


def save_array(path: Path, array: np.ndarray) -> None:
    """Keep an array that `load_array` maps."""
    with written(path) as partial:
        np.save(partial, array)


def load_array(path: Path) -> np.ndarray:
    """An array that stays on disk until it is read."""
    return np.load(path, mmap_mode="r")


def load_data(run: Path) -> Data:
    """What the images of a run show; a file that this program wrote itself."""
    with (run / "labels.pkl").open("rb") as stream:
        return pickle.load(stream)
