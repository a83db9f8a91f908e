"""Measure the store on generated features and write the page: `python -m benchmarks.store [--heads 112 784]`.

The largest of the default sizes takes 20 GB of disk, in a folder that is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.store.measure import HEADS_A_LAYER, generate, in_a_process
from benchmarks.store.page import render
from savs import __version__

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def main() -> None:
    """Measure and write `docs/results/store.json` and `store.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--heads", type=int, nargs="+", default=[112, 784])
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where to put the features for a while")
    arguments = parser.parse_args()
    if any(heads % HEADS_A_LAYER for heads in arguments.heads):
        parser.error(f"--heads: expected multiples of {HEADS_A_LAYER}, the heads of a layer")
    command = (
        f"python -m benchmarks.store --examples {arguments.examples} --heads {' '.join(map(str, arguments.heads))} "
        f"--head-dim {arguments.head_dim} --seed {arguments.seed}"
    )
    result: dict[str, Any] = {
        "command": command,
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, {platform.system()}",
        "versions": {"savs": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "examples": arguments.examples,
        "head_dim": arguments.head_dim,
        "sizes": [],
    }
    for heads in arguments.heads:
        result["sizes"].append(_measure(heads, arguments))
        (RESULTS / "store.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "store.md").write_text(render(result), encoding="utf-8")


def _measure(heads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, on one store of so many heads."""
    folder = Path(tempfile.mkdtemp(prefix="savs-store-", dir=arguments.folder))
    try:
        made = generate(
            folder / "store",
            examples=arguments.examples,
            heads=heads,
            head_dim=arguments.head_dim,
            seed=arguments.seed,
        )
        print(heads, "write", made, flush=True)
        size: dict[str, Any] = {"heads": heads, "write": made}
        for step in ("read", "predict", "verify", "fit"):
            size[step] = in_a_process(step, folder / "store", arguments.examples)
            print(heads, step, size[step], flush=True)
        return size
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
