"""A Hugging Face model as a `Backbone`: prompts in, head features out, one forward pass an example.

Knows how loading, encoding, batches and passes go together. Knows no task, no label and no classifier.

Batches are padded on the right and read at their last real token: in a causal decoder real tokens never see what
stands after them, so a batch gives what each example alone would give. Whether that holds is asked of each model once,
which runs a few rows a second time (see `passes`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from savs.backbones import loading
from savs.backbones.attention import layout_of, map_attention
from savs.backbones.base import BackboneSpec, Progress
from savs.backbones.batches import Batch, Levers, batches, most_at_once, of_equal_media, tokens_in, usual_tokens
from savs.backbones.encoding import Encoder, Inputs, with_answer
from savs.backbones.likelihood import answer_logits, answer_tokens, first_logits
from savs.backbones.memory import halving
from savs.backbones.mixing import Mixing
from savs.backbones.passes import Passes, Wanted
from savs.backbones.processors import load_processor
from savs.backbones.quantised import how_kept
from savs.backbones.threads import prefetched, side_by_side
from savs.backbones.writing import Writer
from savs.data.example import Example
from savs.errors import BackboneError, DataError
from savs.features import FloatArray, HeadId

#: Examples that are answered side by side.
ANSWER_BATCH_SIZE = 8

#: Examples for which it pays to run two more, to know whether their batches may run side by side.
_WORTH_ASKING = 16


def load_backbone(
    id_or_path: str | Path,
    *,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | None = None,
    attention: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    video_frames: int = 8,
    attention_modules: str = "",
) -> HuggingFaceBackbone:
    """Open a frozen model so that its attention heads can be read.

    Args:
        id_or_path: a Hub id, a folder saved by transformers, a GGUF file, or `demo` for the model in the package.
        revision: branch, tag or commit on the Hub.
        dtype: `float32`, `bfloat16` or `float16`; by default what the device computes in natively.
        device: `cuda`, `mps`, `cpu`, or `auto` to spread a large model; by default the fastest there is.
        attention: attention kernel (`sdpa`, `eager`, `flash_attention_2`); transformers' choice by default.
        min_pixels: lower pixel budget of an image, for processors that have one.
        max_pixels: upper pixel budget of an image, for processors that have one.
        video_frames: frames sampled from each video and given as images.
        attention_modules: regular expression over module paths that names the attention output projections, for a
            model whose heads are not found by structure.

    Raises:
        BackboneError: the model cannot be loaded safely, or has no attention heads that can be read.
    """
    name, place = loading.locate(id_or_path)
    device = device or loading.choose_device()
    config = loading.load_config(place, revision=revision)
    model = loading.load_model(
        place,
        config,
        revision=revision,
        dtype=_as_dtype(dtype) if dtype is not None else loading.choose_dtype(device),
        device=device,
        attention=attention,
    )
    processor = load_processor(place, config, revision=revision)
    _set_pixel_budget(processor, min_pixels, max_pixels)
    template = getattr(processor, "chat_template", None)
    image_processor = getattr(processor, "image_processor", None)
    spec = BackboneSpec(
        model=name,
        revision=loading.model_digest(Path(place)) if Path(place).exists() else str(model.config._commit_hash),
        dtype=str(model.dtype).removeprefix("torch."),
        attention=str(model.config._attn_implementation),
        quantised=how_kept(model, config),
        image_processor=type(image_processor).__name__ if image_processor is not None else "",
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        video_frames=video_frames,
        chat_template=hashlib.sha256(str(template).encode()).hexdigest()[:16] if template else "",
        attention_modules=attention_modules,
        location=_location(name, place),
    )
    return HuggingFaceBackbone(model, processor, spec)


class HuggingFaceBackbone:
    """A frozen transformers model with its processor. Made by `load_backbone`.

    Attributes:
        spec: what identifies it.
        layout: its heads.
        model: the transformers model.
        processor: its processor, or its tokenizer where it takes text only.
        levers: switches of what makes it fast.
    """

    def __init__(self, model: PreTrainedModel, processor: Any, spec: BackboneSpec) -> None:
        self.model = model
        self.processor = processor
        self.spec = spec
        self.attention = map_attention(model, pattern=spec.attention_modules)
        self.sources = self.attention.sources
        self.layout = layout_of(self.sources)
        self.levers = Levers()
        #: Entered around every pass that answers, with the position of each row's last prompt token: see `steering`.
        self.edited: Callable[[torch.Tensor], AbstractContextManager[None]] = lambda _last: nullcontext()
        self._base: Any = getattr(model, model.base_model_prefix, model)
        self._encoder = Encoder(processor, model.config, self._base, spec)
        self._tokenizer = self._encoder.tokenizer
        self._passes = Passes(model, self._base, self._encoder, self.attention, spec.model)
        self._scoring = Mixing(spec.model, self._scores_agree)
        self._writer = Writer(self)

    def __repr__(self) -> str:
        layers, heads = self.layout.shape
        return f"HuggingFaceBackbone({self.spec.model}, {layers} layers x {heads} heads, {self.spec.dtype})"

    @property
    def takes_images(self) -> bool:
        """Whether examples may have images or videos."""
        return self._encoder.takes_images

    @property
    def sharing_obstacle(self) -> str:
        """Why prompts that begin alike are each run whole; empty where they are not, or it was not tried yet."""
        return self._passes.sharing_obstacle

    @property
    def tokens_per_batch(self) -> int:
        """Tokens of one forward pass: what `levers` say, or what suits the device and the model's width."""
        return self.levers.tokens_per_batch or usual_tokens(self.model.device.type, self._width)

    @property
    def _spreads(self) -> bool:
        """Whether batches may run side by side, as far as it is not the model's to say."""
        levers = self.levers
        return levers.side_by_side and not levers.image_bytes and self.model.device.type == "cpu"

    @property
    def _width(self) -> int:
        """Values that the widest part of a layer makes of one token."""
        text: Any = self.model.config.get_text_config(decoder=True)
        width = getattr(text, "intermediate_size", None) or 4 * getattr(text, "hidden_size", 1024)
        return int(max(width) if isinstance(width, list | tuple) else width)  # Gemma 3n has one for each layer

    def head_activations(
        self,
        examples: Sequence[Example],
        *,
        heads: Sequence[HeadId] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """Each head's output at the last prompt token. See `Backbone.head_activations`.

        Without a `batch_size` a batch holds as many examples as `tokens_per_batch` allows. A batch that does
        not fit in memory is halved and tried again.

        Raises:
            BackboneError: a head is not in the layout, an example has media that the model cannot take, one example
                alone does not fit in memory, or the model gives values that are not finite.
            DataError: an image or a video cannot be opened, or its marks do not fit.
            ValueError: `batch_size` is less than one.
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; expected at least one example in a batch")
        heads = tuple(heads) if heads is not None else self.layout.heads
        wanted = self._wanted(heads)
        self._passes.images.hold(self.levers.image_bytes)
        made = batches(
            examples,
            self._encoder,
            size=batch_size,
            tokens=self.tokens_per_batch,
            share=self.levers.share_prefixes and not self.sharing_obstacle,
            halve=self._spreads,
        )
        z = np.empty((len(examples), len(heads), self.layout.head_dim), dtype=np.float32)
        done = 0
        for batch, values in self._passed(made, examples, wanted):
            z[list(batch.rows)] = values
            done += len(batch.rows)
            if progress is not None:
                progress(done, len(examples))
        return z

    def _passed(
        self, made: Iterator[Batch], examples: Sequence[Example], wanted: Wanted
    ) -> Iterator[tuple[Batch, FloatArray]]:
        """The batches with their features, as they are done."""
        run = partial(self._passes.features, wanted=wanted)
        if self._spreads and len(examples) >= _WORTH_ASKING:
            first = list(islice(made, torch.get_num_threads()))
            made = chain(first, made)
            workers = min(len(first), most_at_once(max(map(tokens_in, first)), self._width))
            kinds = [[one for one in examples if bool(one.media) is media] for media in (False, True)]
            if workers > 1 and all(self._passes.leave_no_trace(kind, wanted) for kind in kinds if kind):
                yield from side_by_side(made, run, workers, self._passes.asks)
                return
        for batch in prefetched(made) if self.levers.prefetch else made:
            yield batch, run(batch)

    def _wanted(self, heads: Sequence[HeadId]) -> Wanted:
        known = set(self.layout.heads)
        unknown = [head for head in heads if head not in known]
        if unknown:
            raise BackboneError(f"{self.spec.model} has no head {unknown[0]}; it has {_grid(self.layout.shape)}")
        deepest = max(head.layer for head in heads)
        sources = tuple(source for source in self.sources if source.layer <= deepest)
        column = {head: i for i, head in enumerate(layout_of(sources).heads)}
        return Wanted(sources, torch.tensor([column[head] for head in heads]), self.layout.head_dim)

    def generate(
        self, examples: Sequence[Example], *, max_new_tokens: int = 16, progress: Progress | None = None
    ) -> list[str]:
        """The model's own greedy answer to each example, without special tokens. See `Backbone.generate`.

        A batch that does not fit in memory is halved and tried again.

        Raises:
            BackboneError: one example alone does not fit in memory, or has media that the model cannot take.
            DataError: an image or a video cannot be opened, or its marks do not fit.
        """
        answers = [""] * len(examples)
        done = 0
        for rows, batch in of_equal_media(examples, ANSWER_BATCH_SIZE):
            written = halving(batch, partial(self._written, batch, max_new_tokens), self.model.device)
            for row, text in zip(rows, chain(*written), strict=True):
                answers[row] = text.strip()
            done += len(rows)
            if progress is not None:
                progress(done, len(examples))
        return answers

    def _written(self, examples: Sequence[Example], max_new_tokens: int, part: slice) -> list[str]:
        return self._writer.write(examples[part], max_new_tokens)

    def answer_log_likelihoods(
        self,
        examples: Sequence[Example],
        answers: Sequence[str],
        *,
        offered: NDArray[np.bool_] | None = None,
        summed: bool = False,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Mean log-probability a token of each answer after each prompt. See `Backbone.answer_log_likelihoods`.

        For the answers Yes and No this is VQAScore (arXiv 2404.01291). A batch that does not fit in memory is halved
        and tried again.

        Raises:
            BackboneError: the model is an encoder-decoder, one example alone does not fit in memory, or has media that
                the model cannot take; an answer has no token of its own, or its processor writes it with others.
            DataError: an answer is empty, or an image or a video cannot be opened.
        """
        if getattr(self.model.config, "is_encoder_decoder", False):
            raise BackboneError(
                f"{self.spec.model} is an encoder-decoder, whose answers are not scored by likelihood here; "
                "let it write its answer instead (generate)"
            )
        empty = [place for place, answer in enumerate(answers) if not answer.strip()]
        if empty:
            raise DataError(
                f"answer {empty[0] + 1} of {len(answers)} is empty ({answers[empty[0]]!r}); every class needs a word "
                "of its own to be scored by likelihood"
            )
        scores = np.full((len(examples), len(answers)), -np.inf)
        may = np.ones(scores.shape, dtype=bool) if offered is None else offered
        done = 0
        for rows, _ in of_equal_media(examples, ANSWER_BATCH_SIZE):
            asked = [(row, column) for column in range(len(answers)) for row in rows if may[row, column]]
            written = answer_tokens(self, [examples[row] for row, _ in asked], [answers[column] for _, column in asked])
            # An answer of one token is read off the prompt's own last position: one pass serves them all.
            single = {
                pair: answer.tokens[0]
                for pair, answer in zip(asked, written, strict=True)
                if len(answer.tokens) == 1 and answer.apart
            }
            prompts = list(dict.fromkeys(row for row, _ in single))
            firsts = dict(zip(prompts, self._first([examples[row] for row in prompts]), strict=True))
            for (row, column), token in single.items():
                scores[row, column] = firsts[row][token]
            longer = [pair for pair in asked if pair not in single]
            for start in range(0, len(longer), ANSWER_BATCH_SIZE):
                pairs = longer[start : start + ANSWER_BATCH_SIZE]
                asked_now = [examples[row] for row, _ in pairs], [answers[column] for _, column in pairs]
                scores[tuple(zip(*pairs, strict=True))] = self._of_answers(*asked_now, summed)
            done += len(rows)
            if progress is not None:
                progress(done, len(examples))
        return scores

    @torch.inference_mode()
    def _first(self, examples: Sequence[Example]) -> FloatArray:
        """Log-probabilities of the first token after each prompt: `[n_rows, n_vocabulary]`."""

        def run(rows: Sequence[int]) -> FloatArray:
            logits = first_logits(self, [examples[row] for row in rows])
            return np.asarray(logits.log_softmax(dim=-1).cpu().numpy())

        return self._in_batches(examples, [self._encoder.prompt(example) for example in examples], run)

    @torch.inference_mode()
    def _of_answers(self, examples: Sequence[Example], answers: Sequence[str], summed: bool) -> FloatArray:
        """Mean log-probability a token of one answer after each prompt, or their sum: `[n_rows]`."""

        def run(rows: Sequence[int]) -> FloatArray:
            logits, tokens, row = answer_logits(self, [examples[i] for i in rows], [answers[i] for i in rows])
            chosen = logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
            count = row.bincount(minlength=len(rows))
            total = chosen.new_zeros(len(count)).index_add(0, row, chosen)
            return np.asarray((total if summed else total / count).cpu().numpy())

        prompts = [self._encoder.prompt(example) for example in examples]
        whole = [with_answer(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        return self._in_batches(examples, whole, run)

    def _in_batches(
        self, examples: Sequence[Example], texts: Sequence[str], run: Callable[[Sequence[int]], FloatArray]
    ) -> FloatArray:
        """What `run` gives for rows of these texts, in as large batches as memory and the model allow."""
        if not examples:
            return np.empty((0, 0), np.float32)
        kinds = self._encoder.kinds(examples, map(len, self._encoder.tokens(texts)))

        def part_of(part: slice) -> list[FloatArray]:
            rows = range(len(examples))[part]
            return self._scoring.run(kinds[part], lambda which: run([rows[i] for i in which]))

        return np.stack([row for part in halving(examples, part_of, self.model.device) for row in part])

    def _scores_agree(self, scores: FloatArray, alone: FloatArray) -> bool:
        """Whether log-probabilities differ by no more than rounding."""
        return bool(np.abs(scores - alone).max() <= (1e-4 if self.model.dtype == torch.float32 else 0.25))

    def _inputs(
        self, examples: Sequence[Example], *, padding_side: str = "right", answers: Sequence[str] = ()
    ) -> Inputs:
        """The model's inputs for one batch, on its device, with one of the `answers` written after each prompt."""
        prompts = [self._encoder.prompt(example) for example in examples]
        if answers:
            prompts = [with_answer(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        return self._passes.on_device(self._encoder.encode(examples, prompts, padding_side=padding_side))


def _location(name: str, place: str) -> str:
    """Where to load the model from again, whatever folder that is done in."""
    local = name != loading.DEMO_NAME and Path(place).exists()
    return str(Path(place).resolve()) if local else name


def _as_dtype(name: str | torch.dtype) -> torch.dtype:
    dtype = name if isinstance(name, torch.dtype) else getattr(torch, str(name), None)
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise BackboneError(f"dtype {name!r} is not one of float32, bfloat16, float16")
    return dtype


def _set_pixel_budget(processor: Any, min_pixels: int | None, max_pixels: int | None) -> None:
    """Bound the size of images, for processors whose size is a pixel budget."""
    if min_pixels is None and max_pixels is None:
        return
    image_processor: Any = getattr(processor, "image_processor", None)
    # Its size is then written as an area, under the names of edges; the settings it takes tell the two apart.
    if "max_pixels" not in getattr(getattr(image_processor, "valid_kwargs", None), "__annotations__", {}):
        raise BackboneError(
            f"{type(image_processor).__name__} has no pixel budget; min_pixels and max_pixels are for processors "
            "that resize images to one, such as Qwen2-VL's"
        )
    size = dict(image_processor.size)
    size.update(
        {
            key: pixels
            for key, pixels in (("shortest_edge", min_pixels), ("longest_edge", max_pixels))
            if pixels is not None
        }
    )
    image_processor.size = size


def _grid(shape: tuple[int, int]) -> str:
    return f"{shape[0]} layers x {shape[1]} heads"
