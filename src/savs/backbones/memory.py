"""Work that does not fit in memory, done in halves. Knows devices and examples; no model and no inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from savs.data.example import Example
from savs.errors import BackboneError

T = TypeVar("T")


def halving(examples: Sequence[Example], run: Callable[[slice], T], device: torch.device) -> list[T]:
    """What `run` gives for all rows, cut into halves as often as memory demands, in their order.

    Args:
        examples: one a row, to be named where it does not fit.
        run: does the rows of one slice, and holds nothing of them when it fails.
        device: whose memory it is, for the message.

    Raises:
        BackboneError: one row alone does not fit.
    """
    results, parts = [], [slice(0, len(examples))]
    while parts:
        part = parts.pop()
        try:
            results.append(run(part))
            continue
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if part.stop - part.start == 1:
                raise BackboneError(
                    f"example {examples[part.start].id!r} alone does not fit in the memory of {device}; "
                    "lower max_pixels or video_frames, or use a smaller dtype or another device"
                ) from error
        # Outside the handler, which holds the failed batch's tensors until it ends.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        middle = (part.start + part.stop) // 2
        parts += [slice(middle, part.stop), slice(part.start, middle)]
    return results


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, which only CUDA says by class: MPS and the CPU say it in words."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
