"""The comparisons that run no model: scoring and voting on drawn features, writing and reading them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import plain
from benchmarks.speed.models import temporary
from benchmarks.speed.timing import PLAIN, SAVS, Row, Timer, same
from savs.backbones.base import BackboneSpec
from savs.classify import SAVClassifier
from savs.extraction import COMMIT_EVERY
from savs.features import HeadLayout
from savs.store import ActivationStore


def scoring(n_classes: int, timer: Timer, *, n_queries: int = 100) -> list[Row]:
    """Counting the heads that are right, and voting, on drawn features; no model."""
    rng = np.random.default_rng(n_classes)
    y = np.repeat(np.arange(n_classes), 5 if n_classes < 1000 else 2)
    centres = rng.normal(size=(n_classes, 40, 64))
    shots = (centres[y] + rng.normal(size=(len(y), 40, 64))).astype(np.float32)
    queries = (centres[np.arange(n_queries) % n_classes, :20] + 2 * rng.normal(size=(n_queries, 20, 64))).astype(
        np.float32
    )
    labels = np.array([f"{label:04}" for label in y])
    fitted = SAVClassifier().fit(shots, labels)
    means = torch.stack([torch.from_numpy(shots[y == c]).double().mean(dim=0) for c in range(n_classes)])

    def count() -> list[int]:
        right = [0] * shots.shape[1]
        for z, label in zip(torch.from_numpy(shots).double(), y.tolist(), strict=True):
            plain.score(z, label, means, right)
        return right

    compact = fitted.compact()
    loops = plain.PlainClassifier(
        tuple(compact.classes_), (), tuple(range(20)), torch.from_numpy(compact.class_means_).double()
    )
    vote = lambda: [plain.vote(loops, z) for z in torch.from_numpy(queries).double()]  # noqa: E731
    same(f"{n_classes} classes: head scores", np.array_equal(np.rint(fitted.head_scores_ * len(y)), count()))
    same(f"{n_classes} classes: labels", compact.predict(queries).tolist() == vote())
    data = f"{n_classes} classes"
    return [
        timer.row(
            "scoring",
            data,
            f"score 40 heads on {len(y)} shots",
            {PLAIN: count, SAVS: lambda: SAVClassifier().fit(shots, labels)},
        ),
        timer.row(
            "scoring",
            data,
            f"predict {n_queries} examples, 20 heads",
            {PLAIN: vote, SAVS: lambda: compact.predict(queries)},
        ),
    ]


def storing(spec: BackboneSpec, n_rows: int, timer: Timer) -> list[Row]:
    """Writing features and reading 20 heads of all examples: a file an example, against the store."""
    layout = HeadLayout.grid(30, 9, 64)
    z = np.random.default_rng(0).normal(size=(n_rows, layout.n_heads, layout.head_dim)).astype(np.float32)
    keys = [f"{row:064x}" for row in range(n_rows)]
    heads = layout.heads[-20:]
    columns = [layout.heads.index(head) for head in heads]
    with temporary() as name:
        folder, turn = Path(name), iter(range(10**6))

        def write_files() -> Path:
            place = folder / f"files-{next(turn)}"
            place.mkdir()
            for row in range(n_rows):
                np.save(place / f"{row}.npy", z[row])
            return place

        def write_store() -> Path:
            place = folder / f"store-{next(turn)}"
            store = ActivationStore.create(place, spec=spec, layout=layout)
            for start in range(0, n_rows, COMMIT_EVERY):
                store.append(z[start : start + COMMIT_EVERY], keys[start : start + COMMIT_EVERY])
            return place

        files, stored = write_files(), write_store()
        read_files = lambda: np.stack([np.load(files / f"{row}.npy")[columns] for row in range(n_rows)])  # noqa: E731
        read_store = lambda: ActivationStore.open(stored).read(keys, heads=heads).z  # noqa: E731
        same("store: what was written", np.array_equal(read_files(), read_store()))
        megabytes = f"{z.nbytes / 1e6:.0f} MB"
        slow = "a file an example"
        return [
            timer.row(
                "store",
                f"{n_rows} x 270 x 64",
                f"write {megabytes}",
                {slow: write_files, SAVS: write_store},
                note="the store flushes to the disk and keeps digests; plain files do neither",
            ),
            timer.row("store", f"{n_rows} x 270 x 64", "read 20 heads of all", {slow: read_files, SAVS: read_store}),
        ]
