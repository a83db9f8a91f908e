"""The support matrix as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.families.certify import INPUTS
from benchmarks.families.model_types import AUDIO_TYPES, MULTIMODAL_TYPES, TEXT_TYPES

_HEAD = """# Models

What `savs` can read, found by a program: `python -m benchmarks.families` builds a tiny model with random weights from
each type's real configuration class, looks for its heads, and puts it to the test. The same facts for machines stand
in `models.json`. Random weights show that heads are found and read rightly, not how well a model classifies.

A type that is not here, or not whole, may still work: its heads are found by structure, and
`--attention-modules PATTERN` names them by hand.

What the columns say:

- **heads at**: the projection whose input holds the heads, `N` for the layer. *gated*: the model gates or normalises
  the heads before it projects them, and what is read is the outcome of that.
- **left out**: layers of the tiny model that hold no softmax self-attention of the text decoder, and why.
- **batch**: a padded batch of token rows gives what each row alone gives, in float32 up to rounding, and the captured
  heads times the projection's weights are the projection's output. A dash: the model takes no text alone.
- **text, one image, two images**: saved, loaded, fitted and predicted with through a real processor made of small
  local files, a batch equal to single examples. A dash: not tried here or not possible; the reason stands below.

Not every reason speaks of the family: where counts of image tokens or sizes do not match, it is the tiny processor that
the program has not learned to build yet.
"""

_SHORT = {
    "requires the Torchvision library": "its image processor exists for torchvision alone, which was not installed",
    "requires the timm library": "its image tower needs timm, which was not installed",
    "required positional argument": "it takes no text without an image",
    "ended by signal 14": "the tiny model is too slow for the time limit",
}


def render(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    parts = [_HEAD, _summary(records)]
    for title, types in (
        ("Image and text", MULTIMODAL_TYPES),
        ("Text alone", TEXT_TYPES),
        ("Audio", AUDIO_TYPES),
    ):
        rows = [records[name] for name in types if name in records]
        parts += [f"## {title}\n", _table(rows), _reasons(rows)]
    return "\n".join(part for part in parts if part)


def counts(records: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """How many of the image and text types reached which step."""
    rows = [records[name] for name in MULTIMODAL_TYPES if name in records]
    return {
        "types": len(rows),
        "heads": sum(not row["problem"] for row in rows),
        "token rows": sum(row["inputs"].get("token rows") == "ok" for row in rows),
        "one image": sum(row["inputs"].get("one image") == "ok" for row in rows),
        "two images": sum(row["inputs"].get("two images") == "ok" for row in rows),
    }


def _summary(records: Mapping[str, Mapping[str, Any]]) -> str:
    n = counts(records)
    return (
        f"Of {n['types']} types that take images and text, heads are found in {n['heads']}; {n['token rows']} pass on "
        f"token rows; {n['one image']} were fitted and predicted with through their processor with one image an "
        f"example, {n['two images']} with two.\n"
    )


def _table(rows: list[Mapping[str, Any]]) -> str:
    lines = ["| type | heads at | left out | batch | text | one image | two images |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        if row["problem"]:
            lines.append(f"| {row['model_type']} | - | | | | | |")
            continue
        where = f"`{row['projection']}`" + (", gated" if row["gated"] else "")
        left = "; ".join(f"{reason}: {', '.join(map(str, layers))}" for reason, layers in row["left_out"].items())
        marks = [_mark(row["inputs"].get(name)) for name in ("token rows", *INPUTS)]
        lines.append(f"| {row['model_type']} | {where} | {left} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def _mark(result: str | None) -> str:
    return "yes" if result == "ok" else "-"


def _reasons(rows: list[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        if row["problem"]:
            lines.append(f"- **{row['model_type']}**: {_plain(row['problem'])}")
            continue
        grouped: dict[str, list[str]] = {}
        for name, result in row["inputs"].items():
            if result != "ok":
                grouped.setdefault(result, []).append(name)
        for reason, names in grouped.items():
            lines.append(f"- **{row['model_type']}**, {', '.join(names)}: {_plain(reason)}")
    return "Why not:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands, what is often said said briefly."""
    text = next((short for words, short in _SHORT.items() if words in text), text)
    return text.replace("<", "&lt;").replace("|", "&#124;").replace("*", "&#42;").replace("_", "\\_")
