"""The benchmarks and the training scripts are no part of the package: they are found at the root of the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
