"""What the tests share: tiny models, built once and loaded as a checkpoint would be, and drawn pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.data.example import Media


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of some kind; not to be written to."""
    from tiny_models import MODELS

    root = tmp_path_factory.mktemp("models")

    def folder(kind: str) -> Path:
        path = root / kind
        return path if path.exists() else MODELS[kind](path)

    return folder


@pytest.fixture(scope="session")
def backbone(model_folder):
    """A loaded tiny model of some kind, in float32 on the CPU."""
    from savs.backbones.huggingface import load_backbone

    loaded = {}

    def load(kind: str):
        if kind not in loaded:
            loaded[kind] = load_backbone(model_folder(kind), dtype="float32", device="cpu")
        return loaded[kind]

    return load


@pytest.fixture(scope="session")
def picture() -> Callable[..., Media]:
    """An image in memory; equal seeds give equal pixels."""

    def draw(seed: int, size: tuple[int, int] = (32, 32)) -> Media:
        pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        return Media(Image.fromarray(pixels))

    return draw


@pytest.fixture(scope="session")
def pictures(picture) -> Callable[[int], list[Media]]:
    """Images of many sizes and shapes."""
    sizes = [(32, 32), (40, 24), (20, 60), (64, 64), (33, 47)]
    return lambda n: [picture(i, sizes[i % len(sizes)]) for i in range(n)]
