"""Measure the store on generated features and write the page: `python -m benchmarks.store [--sizes 100000x784]`.

The largest of the default sizes takes 20 GB of disk, in a folder that is removed afterwards. Records of sizes that are
not asked for stay as they are in `docs/results/store.json`; `store.md` is made from all of them.
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
    parser.add_argument("--sizes", type=_size, nargs="+", default=[(100_000, 112), (100_000, 784)],
                        metavar="EXAMPLESxHEADS", help=f"heads in multiples of {HEADS_A_LAYER}")  # fmt: skip
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where to put the features for a while")
    arguments = parser.parse_args()
    about = {
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, {platform.system()}",
        "versions": {"savs": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "head_dim": arguments.head_dim,
        "seed": arguments.seed,
    }
    file = RESULTS / "store.json"
    records: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for examples, heads in arguments.sizes:
        records[f"{examples}x{heads}"] = about | _measure(examples, heads, arguments)
        records = dict(sorted(records.items(), key=lambda item: _size(item[0])))
        file.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "store.md").write_text(render(records), encoding="utf-8")


def _size(text: str) -> tuple[int, int]:
    examples, _, heads = text.partition("x")
    if int(heads) % HEADS_A_LAYER:
        raise argparse.ArgumentTypeError(f"{heads} heads; expected a multiple of {HEADS_A_LAYER}")
    return int(examples), int(heads)


def _measure(examples: int, heads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, on one store of so many examples and heads."""
    folder = Path(tempfile.mkdtemp(prefix="savs-store-", dir=arguments.folder))
    try:
        made = generate(
            folder / "store",
            examples=examples,
            heads=heads,
            head_dim=arguments.head_dim,
            seed=arguments.seed,
        )
        print(examples, heads, "write", made, flush=True)
        size: dict[str, Any] = {"examples": examples, "heads": heads, "write": made}
        for step in ("read", "predict", "verify", "fit"):
            size[step] = in_a_process(step, folder / "store", examples)
            print(examples, heads, step, size[step], flush=True)
        return size
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
