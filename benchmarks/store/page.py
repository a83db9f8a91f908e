"""The measurements of the store as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = """# The store

What it takes to keep the features of many examples on disk and to fit on them without holding them in memory.
The features are generated noise in float16, {head_dim} numbers a head, with signal in every 49th head, so that a fit
can be seen to find it. Each line of the tables is one process; *memory* is the most that it ever held, of which its
imports take {imports:.2f} GB. Other work shared the machine ({machine}, {date}, savs {version}, numpy {numpy}).

```bash
{command}
```
"""

_FIT = """
## Fit

All heads are scored on all examples and twenty are kept. A block of heads is in memory at a time: the memory follows
the number of examples and not the number of heads.

| examples | heads | on disk | in memory at once it would be | fit, seconds | memory | heads with signal found |
|---|---|---|---|---|---|---|
"""

_REST = """
## Read, predict, verify, write

| examples | heads | write | verify | index of all rows | 20 heads of {rows:,} examples | predict all from 20 heads | memory |
|---|---|---|---|---|---|---|---|
"""


def render(result: Mapping[str, Any]) -> str:
    """The whole page."""
    sizes = result["sizes"]
    head = _HEAD.format(
        head_dim=result["head_dim"],
        imports=max(size["fit"]["bytes_of_the_imports"] for size in sizes) / 1e9,
        command=result["command"],
        machine=result["machine"],
        date=result["date"],
        version=result["versions"]["savs"],
        numpy=result["versions"]["numpy"],
    )
    fits = [
        f"| {size['examples']:,} | {size['heads']} | {size['write']['bytes'] / 1e9:.1f} GB | "
        f"{size['examples'] * size['heads'] * result['head_dim'] * 8 / 1e9:.0f} GB (float64) | "
        f"{size['fit']['seconds']:.0f} | {size['fit']['peak_bytes'] / 1e9:.2f} GB | "
        f"{size['fit']['found_among_kept']} of {size['fit']['telling_heads']} |"
        for size in sizes
    ]
    rest = [
        f"| {size['examples']:,} | {size['heads']} | {_rate(size['write'], size)} | {_rate(size['verify'], size)} | "
        f"{size['read']['index_seconds']:.2f} s | {size['read']['median_ms']:.1f} ms ({size['read']['low_ms']:.1f} to "
        f"{size['read']['high_ms']:.1f}) | {size['predict']['predict_seconds']:.1f} s | "
        f"{size['predict']['peak_bytes'] / 1e9:.2f} GB |"
        for size in sizes
    ]
    return "".join(
        [head, _FIT, "\n".join(fits), "\n", _REST.format(rows=sizes[0]["read"]["rows"]), "\n".join(rest), "\n"]
    )


def _rate(step: Mapping[str, Any], size: Mapping[str, Any]) -> str:
    return f"{size['write']['bytes'] / step['seconds'] / 1e6:,.0f} MB/s"
