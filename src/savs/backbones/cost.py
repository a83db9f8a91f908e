"""What some work on a backbone costs: seconds, passes through the decoder, memory. Knows no method and no task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from savs.backbones.base import Backbone


@dataclass
class Cost:
    """What was spent. Filled in when the work is done.

    Attributes:
        seconds: of wall-clock time.
        forwards: sequences sent through the text decoder. A token that is generated from a cache counts as one; None
            where the backbone does not show its decoder.
        peak_bytes: the most memory in use during the work: of the accelerator where there is one, else of the
            process, all that it held before included. None where the system does not tell.
    """

    seconds: float = 0.0
    forwards: int | None = None
    peak_bytes: int | None = None


@contextmanager
def measured(backbone: Backbone | None) -> Iterator[Cost]:
    """Measure what is done inside the block.

    Args:
        backbone: whose passes are counted.
    """
    cost, calls = Cost(), _Counter()
    sources = getattr(backbone, "sources", ())
    hook = sources[0].projection.register_forward_pre_hook(calls) if sources else None
    _reset_peak()
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        cost.peak_bytes = _peak()
        if hook is not None:
            hook.remove()
            cost.forwards = calls.sequences


class _Counter:
    """A forward pre-hook of the first layer's attention output projection, which every pass goes through once."""

    def __init__(self) -> None:
        self.sequences = 0
        self._counting = Lock()

    def __call__(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        # Some kernels hand their heads over flattened to [n_tokens, width]: then a pass is one sequence.
        more = inputs[0].shape[0] if inputs[0].dim() == 3 else 1
        with self._counting:  # passes may run side by side
            self.sequences += more


_PROCESS = Path("/proc/self")


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):  # not Linux, or not allowed: the peak is then that of the whole process's life
        (_PROCESS / "clear_refs").write_text("5")


def _peak() -> int | None:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None
