"""The comparisons about images that come again: further questions in one call, and in later ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.models import levers_set, pictures, questions, rounding
from benchmarks.speed.timing import Row, Spread, Timer, ratios, same
from savs.backbones.batches import Levers
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.backbones.inputs import tokens_across
from savs.backbones.prefixes import common_length
from savs.data.example import Example

#: Room for the features of every image that is asked about here.
_IMAGE_BYTES = 2**28


def more_questions(
    name: str, backbone: HuggingFaceBackbone, n_images: int, side: int, timer: Timer, target: float | None = None
) -> list[Row]:
    """What a further question about an image costs, against its first: from one question each and from four."""
    images = pictures(n_images, side)
    one, four = questions(images, 1), questions(images, 4)
    read = backbone.head_activations
    read(one[:1])
    with levers_set(backbone, share_prefixes=False):
        whole = read(four)
    error = float(np.abs(read(four) - whole).max() / np.abs(whole).max())
    same(f"{name}: shared beginnings", error < rounding(backbone))
    tokens = _tokens_of(backbone, four[:4])
    rows = []
    for share in (True, False):
        with levers_set(backbone, share_prefixes=share):
            seconds = timer.times({"first question": partial(read, one), "four": partial(read, four)})
        first = [t / n_images for t in seconds["first question"]]
        further = [
            max(t - f, 1e-9) / (3 * n_images) for f, t in zip(seconds["first question"], seconds["four"], strict=True)
        ]
        what = "a further question about an image" + ("" if share else ", beginnings not shared")
        spreads = {"first question": Spread.of(first), "further question": Spread.of(further)}
        aim = target if share else None
        rows.append(Row("questions", name, what, "first question", spreads, ratios(first, further), aim, tokens))
    return rows


def _tokens_of(backbone: HuggingFaceBackbone, questions_of_one_image: Sequence[Example]) -> str:
    """How much of their prompts is shared, in words."""
    encoder = backbone._encoder
    prompts = [encoder.prompt(example) for example in questions_of_one_image]
    written = encoder.tokens(prompts)  # one token an image
    common = common_length(written)
    whole = tokens_across(encoder.encode(questions_of_one_image[:1], prompts[:1]))
    own = np.mean([len(row) - common for row in written])
    return f"{whole - len(written[0]) + common} tokens are shared, {own:.0f} are a question's own"


def images_again(name: str, backbone: HuggingFaceBackbone, n_images: int, side: int, timer: Timer) -> list[Row]:
    """What keeping the features of images brings where they come again, and what it costs where they do not."""
    images = iter(pictures(n_images * (timer.repeats + 1), side))
    new = [questions(list(islice(images, n_images)), 1) for _ in range(timer.repeats + 1)]
    seen = new.pop()
    behind = [replace(e, text=f"{e.text} <image>") for e in questions([e.media[0] for e in seen[: n_images // 2]], 4)]
    off, on = replace(backbone.levers, image_bytes=0), replace(backbone.levers, image_bytes=_IMAGE_BYTES)

    def with_levers(levers: Levers, examples: Sequence[Example]) -> NDArray[Any]:
        with levers_set(backbone, **vars(levers)):
            return backbone.head_activations(examples)

    for what, examples in (("an image again", seen), ("questions in front of their image", behind)):
        whole = with_levers(off, examples)
        error = float(np.abs(with_levers(on, examples) - whole).max() / np.abs(whole).max())
        same(f"{name}: {what}", error < 1e-5)
    with_levers(on, seen)
    turns = iter(new)
    again: dict[str, Callable[[], object]] = {
        "met for the first time": lambda: with_levers(on, next(turns)),
        "met in an earlier call": partial(with_levers, on, seen),
    }
    found = [timer.row("images", name, "a question about an image", again)]
    # The way without clears what was kept, so that every turn of the way with it begins with nothing.
    for what, examples in (
        ("questions in front of their image, four each in one call", behind),
        ("images that do not come again", seen),
    ):
        ways: dict[str, Callable[[], object]] = {
            "nothing kept": partial(with_levers, off, examples),
            "features kept": partial(with_levers, on, examples),
        }
        found.append(timer.row("images", name, what, ways))
    with_levers(off, seen[:1])
    return found
