"""One shard: some rows of every head, in an immutable safetensors file that is named by its own digest.

Holds `z` `[n_heads, n_rows, head_dim]`, head-major, so that a few heads of all rows are a few long reads; `keys`
`[n_rows, 16]` bytes; and the ids of the rows in its header. Knows bytes and arrays; no store, no example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from savs.errors import StoreError
from savs.features import FloatArray
from savs.store.files import write_whole

SUFFIX = ".safetensors"
_METADATA = "savs"
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
#: Of the rows of a shard, the share from which they are read all, and those that were not asked for thrown away.
_DENSE = 0.25


@dataclass(frozen=True)
class Shard:
    """A shard that is there.

    Attributes:
        path: its file.
        keys: `[n_rows]` what each row is found by.
        ids: `[n_rows]` what each row was called when it was stored.
        shape: (n_heads, n_rows, head_dim).
        dtype: of the stored numbers.
        offset: where they begin in the file.
        feature_key: fingerprint of the backbone that made them.
    """

    path: Path
    keys: tuple[str, ...]
    ids: tuple[str, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    feature_key: str

    def read(self, heads: Sequence[int], rows: Sequence[int]) -> FloatArray:
        """Some heads of some rows, `[len(heads), len(rows), head_dim]`, and little else of the file.

        Raises:
            StoreError: the file is shorter than it was.
            OSError: it cannot be read.
        """
        _, n_rows, head_dim = self.shape
        out = np.empty((len(heads), len(rows), head_dim), dtype=self.dtype)
        row_bytes = head_dim * self.dtype.itemsize
        with self.path.open("rb", buffering=0) as file:
            if len(rows) >= _DENSE * n_rows:
                index = as_index(rows)
                for some in runs(heads):
                    whole = out[some]
                    if index != slice(0, n_rows):
                        whole = np.empty((some.stop - some.start, n_rows, head_dim), dtype=self.dtype)
                    self._fill(file, heads[some.start] * n_rows * row_bytes, whole)
                    if index != slice(0, n_rows):
                        out[some] = whole[:, index]
            else:
                for i, head in enumerate(heads):
                    for some in runs(rows):
                        self._fill(file, (head * n_rows + rows[some.start]) * row_bytes, out[i, some])
        return out

    def _fill(self, file: FileIO, start: int, array: FloatArray) -> None:
        file.seek(self.offset + start)
        view = array.data.cast("B")
        while view:
            count = file.readinto(view)
            if not count:
                raise damaged(self.path, "it is cut short")
            view = view[count:]


def write_shard(folder: Path, z: FloatArray, keys: Sequence[str], ids: Sequence[str], *, feature_key: str) -> Path:
    """Commit rows: when the file has its name they are there, all of them, and before that none is.

    Equal rows give an equal file under an equal name, so that two writers of the same rows leave one copy.

    Args:
        folder: of the shards.
        z: `[n_heads, n_rows, head_dim]`, float32 or float16.
        keys: `[n_rows]`, hexadecimal.
        ids: `[n_rows]`.
        feature_key: fingerprint of the backbone.

    Raises:
        OSError: it cannot be written; the folder is as it was then.
    """
    packed = np.frombuffer(bytes.fromhex("".join(keys)), dtype=np.uint8).reshape(len(keys), -1)
    # One entry: the library writes several in no fixed order, and equal rows would not give equal files.
    metadata = {_METADATA: json.dumps({"feature_key": feature_key, "ids": list(ids)})}
    data = save({"keys": packed, "z": np.ascontiguousarray(z)}, metadata=metadata)
    path = folder / f"{hashlib.sha256(data).hexdigest()}{SUFFIX}"
    write_whole(path, data)
    return path


def open_shard(path: Path) -> Shard:
    """Read what a shard says of itself, and its keys; of its features nothing.

    Raises:
        StoreError: it is damaged.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            length = int.from_bytes(file.read(8), "little")
            if length > size:
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
            features, names = header["z"], header["keys"]
            metadata = json.loads(header["__metadata__"][_METADATA])
            start = 8 + length
            if start + max(features["data_offsets"][1], names["data_offsets"][1]) != size:
                raise ValueError("it is longer or shorter than its header says")
            n_heads, n_rows, head_dim = features["shape"]
            file.seek(start + names["data_offsets"][0])
            keys = file.read(n_rows * names["shape"][1]).hex()
            digits = 2 * names["shape"][1]
            ids = tuple(metadata["ids"])
            if len(ids) != n_rows or names["shape"][0] != n_rows:
                raise ValueError(f"{len(ids)} ids and {names['shape'][0]} keys for {n_rows} rows")
            return Shard(
                path=path,
                keys=tuple(keys[i : i + digits] for i in range(0, len(keys), digits)),
                ids=ids,
                shape=(n_heads, n_rows, head_dim),
                dtype=_DTYPES[features["dtype"]],
                offset=start + features["data_offsets"][0],
                feature_key=metadata["feature_key"],
            )
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise damaged(path, f"it lacks {error}" if isinstance(error, KeyError) else str(error)) from error


def is_shard(name: str) -> bool:
    """Whether a file of that name is a shard: a digest and the suffix."""
    digest = name.removesuffix(SUFFIX)
    return name.endswith(SUFFIX) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")


def digest_fits(path: Path) -> bool:
    """Whether the file still holds the bytes that it was named after.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == path.name.removesuffix(SUFFIX)


def damaged(path: Path, what: str) -> StoreError:
    """The error for a shard that does not hold what it should."""
    return StoreError(
        f"is damaged ({what}); delete it and run savs extract again: only its rows are made anew", location=str(path)
    )


def runs(numbers: Sequence[int]) -> Iterator[slice]:
    """Where a sequence rises by one at each step: slices that cover it.

    >>> list(runs([4, 5, 6, 2, 3, 9]))
    [slice(0, 3, None), slice(3, 5, None), slice(5, 6, None)]
    """
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield slice(start, i)
            start = i


def as_index(numbers: Sequence[int]) -> slice | list[int]:
    """What picks `numbers` out of an array: a slice where they follow one another, since that copies nothing.

    >>> as_index([3, 4, 5]), as_index([3, 5])
    (slice(3, 6, None), [3, 5])
    """
    if len(list(runs(numbers))) == 1:
        return slice(numbers[0], numbers[-1] + 1)
    return list(numbers)
