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
        model_type: what transformers calls it.
        hub_id: one of its models, for `--model`.
        layers: decoder layers of that model whose heads are read.
        heads: heads in each.
        takes: what an example may hold: text, images, video (as frames).
        note: what to know before choosing it.
    """

    name: str
    model_type: str
    hub_id: str
    layers: int
    heads: int
    takes: tuple[str, ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the attributes' names."""
        return asdict(self)


def families_like(part: str) -> tuple[Family, ...]:
    """The families with `part`, in any case of letters, in their name, type or Hub id."""
    wanted = part.casefold()
    return tuple(
        family
        for family in families()
        if any(wanted in text.casefold() for text in (family.name, family.model_type, family.hub_id))
    )


@cache
def families() -> tuple[Family, ...]:
    """Every family of `families.toml`, in its order."""
    table = tomllib.loads((files("savs.backbones") / "families.toml").read_text(encoding="utf-8"))
    return tuple(Family(**{**row, "takes": tuple(row["takes"])}) for row in table["family"])
