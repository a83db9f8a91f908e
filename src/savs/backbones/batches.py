"""Which examples share a forward pass, and its inputs.

Knows lengths and budgets; no weights, no attention.

How many examples fit well is a matter of tokens, and the same examples always form the same batches: a rule that
timed itself would give other batches, and so other last digits, in every run.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from math import ceil
from operator import itemgetter

from savs.backbones.encoding import Encoder, Inputs
from savs.backbones.inputs import tokens_across
from savs.backbones.prefixes import Prompt, Tails, common_length, split
from savs.data.example import Example, Media
from savs.data.media import content_key

#: Tokens of one forward pass that keep a GPU busy. A CPU is busy with any, and slows down where what a layer makes of
#: them no longer fits in its cache: so many values, and so many tokens at least and at most (docs/speed.md).
GPU_TOKENS = 16_384
_CPU_VALUES, _CPU_LEAST, _CPU_MOST = 2**20, 768, 2048

#: Values of a layer that batches side by side may take together: 256 MB in float32.
_AT_ONCE = 2**26

#: Prompts of text alone share their beginning where that saves such a part of their tokens: it costs a pass more.
_WORTH = 0.2


@dataclass(frozen=True)
class Levers:
    """What makes the reading of heads fast. None of it changes what is read by more than rounding.

    Attributes:
        tokens_per_batch: tokens of one forward pass; `usual_tokens` by default.
        share_prefixes: run the common beginning of prompts once; see `prefixes`.
        prefetch: make the next batch's inputs while the model runs.
        side_by_side: on a CPU, run several batches at once where the model allows it; see `threads`.
        image_bytes: features of images kept for calls to come, in bytes. None by default: whether an image was met
            before would show in the last digits, and a job that is resumed or shared would not give the same to the
            last bit, and batches run in turns. For a service that is asked about one image again and again.
    """

    tokens_per_batch: int | None = None
    share_prefixes: bool = True
    prefetch: bool = True
    side_by_side: bool = True
    image_bytes: int = 0


def usual_tokens(device: str, width: int) -> int:
    """Tokens of one forward pass, padding counted, unless told otherwise.

    Args:
        device: its kind, such as `cpu`.
        width: values that the widest part of a layer makes of one token.

    >>> usual_tokens("cpu", 288), usual_tokens("cpu", 1024), usual_tokens("cpu", 18944), usual_tokens("cuda", 18944)
    (2048, 1024, 768, 16384)
    """
    return GPU_TOKENS if device != "cpu" else min(_CPU_MOST, max(_CPU_LEAST, _CPU_VALUES // width))


def most_at_once(tokens: int, width: int) -> int:
    """Batches that may run side by side on a CPU, for the memory they take; at least one.

    Args:
        tokens: of the largest.
        width: as for `usual_tokens`.

    >>> most_at_once(2048, 288), most_at_once(768, 18944), most_at_once(64 * 2000, 18944)
    (113, 4, 1)
    """
    return max(1, _AT_ONCE // (tokens * width))


@dataclass(frozen=True)
class Batch:
    """The inputs of one forward pass.

    Attributes:
        rows: places of its examples.
        examples: the examples.
        inputs: of the whole prompts; or, where there are tails, of their shared beginnings.
        tails: what follows the beginnings.
    """

    rows: tuple[int, ...]
    examples: tuple[Example, ...]
    inputs: Inputs
    tails: Tails | None = None


def batches(
    examples: Sequence[Example], encoder: Encoder, *, size: int | None, tokens: int, share: bool, halve: bool = False
) -> Iterator[Batch]:
    """Cut examples into batches and make their inputs.

    A batch holds equally many media, since some processors pad images to the largest number in a batch and others do
    not allow a mixture. The longest examples come first: the next batch is then no wider than the one before, whose
    width says how many examples it may hold, and what does not fit in memory shows at the start.

    Args:
        examples: the inputs.
        encoder: of the model.
        size: examples in a batch; by default as many as `tokens` allow, and at least one.
        tokens: in one forward pass.
        share: whether prompts may share their beginnings.
        halve: whether examples that more than half fill a single batch make two, to run side by side.
    """
    for units in _alike(examples, encoder, share):
        kept = [common_length([prompt.tokens for prompt in unit]) for unit in units]
        queue = [(i, prompt) for i, unit in enumerate(units) for prompt in unit]
        width = 0 if size else tokens_across(encoder.encode([queue[0][1].example], [queue[0][1].text]))
        start = 0
        while start < len(queue):
            most, filled = _fitting(queue, start, kept, width, tokens)
            count = size or _evenly(len(queue) - start, most)
            if halve and not size and count == len(queue) and 2 * filled > tokens:
                count = sum(map(len, units[: ceil(len(units) / 2)]))
            taken = queue[start : start + count]
            start += len(taken)
            batch = _batch([[prompt for _, prompt in part] for _, part in groupby(taken, itemgetter(0))], encoder)
            width = _width(batch)
            yield batch


def of_equal_media(examples: Sequence[Example], size: int) -> Iterator[tuple[list[int], list[Example]]]:
    """Batches of equally many media and texts of like length, with their row numbers."""
    order = sorted(range(len(examples)), key=lambda row: (len(examples[row].media), len(examples[row].text), row))
    for _, alike in groupby(order, key=lambda row: len(examples[row].media)):
        rows = list(alike)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            yield batch, [examples[row] for row in batch]


def _alike(examples: Sequence[Example], encoder: Encoder, share: bool) -> Iterator[list[list[Prompt]]]:
    """Units that may share batches: prompts that share a beginning form one unit, any other prompt is one by itself."""
    units: dict[Hashable, list[Prompt]] = {}
    for row, example in enumerate(examples):
        key = tuple(map(_source, example.media)) if share else row
        units.setdefault(key, []).append(Prompt(row, example, encoder.prompt(example)))
    classes: dict[tuple[int, bool], list[list[Prompt]]] = {}
    for unit in units.values():
        marked = _with_tokens(unit, encoder) if len(unit) > 1 else None
        for part in [marked] if marked else [[prompt] for prompt in unit]:
            part.sort(key=lambda prompt: (-len(prompt.text), prompt.row))
            classes.setdefault((len(part[0].example.media), marked is not None), []).append(part)
    for _, alike in sorted(classes.items(), reverse=True):  # most media first, as the longest are
        yield sorted(alike, key=lambda unit: (-encoder.image_patches(unit[0].example), -len(unit[0].text), unit[0].row))


def _source(media: Media) -> Hashable:
    """What tells media apart: a file by its path, without opening it; anything in memory by its content."""
    return (media.kind, media.file or content_key(media))


def _with_tokens(unit: Sequence[Prompt], encoder: Encoder) -> list[Prompt] | None:
    """The prompts with their tokens, where it pays that they share their beginning."""
    rows = encoder.tokens([prompt.text for prompt in unit])
    common = common_length(rows)
    images = encoder.image_token
    if unit[0].example.media:
        # All images must lie in what is shared, and be marked by tokens there.
        shared = images in rows[0] and all(images not in row[common:] for row in rows)
    else:
        shared = common * (len(rows) - 1) >= _WORTH * sum(map(len, rows))
    return [replace(prompt, tokens=row) for prompt, row in zip(unit, rows, strict=True)] if shared else None


def _fitting(
    queue: Sequence[tuple[int, Prompt]], start: int, kept: Sequence[int], width: int, tokens: int
) -> tuple[int, int]:
    """How many prompts of the queue stay within the budget, at least one, and the tokens of these.

    The first of a unit takes `width` tokens, each further one those that it does not share.
    """
    spent, unit = 0, -1
    for count, (i, prompt) in enumerate(islice(queue, start, None)):
        more = len(prompt.tokens) - kept[i] if i == unit else width
        if spent + more > tokens and count:
            return count, spent
        spent, unit = spent + more, i
    return len(queue) - start, spent


def _evenly(left: int, most: int) -> int:
    """How many of those left to take, so that no batch is left with a few alone.

    >>> _evenly(40, 39), _evenly(40, 40), _evenly(41, 20)
    (20, 40, 14)
    """
    return ceil(left / ceil(left / most))


def _batch(units: Sequence[Sequence[Prompt]], encoder: Encoder) -> Batch:
    prompts = [prompt for unit in units for prompt in unit]
    rows, examples = tuple(prompt.row for prompt in prompts), tuple(prompt.example for prompt in prompts)
    cut = split(units, encoder) if len(units) < len(prompts) else None
    if cut is not None:
        return Batch(rows, examples, *cut)
    return Batch(rows, examples, encoder.encode(examples, [prompt.text for prompt in prompts]))


def tokens_in(batch: Batch) -> int:
    """Tokens of its forward pass, padding counted."""
    return len(batch.rows) * _width(batch)


def _width(batch: Batch) -> int:
    """Tokens of its widest prompt."""
    beyond = 0 if batch.tails is None else batch.tails.input_ids.shape[1]
    return tokens_across(batch.inputs) + beyond
