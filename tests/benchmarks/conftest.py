"""The benchmarks and the training scripts are no part of the package: they are found at the root of the repository."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]
