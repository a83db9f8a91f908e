"""A store as one Parquet file: a row an example, a column a head. Needs pyarrow (`pip install "savs[parquet]"`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from savs.errors import StoreError
from savs.store.store import ActivationStore

#: Rows that are in memory at a time, and that one row group of the file holds.
_ROWS = 256


def write_parquet(
    store: ActivationStore, path: str | Path, *, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write every row: `key`, `id`, and a list of float32 for each head, under names such as `L14H7`.

    The file gets its name when it is whole.

    Args:
        store: what to write.
        path: of the file, which is written over.
        progress: called with (rows done, rows in all).

    Returns:
        How many rows there are.

    Raises:
        StoreError: pyarrow is not installed, or a shard is damaged.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise StoreError('writing Parquet needs pyarrow; run pip install "savs[parquet]"') from error
    names = [str(head) for head in store.layout.heads]
    values = pa.list_(pa.float32(), store.layout.head_dim)
    schema = pa.schema(
        [("key", pa.string()), ("id", pa.string()), *((name, values) for name in names)],
        metadata={"backbone": store.spec.model, "fingerprint": store.spec.fingerprint()},
    )
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    keys = store.keys
    rows = store.select(keys)
    try:
        with pq.ParquetWriter(partial, schema) as file:
            for start in range(0, len(keys), _ROWS):
                some = rows.take(range(start, min(start + _ROWS, len(keys))))
                z = some.read_heads(slice(None))
                columns = [
                    pa.FixedSizeListArray.from_arrays(pa.array(z[:, head].ravel()), store.layout.head_dim)
                    for head in range(len(names))
                ]
                table = pa.table([keys[start : start + len(some)], some.ids, *columns], schema=schema)
                file.write_table(table)
                if progress is not None:
                    progress(start + len(some), len(keys))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(keys)
