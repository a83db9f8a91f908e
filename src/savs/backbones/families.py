"""Families of models that work as backbones, for those who look for one. Knows their names, not how to load them."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        name: what people call it.
        hub_id: one of its models, for `--model`.
        takes: what an example may hold: text, images, video (as frames).
        note: what to know before choosing it.
    """

    name: str
    hub_id: str
    takes: tuple[str, ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the attributes' names."""
        return asdict(self)


@cache
def families() -> tuple[Family, ...]:
    """Every family of `families.toml`, in its order."""
    table = tomllib.loads((files("savs.backbones") / "families.toml").read_text(encoding="utf-8"))
    return tuple(Family(**{**row, "takes": tuple(row["takes"])}) for row in table["family"])
