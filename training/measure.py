"""What a finished model's half precision costs its heads, and how long a forward pass takes.

Knows the float32 master and the model folder that was written from it, and writes neither.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration

import questions
from gates import Asked, about_scenes
from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
from savs.data.example import Example, Media

SEED = 808_080
EXAMPLES, BATCH, PASSES, THREADS = 160, 32, 15, 2


@dataclass(frozen=True)
class Measured:
    """The least cosine over all examples and `heads`, and the median milliseconds of a forward pass, an example."""

    cosine: float
    heads: int
    milliseconds: float


def measure(master: LlavaForConditionalGeneration, folder: Path) -> Measured:
    """Measure a model folder on fresh scenes, on the CPU, against the float32 weights it was written from.

    Raises:
        ValueError: the folder was written from other weights.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with torch.device("cpu"):
            half = load_backbone(folder, dtype="float32", device="cpu")
            exact = HuggingFaceBackbone(master.cpu().eval(), half.processor, half.spec)
            check_same_weights(exact, half, folder)
            ask = about_scenes(questions.ask_exists, questions.ask_colour, questions.ask_count, questions.ask_where)
            asked = ask(np.random.default_rng(SEED), EXAMPLES)
            return Measured(least_cosine(exact, half, asked), half.layout.n_heads, milliseconds(half, asked[:BATCH]))
    finally:
        torch.set_num_threads(before)


def check_same_weights(exact: HuggingFaceBackbone, half: HuggingFaceBackbone, folder: Path) -> None:
    """See that the one is the other, rounded: what another run learned has another cosine, and no meaning here.

    Raises:
        ValueError: it is not.
    """
    rounded = dict(half.model.named_parameters())
    for name, value in exact.model.named_parameters():
        if not torch.equal(value.half().float(), rounded[name]):
            raise ValueError(f"{folder}: {name} is not that of the run; give the folder that the run wrote, or its run")


def least_cosine(exact: HuggingFaceBackbone, half: HuggingFaceBackbone, asked: list[Asked]) -> float:
    """The least cosine of any head's output, between the two, over all questions."""
    examples = [
        Example(str(i), one.question.text, tuple(Media(image) for image in one.images)) for i, one in enumerate(asked)
    ]
    one, other = (backbone.head_activations(examples).astype(np.float64) for backbone in (exact, half))
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(((one * other).sum(-1) / lengths).min())


@torch.no_grad()
def milliseconds(backbone: HuggingFaceBackbone, asked: list[Asked]) -> float:
    """The median time of a forward pass with all its logits over one batch, inputs made before, an example."""
    prompts = [
        backbone.processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": one.question.text}]}],
            add_generation_prompt=True,
        )
        for one in asked
    ]
    images = [list(one.images) for one in asked]
    inputs = backbone.processor(images=images, text=prompts, padding=True, return_tensors="pt")
    seconds = []
    for _ in range(PASSES + 2):  # the first two warm up
        start = time.perf_counter()
        backbone.model(**inputs)
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds[2:]) / len(asked)
