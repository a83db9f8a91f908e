"""The paper's own numbers, to stand beside what is measured here. Knows no model but by name."""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files

#: How the names of the paper's models begin on the Hub, in lower case and without their owner. A closed model's name
#: may have a date after it; `gpt-4o-mini` is another.
_CALLED = {
    "Qwen2-VL-7B": r"qwen2-vl-7b",
    "LLaVA-OneVision-7B": r"llava-onevision-(qwen2-)?7b",
    "LLaVA-1.5": r"llava-1\.5-7b",
    "InstructBLIP": r"instructblip-vicuna-7b",
    "GPT-4o": r"gpt-4o(-\d{4}-\d\d-\d\d)?$",
}


def paper_model(name: str) -> str | None:
    """What the paper calls a model, by its Hub id or folder, or an endpoint's name for it.

    >>> paper_model("Qwen/Qwen2-VL-7B-Instruct")
    'Qwen2-VL-7B'
    """
    plain = name.rstrip("/").rpartition("/")[2].lower()
    return next((model for model, begins in _CALLED.items() if re.match(begins, plain)), None)


def paper_value(table: str, panel: str, model: str | None, method: str, score: str) -> float | None:
    """The paper's number as a share, or None where it gives none.

    Args:
        table: such as `table1`.
        panel: of the table, such as `2a`; empty where it has one.
        model: as the paper calls it.
        method: the row; a form at its end (`zero-shot-free`) does not count, since the paper has one row for both.
        score: as the paper's column is called.
    """
    row = _paper_row(model, method)
    return None if row is None else _numbers(table).get((panel, *row, score))


def _paper_row(model: str | None, method: str) -> tuple[str, str] | None:
    """The paper's model and method. Dual encoders are models of their own to the paper's first table."""
    plain = method.removesuffix("-free").removesuffix("-choice").removesuffix("-endpoint")
    for name, called in (("CLIP", "clip-zero-shot"), ("SigLIP", "siglip-zero-shot")):
        if plain == called:
            return name, "zero-shot"
    return None if model is None else (model, plain)


@cache
def _numbers(table: str) -> dict[tuple[str, str, str, str], float]:
    file = files("savs.bench") / "paper" / f"{table}.csv"
    if not file.is_file():
        return {}
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {
        (row.get("panel", ""), row["model"], row["method"], row["score"]): float(row["value"]) / 100
        for row in csv.DictReader(lines)
    }
