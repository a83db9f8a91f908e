"""The support matrix as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.families.model_types import AUDIO_TYPES, INPUTS, MULTIMODAL_TYPES, TEXT_TYPES

_HEAD = """# Models

What `savs` can read, found by a program: `python -m benchmarks.families` builds a tiny model with random weights from
each type's real configuration class, looks for its heads, and puts it to the test. The same facts for machines stand
in `models.json`. Random weights show that heads are found and read rightly, not how well a model classifies.

A type that is not here, or not whole, may still work: its heads are found by structure, and
`--attention-modules PATTERN` names them by hand.

What the columns say:

- **type**: transformers' name of it; behind it what it needs beside savs: most types run with Pillow alone, some have
  image processors for torchvision only, and two have image towers of timm.
- **heads at**: the projection whose input holds the heads, `N` for the layer. *gated*: the model gates or normalises
  the heads before it projects them, and what is read is the outcome of that.
- **left out**: layers of the tiny model that hold no softmax self-attention of the text decoder, and why.
- **batch**: a padded batch of token rows gives what each row alone gives, in float32 up to rounding, and the captured
  heads times the projection's weights are the projection's output. *no*: the model takes no text alone, or reads a
  prompt in both directions, so that padding reaches it; `savs` notices, and batches only what is alike.
- **text, one image, two images**: saved, loaded, fitted and predicted with through a real processor made of small
  local files; a batch of unlike examples equals single ones, and other images give other heads. *no*: refused in one
  sentence, which stands below. *fails*: it should work, or be refused, and does neither yet.

Media are images, and videos as frames. Models that hear are read with text and images: a row with audio is refused. Of
models that also speak (Qwen2.5-Omni, Qwen3-Omni), the part that writes is opened.
"""

_QUANTISED = """## Quantised weights

`python -m benchmarks.families.quantised` makes a tiny Llama, quantises it with each method, opens the saved folder as
`savs doctor` does, and holds its features against the plain model's. All of it ran on a CPU; a GPU's own kernels are
another matter, so begin with `savs doctor MODEL --against ORIGINAL`. GGUF files are tried by the tests.

- **weights**: how the opened model keeps them; *unpacked* means as plain numbers.
- **doctor**: `yes` where no check of `savs doctor` failed. The projection of the heads is checked through the very
  module that the model runs, quantised as it is.
- **batch**: the largest difference between a batch and its examples alone.
- **drift**: size of the difference to the plain model's features, a share of their size. This model has random weights;
  a trained one drifts otherwise.
"""

#: The files that the page is made from: model types, and ways to quantise.
RECORDS = ("models.json", "quantised.json")
_WORDS = {"ok": "yes", "refused": "no", "takes no text alone": "no", "a padded batch differs": "no"}


def supported(record: Mapping[str, Any]) -> bool:
    """Whether a type works end to end: what it is made for is `ok`, and anything else `ok` or refused."""
    inputs = {name: result for name, result in record["inputs"].items() if name != "token rows"}
    main = inputs.get("one image", inputs.get("text"))
    return main == "ok" and all(verdict(result) in ("yes", "no") for result in inputs.values())


def write(docs: Path) -> None:
    """Make the page anew from the records beside it."""
    records, quantised = (json.loads((docs / name).read_text(encoding="utf-8")) for name in RECORDS)
    (docs / "models.md").write_text(render(records, quantised), encoding="utf-8")


def render(records: Mapping[str, Mapping[str, Any]], quantised: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page, from the records of model types and of ways to quantise."""
    parts = [_HEAD, _summary(records)]
    for title, types in (
        ("Image and text", MULTIMODAL_TYPES),
        ("Text alone", TEXT_TYPES),
        ("Audio", AUDIO_TYPES),
    ):
        rows = [records[name] for name in types if name in records]
        parts += [f"## {title}\n", _table(rows), _reasons(rows)]
    return "\n".join(part for part in (*parts, _QUANTISED, _quantised_table(quantised)) if part)


def counts(records: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """How many of the image and text types reached which step."""
    rows = [records[name] for name in MULTIMODAL_TYPES if name in records]
    return {
        "types": len(rows),
        "supported": sum(map(supported, rows)),
        "two images": sum(supported(row) and row["inputs"].get("two images") == "ok" for row in rows),
        "more": sum(supported(row) and bool(row["needs"]) for row in rows),
        "refused": sum(row["problem"].startswith("refused") for row in rows),
    }


def _summary(records: Mapping[str, Mapping[str, Any]]) -> str:
    n = counts(records)
    return (
        f"Of {n['types']} types that take images and text, {n['supported']} work end to end, {n['two images']} of them "
        f"with two images an example; {n['more']} need a library more. {n['refused']} are refused with the reason.\n"
    )


def _table(rows: list[Mapping[str, Any]]) -> str:
    lines = ["| type | heads at | left out | batch | text | one image | two images |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        name = row["model_type"] + (f" ({', '.join(row['needs'])})" if row["needs"] else "")
        if row["problem"]:
            lines.append(f"| {name} | - | | | | | |")
            continue
        where = f"`{row['projection']}`" + (", gated" if row["gated"] else "")
        left = "; ".join(f"{reason}: {', '.join(map(str, layers))}" for reason, layers in row["left_out"].items())
        marks = [verdict(row["inputs"].get(name)) for name in ("token rows", *INPUTS)]
        lines.append(f"| {name} | {where} | {left} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def _quantised_table(records: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| method | made with | weights | doctor | batch | drift |", "|---|---|---|---|---|---|"]
    for name, record in records.items():
        if record["problem"]:
            lines.append(f"| {name} | | refused: {_plain(record['problem'])} | | | |")
            continue
        trusted = "no" if "fail" in record["checks"].values() else "yes"
        made_with, drift = record["made_with"] or "transformers", f"{100 * record['drift']:.1f} %"
        lines.append(f"| {name} | {made_with} | {record['kept']} | {trusted} | {record['batch']:.0e} | {drift} |")
    return "\n".join(lines) + "\n"


def verdict(result: str | None) -> str:
    """What a cell says of a result; nothing where such input was not tried, since the type takes none."""
    if result is None:
        return ""
    return next((word for words, word in _WORDS.items() if result.startswith(words)), "fails")


def _reasons(rows: list[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        if row["problem"]:
            lines.append(f"- **{row['model_type']}**: {_plain(row['problem'])}")
            continue
        grouped: dict[str, list[str]] = {}
        for name, result in row["inputs"].items():
            if result != "ok" and not (name == "token rows" and verdict(result) == "no"):
                grouped.setdefault(result, []).append(name)
        for reason, names in grouped.items():
            lines.append(f"- **{row['model_type']}**, {', '.join(names)}: {_plain(reason)}")
    return "What is refused or fails, and why:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    text = text.removeprefix("refused: ")
    return text.replace("<", "&lt;").replace("|", "&#124;").replace("*", "&#42;").replace("_", "\\_")
