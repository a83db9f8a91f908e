"""The example that fills one column runs as it is, on data in the form their owners give them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLE = Path(__file__).parents[1] / "examples/benchmark_column.py"
COATS = {"pug": (200, 60, 60), "Bombay": (20, 20, 20), "beagle": (60, 190, 60), "great_pyrenees": (240, 240, 240)}


@pytest.fixture
def root(tmp_path):
    """Pets of one colour a breed."""
    rng = np.random.default_rng(0)
    for folder in ("annotations", "images"):
        (tmp_path / "pets" / folder).mkdir(parents=True)
    for part, numbers in (("trainval", range(5)), ("test", range(5, 8))):
        names = [f"{breed}_{number}" for breed in COATS for number in numbers]
        (tmp_path / f"pets/annotations/{part}.txt").write_text("".join(f"{name} 1 1 1\n" for name in names))
        for name in names:
            pixels = rng.normal(COATS[name.rpartition("_")[0]], 15, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"pets/images/{name}.jpg")
    return tmp_path


@pytest.mark.slow
def test_the_example_scores_a_column(root):
    run = subprocess.run(
        [sys.executable, str(EXAMPLE), "pets", str(root), "--shots", "5"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    score, majority = map(float, re.search(r"pets: ([\d.]+) \(.*on 12; always 'Bombay': ([\d.]+)", run.stdout).groups())
    assert majority == 25
    assert score > 75, "coats of one colour are told apart"
