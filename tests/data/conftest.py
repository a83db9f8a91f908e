"""Images, videos and data files that the tests of the data room draw for themselves."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """Write a small image under tmp_path; equal seeds give equal bytes."""

    def write(name: str, seed: int = 0, size: tuple[int, int] = (12, 8)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Write a video under tmp_path whose frame i is a grey of level `greys[i]`."""
    av = pytest.importorskip("av")

    def write(name: str, greys: Sequence[int], rate: int = 5, codec: str = "mpeg4", gop: int = 12) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 32, 16, "yuv420p", gop
            for grey in greys:
                frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), grey, np.uint8))
                for packet in stream.encode(frame):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return path

    return write


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON lines; a row given as text is written as it is."""

    def write(*rows: object, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def grey() -> Callable[[Image.Image], int]:
    """The mean level of an image, to tell the frames of a video apart."""
    return lambda image: round(float(np.asarray(image.convert("L")).mean()))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root; whatever `datasets` keeps stays beside it."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def snapshot(root: Path) -> Callable[..., None]:
    """Write a data set as a snapshot of the Hub's: parquet files under `data/`, or under a configuration's name."""
    datasets = pytest.importorskip("datasets")

    def write(name, features, *, config="data", **splits):
        for split, rows in splits.items():
            folder = root / name / config
            folder.mkdir(parents=True, exist_ok=True)
            data = datasets.Dataset.from_list(rows, features=datasets.Features(features))
            data.to_parquet(folder / f"{split}-00000-of-00001.parquet")

    return write


@pytest.fixture
def picture(draw: Callable[..., Path]) -> Callable[[int], dict[str, bytes | str]]:
    """The bytes of an image of its own for every number."""
    return lambda number: {"bytes": draw(f"pictures/{number}.png", seed=number).read_bytes(), "path": f"{number}.png"}
