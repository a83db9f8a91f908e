"""Whether a model can be asked a long prompt at all, and how long it may be. Knows no task and no label.

The model is duck-typed, so that asking costs no import.
"""

from __future__ import annotations

from typing import Any

from savs.backbones.base import Backbone
from savs.data.example import Example
from savs.errors import SavsError, first_line


def too_long(backbone: Backbone, example: Example, *, new_tokens: int) -> str | None:
    """Say why a model cannot be asked this example, or None where it can.

    The prompt is made as it would be for the model, since no rule tells how many tokens an image takes, and whether a
    processor takes several images is only told by the processor itself.

    Args:
        backbone: the model; one that is not of transformers has no limit that could be asked for.
        example: the longest that it will be asked.
        new_tokens: for which there must be room behind the prompt.
    """
    processor_inputs: Any = getattr(backbone, "_inputs", None)
    if processor_inputs is None:
        return None
    try:
        inputs = processor_inputs([example])
    except SavsError as error:
        return str(error)
    except Exception as error:  # processors raise whatever they trip over; the reader of the table is told
        return f"the processor of {backbone.spec.model} refuses such a prompt: {first_line(error)}"
    length, limit = int(inputs["input_ids"].shape[1]) + new_tokens, context_length(backbone)
    if limit is None or length <= limit:
        return None
    return f"the prompt takes {length} tokens with its answer, and {backbone.spec.model} was made for {limit}"


def context_length(backbone: Any) -> int | None:
    """Positions that the text decoder was made for, or None where its configuration does not say."""
    text = backbone.model.config.get_text_config(decoder=True)
    limit = getattr(text, "max_position_embeddings", None)
    return int(limit) if limit else None
