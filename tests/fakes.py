"""A backbone without a model: features are a function of the text alone, so that any row can be checked anywhere.

Run as a program it fills a store, for tests that start, kill and race such processes.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np

from savs.backbones.base import BackboneSpec
from savs.data.example import Example
from savs.data.media import open_image
from savs.features import HeadLayout

SPEC = BackboneSpec(model="fake", revision="r1", dtype="float32", attention="none")


def examples(n: int, first: int = 0) -> list[Example]:
    return [Example(f"e{i}", f"text {i}", label="ab"[i % 2]) for i in range(first, first + n)]


class FakeBackbone:
    """Counts the examples it is asked; `noise` is added to every value."""

    def __init__(self, n_heads: int = 6, head_dim: int = 4, *, spec: BackboneSpec = SPEC, noise=0.0) -> None:
        self.spec = spec
        self.layout = HeadLayout.grid(2, n_heads // 2, head_dim)
        self.noise = noise
        self.asked: list[str] = []

    def head_activations(self, examples, *, heads=None, batch_size=None, progress=None):
        self.asked += [example.id for example in examples]
        z = np.stack([self.features(example.text) for example in examples]) + np.float32(self.noise)
        if progress is not None:
            progress(len(examples), len(examples))
        column = {head: i for i, head in enumerate(self.layout.heads)}
        return z if heads is None else z[:, [column[head] for head in heads]]

    def features(self, text: str):
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        shape = (self.layout.n_heads, self.layout.head_dim)
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)

    def generate(self, examples, *, max_new_tokens=16, progress=None):
        return [example.text for example in examples]

    def answer_log_likelihoods(self, examples, answers, *, offered=None, summed=False, progress=None):
        return np.zeros((len(examples), len(answers)))


class Mortal(FakeBackbone):
    """Tells in a folder which process runs it; the first that is at its second piece dies there, as by `kill -9`."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)

    def head_activations(self, examples, **options):
        self.folder.joinpath(f"{os.getpid()}-{uuid4().hex}").write_text(examples[0].id)
        z = super().head_activations(examples, **options)
        if len(list(self.folder.glob(f"{os.getpid()}-*"))) == 2:
            with suppress(FileExistsError):
                with self.folder.joinpath("killed").open("x") as file:
                    file.write(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        return z


class Seeing(FakeBackbone):
    """Its features are a function of what the images show, too."""

    def head_activations(self, examples, **options):
        shown = [hashlib.sha256(b"".join(open_image(m).tobytes() for m in one.media)).hexdigest() for one in examples]
        told = zip(examples, shown, strict=True)
        return super().head_activations([replace(one, text=one.text + seen) for one, seen in told], **options)


class Doomed(FakeBackbone):
    """Dies, as by `kill -9`, wherever it meets a text, and before it is ready where that is empty."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        if not text:
            os.kill(os.getpid(), signal.SIGKILL)

    def head_activations(self, examples, **options):
        if any(example.text == self.text for example in examples):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().head_activations(examples, **options)


def main(folder: str, n: str, commit_every: str, head_dim: str) -> None:
    from savs.extraction import fill
    from savs.store import ActivationStore

    backbone = FakeBackbone(head_dim=int(head_dim))
    store = ActivationStore.create(folder, spec=backbone.spec, layout=backbone.layout)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    fill(store, backbone, examples(int(n)), commit_every=int(commit_every))
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
