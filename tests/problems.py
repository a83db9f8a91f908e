"""Problems whose answer is known: features in which some heads tell the classes apart and the others do not."""

import numpy as np

from savs.baselines.method import Problem
from savs.data.example import Example
from savs.features import HeadFeatures, HeadLayout


def examples_of(labels, prefix="e"):
    return tuple(Example(f"{prefix}{i}", f"what is {prefix} {i}?", label=str(label)) for i, label in enumerate(labels))


LAYOUT = HeadLayout.grid(3, 4, 8)


def features_of(examples, *, telling, layout=LAYOUT, seed=0, distance=6.0):
    """Noise at every head, and at the heads `telling` (columns) a direction of its own for each class."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(len(examples), layout.n_heads, layout.head_dim)).astype(np.float32)
    classes = sorted({example.label for example in examples})
    for row, example in enumerate(examples):
        z[row, list(telling), classes.index(example.label)] += distance
    return HeadFeatures(z, tuple(e.id for e in examples), tuple(e.label for e in examples), layout, "made")


def problem_of(shots_each=5, test_each=10, classes=("cat", "dog", "owl")):
    shots = examples_of(np.repeat(classes, shots_each), "shot")
    test = examples_of(np.tile(classes, test_each), "test")
    return Problem(classes=tuple(classes), shots=shots, test=test)


def accuracy(predictions, examples):
    return float(np.mean([p.label == e.label and p.id == e.id for p, e in zip(predictions, examples, strict=True)]))
