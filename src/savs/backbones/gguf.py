"""GGUF files: a whole text model in one file, as llama.cpp and its kin exchange them.

Knows what transformers needs to open one; no attention, no prompt. Its weights are unpacked into ordinary tensors of
the dtype asked for, so that heads are read as in any other model and numbers do not depend on a kernel that one
machine has and another lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from savs.errors import BackboneError

SUFFIX = ".gguf"
_MAGIC = b"GGUF"
_NEEDS = ("gguf", "accelerate")


def is_gguf(place: str) -> bool:
    """Whether a place to load from is a GGUF file on this machine."""
    path = Path(place).expanduser()
    return path.suffix == SUFFIX and path.is_file()


def check_gguf(place: str) -> None:
    """Find at once what would keep a GGUF file from being opened.

    Raises:
        BackboneError: it is none, or a package is missing.
    """
    with Path(place).open("rb") as file:
        start = file.read(len(_MAGIC))
    if start != _MAGIC:
        raise BackboneError(f"{place} is not a GGUF file: it begins with {start!r}, expected {_MAGIC!r}")
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise BackboneError(
            f"opening the GGUF file {place} needs {' and '.join(missing)}, which "
            f'{"is" if len(missing) == 1 else "are"} not installed; pip install "savs[gguf]"'
        )


@contextmanager
def opened(place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What to give `from_pretrained` for a place: what it loads from, and the arguments that name a GGUF file.

    transformers looks for more files in the folder of the file that it is given (a tokenizer's settings, an adapter).
    An empty folder in its stead keeps to the one file, whose digest names the model.
    """
    if not is_gguf(place):
        yield place, {}
        return
    with TemporaryDirectory() as empty:
        yield empty, {"gguf_file": str(Path(place).resolve())}


def unpacked(file: Mapping[str, Any]) -> dict[str, Any]:
    """The argument that has `from_pretrained` unpack the weights of the file that `opened` gave, if it gave one."""
    if not file:
        return {}
    from transformers import GgufConfig  # not in every release that the rest of the package runs on

    return {"quantization_config": GgufConfig(dequantize=True)}
