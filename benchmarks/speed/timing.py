"""Clocks, repeats and ratios: how two ways of doing the same are compared. Knows no model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: The two ways of most comparisons.
PLAIN, SAVS = "plain way", "savs"

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class NotTheSame(AssertionError):
    """Two ways that must agree do not: their times mean nothing."""


def same(what: str, condition: bool) -> None:
    """Stop where two ways do not agree.

    Raises:
        NotTheSame: always where `condition` does not hold.
    """
    if not condition:
        raise NotTheSame(f"{what} are not the same in both ways")


@dataclass(frozen=True)
class Spread:
    """Values of several repeats: their median, smallest and largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def to_json(self) -> dict[str, float]:
        """A JSON object."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        part: of the page it belongs to.
        model: the model or data it was made on.
        what: was done.
        slow: the way it is compared with.
        seconds: of each repeat, by way: `slow`'s first, the package's after it.
        ratio: how many times faster, repeat by repeat.
        target: the ratio aimed for, where one was set before.
        note: what else was measured.
    """

    part: str
    model: str
    what: str
    slow: str
    seconds: Mapping[str, Spread]
    ratio: Spread
    target: float | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            **{name: getattr(self, name) for name in ("part", "model", "what", "slow", "target", "note")},
            "seconds": {name: spread.to_json() for name, spread in self.seconds.items()},
            "ratio": self.ratio.to_json(),
        }


class Timer:
    """Runs ways in turns, so that whatever else the machine does falls on all of them alike.

    Args:
        repeats: how often each way is run.
        clock: `wall`, or `cpu` for the processor seconds of this process, on a machine that is shared.
        finish: waits for what a way left running, as GPUs do.
    """

    def __init__(self, repeats: int, clock: str, finish: Callable[[], object] = lambda: None) -> None:
        self.repeats = repeats
        self.finish = finish
        self.clock = CLOCKS[clock]

    def times(self, ways: Mapping[str, Callable[[], object]], repeats: int | None = None) -> dict[str, list[float]]:
        """Seconds of each repeat of each way."""
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats or self.repeats):
            for name, way in ways.items():
                start = self.clock()
                way()
                self.finish()
                seconds[name].append(self.clock() - start)
        return seconds

    def row(
        self,
        part: str,
        model: str,
        what: str,
        ways: Mapping[str, Callable[[], object]],
        *,
        target: float | None = None,
        note: str = "",
    ) -> Row:
        """The first way against the second."""
        seconds = self.times(ways)
        slow, fast = seconds
        return Row(
            part,
            model,
            what,
            slow,
            {name: Spread.of(values) for name, values in seconds.items()},
            ratios(seconds[slow], seconds[fast]),
            target,
            note,
        )


def ratios(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times faster, repeat by repeat."""
    return Spread.of([a / b for a, b in zip(slow, fast, strict=True)])
