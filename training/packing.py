"""Questions packed behind the images that they share, and a batch of such rows end to end, without padding.

Packed questions do not see each other: each attends to its images and to itself, and its positions go on from the
images, so that it trains as if it were alone. Knows nothing of how images are drawn, and of the model only its inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from asking import Question
from decoder import ASSISTANT, END, IMAGE, USER
from images import CELLS

#: What the attention of packed rows is called among the library's own.
ATTENTION = "packed"
#: Spans of like length attend together; so many lots waste little.
LOTS = 4


@dataclass(frozen=True)
class Pack:
    """Questions about the same images as token ids: the images first, then each question with its answer."""

    images: list[int]
    questions: list[list[int]]
    targets: list[list[int]]  # the next token where it is part of an answer, else -100
    kinds: list[str]


def pack(questions: Sequence[Question], n_images: int, tokenizer: PreTrainedTokenizerFast) -> Pack:
    """Put questions behind the `n_images` images that they share."""
    user, assistant, end, image = (tokenizer.convert_tokens_to_ids(t) for t in (USER, ASSISTANT, END, IMAGE))
    encode = tokenizer.backend_tokenizer.encode_batch
    texts = encode([q.text for q in questions])
    answers = encode([q.answer for q in questions])
    pairs = list(zip(texts, answers, strict=True))
    return Pack(
        [user, *[image] * (CELLS * n_images)],
        [[*text.ids, assistant, *answer.ids] for text, answer in pairs],
        [[-100] * len(text.ids) + [*answer.ids, end] for text, answer in pairs],
        [q.kind for q in questions],
    )


@dataclass(frozen=True)
class Lot:
    """Spans of tokens that attend at once, padded to the longest of them.

    `asks` are the tokens of each span `[spans, m]`, `reads` its images and itself `[spans, p + m]`, and `mask` is added
    to the attention's logits `[spans, 1, m, p + m]`.
    """

    asks: torch.Tensor
    reads: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """Packs end to end: ids, positions, targets and the number of the question of each token, `[tokens]`.

    `kinds` are those of the questions by number; the images' own tokens have the number -1. `back` is where each token
    is found among the lots' padded tokens.
    """

    ids: torch.Tensor
    position: torch.Tensor
    target: torch.Tensor
    owner: torch.Tensor
    kinds: list[str]
    lots: tuple[Lot, ...]
    back: torch.Tensor


def collate(packs: Sequence[Pack]) -> Batch:
    """Lay packs end to end, and say what each of their spans may read."""
    ids, position, target, owner, kinds = [], [], [], [], []
    spans: list[tuple[int, int, int, int]] = []  # start and length, and those of the images before
    for row in packs:
        begin, shared = len(ids), len(row.images)
        spans.append((begin, shared, begin, 0))
        ids += row.images
        position += range(shared)
        target += [-100] * shared
        owner += [-1] * shared
        for question, wanted, kind in zip(row.questions, row.targets, row.kinds, strict=True):
            spans.append((len(ids), len(question), begin, shared))
            ids += question
            position += range(shared, shared + len(question))
            target += wanted
            owner += [len(kinds)] * len(question)
            kinds.append(kind)
    lots, back = lay_out(np.array(spans), len(ids))
    return Batch(*(torch.tensor(row) for row in (ids, position, target, owner)), kinds, lots, back)


def lay_out(spans: np.ndarray, tokens: int) -> tuple[tuple[Lot, ...], torch.Tensor]:
    """The lots of `spans` (rows of start, length, start and length of what comes before), and each token's place."""
    back, lots, offset = np.empty(tokens, np.int64), [], 0
    for chosen in np.array_split(spans[spans[:, 1].argsort(kind="stable")], LOTS):
        start, length, before, shared = (column[:, None] for column in chosen.T)
        own, earlier = np.arange(length.max(initial=0)), np.arange(shared.max(initial=0))
        real, asks = own < length, np.where(own < length, start + own, start)
        reads = np.concatenate((np.where(earlier < shared, before + earlier, start), asks), 1)
        causal = np.broadcast_to(own <= own[:, None], (len(chosen), len(own), len(own)))
        sees = np.broadcast_to((earlier < shared)[:, None], (len(chosen), len(own), len(earlier)))
        mask = np.where(np.concatenate((sees, causal), 2), 0.0, -np.inf)[:, None]
        back[asks[real]] = offset + np.nonzero(real.ravel())[0]
        offset += real.size
        lots.append(Lot(torch.tensor(asks), torch.tensor(reads), torch.tensor(mask, dtype=torch.float32)))
    return tuple(lots), torch.tensor(back)


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    batch: Batch,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Attention within the spans of a batch: `[1, heads, tokens, width]` each, the result `[1, tokens, heads, width]`.

    Tokens are fetched as rows of an embedding, whose gradient is the quickest that a CPU has for it.
    """

    def fetch(states: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        rows = states[0].transpose(0, 1)
        return functional.embedding(numbers, rows.flatten(1)).unflatten(-1, rows.shape[1:]).transpose(1, 2)

    found = []
    for lot in batch.lots:
        read = (fetch(query, lot.asks), fetch(key, lot.reads), fetch(value, lot.reads))
        seen = functional.scaled_dot_product_attention(*read, attn_mask=lot.mask, scale=scaling, enable_gqa=True)
        found.append(seen.transpose(1, 2).flatten(0, 1).flatten(1))
    return functional.embedding(batch.back, torch.cat(found))[None].unflatten(-1, (query.shape[1], -1)), None


AttentionInterface.register(ATTENTION, attend)


def answer_loss(
    model: LlavaForConditionalGeneration, batch: Batch, images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean loss over answer tokens, and which tokens were followed by the right one (`[tokens]`, False if not asked).

    `images` are image tokens `[n, 16, hidden]`, in the order in which their places come. The language model must attend
    by `ATTENTION`.
    """
    states = read(model, batch, images)
    known = batch.target != -100
    logits = model.lm_head(states[known])
    truth = batch.target[known]
    hits = torch.zeros_like(known)
    hits[known] = logits.argmax(-1) == truth
    return functional.cross_entropy(logits, truth), hits


def read(model: LlavaForConditionalGeneration, batch: Batch, images: torch.Tensor) -> torch.Tensor:
    """The language model's last states `[tokens, hidden]`."""
    embeds = model.get_input_embeddings()(batch.ids)
    place = (batch.ids == model.config.image_token_id).unsqueeze(-1)
    embeds = embeds.masked_scatter(place, images.to(embeds.dtype))
    out = model.model.language_model(
        inputs_embeds=embeds[None], position_ids=batch.position[None], use_cache=False, batch=batch
    )
    return out.last_hidden_state[0]
