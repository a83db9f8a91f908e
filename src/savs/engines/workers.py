"""Who does the work. Knows numbers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workers:
    """How many there are, and what each is given.

    Attributes:
        count: workers, each with a backbone of its own.
        gpus: of each; a share where several fit on one.
        cpus: of each.
    """

    count: int = 2
    gpus: float = 0.0
    cpus: float = 1.0
