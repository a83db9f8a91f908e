"""The files of a run: its log and its drawn images. Knows nothing of what is learned."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import torch

import tower

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SEED = 7


def log(run: Path, **entry: object) -> None:
    """Append one JSON line to the run's log."""
    with (run / "log.jsonl").open("a") as stream:
        stream.write(json.dumps(entry) + "\n")


def load_data(run: Path, *, images: bool = True) -> tower.Data:
    """The drawn images of a run and their labels, or the labels alone; files that this program wrote itself."""
    with (run / ("data.pkl" if images else "labels.pkl")).open("rb") as stream:
        return pickle.load(stream)
