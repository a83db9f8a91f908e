"""When to give up. Counts outside of the workers, who cannot tell of their own deaths. Knows numbers only."""

from __future__ import annotations

from collections import Counter


class Tries:
    """Says of each thing that is begun whether it may be begun once more.

    Attributes:
        starts: of workers, one after another without any of them getting as far as a piece.
        tries: of one piece.
    """

    def __init__(self, starts: int, tries: int) -> None:
        self.starts = starts
        self.tries = tries
        self._started = 0
        self._tried: Counter[int] = Counter()

    def start(self) -> bool:
        """Whether a worker may load its backbone."""
        self._started += 1
        return self._started <= self.starts

    def begin(self, piece: int) -> bool:
        """Whether a worker may run a piece, by the piece's number."""
        self._started = 0
        self._tried[piece] += 1
        return self._tried[piece] <= self.tries
