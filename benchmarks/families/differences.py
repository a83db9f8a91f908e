"""What no rule shows about a model type when it is made tiny: the table in `differences.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any


def differences(model_type: str) -> dict[str, Any]:
    """The type's row, empty where rules are enough."""
    return dict(_table().get(model_type, {}))


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
