"""Predictions as one Parquet file: a row each, as in the JSON lines. Needs pyarrow (`pip install "savs[parquet]"`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from savs.errors import DataError

#: Rows of one row group, and the most that are in memory.
_ROWS = 4096


@contextmanager
def parquet_rows(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes one prediction, to a file that gets its name when it is whole.

    Columns: `classifier` (empty where there is one), `id`, `label`, and the maps `probabilities` and `votes`.

    Raises:
        DataError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError('writing Parquet needs pyarrow; run pip install "savs[parquet]"') from error
    schema = pa.schema(
        {
            "classifier": pa.string(),
            "id": pa.string(),
            "label": pa.string(),
            "probabilities": pa.map_(pa.string(), pa.float64()),
            "votes": pa.map_(pa.string(), pa.string()),
        }
    )
    partial = path.with_name(f"{path.name}.partial")
    rows: list[dict[str, Any]] = []
    try:
        with pq.ParquetWriter(partial, schema) as file:

            def flush() -> None:
                file.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows.clear()

            def write(value: Mapping[str, Any]) -> None:
                maps = {name: list(value[name].items()) for name in ("probabilities", "votes")}
                rows.append({**value, **maps})
                if len(rows) == _ROWS:
                    flush()

            yield write
            flush()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
