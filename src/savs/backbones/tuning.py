"""How adapters are trained, and whether they can be here. Without torch, so that asking costs no import."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

#: What to do where peft is missing.
NEEDS_PEFT = "it needs peft: pip install 'savs[lora]'"


@dataclass(frozen=True)
class Tuning:
    """How an adapter is trained.

    Attributes:
        rank: of each adapter.
        alpha: its scale times the rank.
        epochs: passes over the examples.
        learning_rate: of AdamW, after a warm-up over a tenth of the steps, falling to zero as a cosine.
        batch_size: examples in a step.
        clip: greatest norm of a step's gradient.
    """

    rank: int = 16
    alpha: int = 32
    epochs: int = 3
    learning_rate: float = 1e-4
    batch_size: int = 8
    clip: float = 1.0


#: For the embedded model, whose few weights need larger steps: chosen among three rates on two drawn tasks, by
#: examples that were neither shots nor test.
SMALL = Tuning(learning_rate=3e-3)


def peft_is_installed() -> bool:
    """Whether adapters can be trained here."""
    return find_spec("peft") is not None
