"""The measurements of the store as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = """# The store

What it takes to keep the features of many examples on disk and to fit on them without holding them in memory.
The features are generated noise in float16, {head_dim} numbers a head, with signal in every 49th head, so that a fit
can be seen to find it. Each number is of one process; *memory* is the most that it ever held, of which its imports take
{imports:.2f} GB. Other work shared the machine, so that times are upper bounds; memory does not depend on that.

```bash
python -m benchmarks.store --sizes {sizes} --head-dim {head_dim} --seed {seed}
```

{machine}, {date}, savs {version}, numpy {numpy}.
"""

_FIT = """
## Fit

All heads are scored on all examples and twenty are kept. A block of heads is in memory at a time: the memory follows
the number of examples and not the number of heads.

| examples | heads | on disk | in memory at once it would be | fit | memory | heads with signal found |
|---|---|---|---|---|---|---|
"""

_REST = """
## Write, verify, read, predict

*Read* is 20 heads, spread over all, of 1,000 examples: the median of 20 times, the shortest and the longest. *Predict*
is all examples from 20 heads.

| examples | heads | write | verify | index of all rows | read | predict | memory |
|---|---|---|---|---|---|---|---|
"""


def render(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    sizes = list(records.values())
    last = sizes[-1]
    head = _HEAD.format(
        sizes=" ".join(records),
        head_dim=last["head_dim"],
        seed=last["seed"],
        imports=max(size["fit"]["bytes_of_the_imports"] for size in sizes) / 1e9,
        machine=last["machine"],
        date=last["date"],
        version=last["versions"]["savs"],
        numpy=last["versions"]["numpy"],
    )
    return "".join([head, _FIT, *map(_fit_line, sizes), _REST, *map(_other_line, sizes)])


def _fit_line(size: Mapping[str, Any]) -> str:
    fit, disk = size["fit"], size["write"]["bytes"] / 1e9
    whole = size["examples"] * size["heads"] * size["head_dim"] * 8 / 1e9
    return (
        f"| {size['examples']:,} | {size['heads']} | {disk:.1f} GB | {whole:.0f} GB (float64) | "
        f"{fit['seconds']:.0f} s | {fit['peak_bytes'] / 1e9:.2f} GB | "
        f"{fit['found_among_kept']} of {fit['telling_heads']} |\n"
    )


def _other_line(size: Mapping[str, Any]) -> str:
    read, predict = size["read"], size["predict"]
    return (
        f"| {size['examples']:,} | {size['heads']} | {_rate(size, 'write')} | {_rate(size, 'verify')} | "
        f"{read['index_seconds']:.2f} s | {read['median_ms']:.0f} ms ({read['low_ms']:.0f} to {read['high_ms']:.0f}) | "
        f"{predict['predict_seconds']:.1f} s | {predict['peak_bytes'] / 1e9:.2f} GB |\n"
    )


def _rate(size: Mapping[str, Any], step: str) -> str:
    return f"{size['write']['bytes'] / size[step]['seconds'] / 1e6:,.0f} MB/s"
