"""A Hugging Face model as a `Backbone`: prompts in, head features out, one forward pass an example.

Knows processors, batches and padding. Knows no task, no label and no classifier.

Batches are padded on the right and read at their last real token: in a causal decoder real tokens never see what
stands after them, so a batch gives what each example alone would give.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from savs.backbones import loading
from savs.backbones.attention import AttentionSource, layout_of, map_attention
from savs.backbones.base import BackboneSpec, Progress
from savs.backbones.capture import capture_heads
from savs.backbones.inputs import last_positions, with_decoder_inputs
from savs.backbones.prompts import content_of, images_of, render_prompt
from savs.data.example import Example
from savs.errors import BackboneError
from savs.features import FloatArray, HeadId

#: Examples in one forward pass unless told otherwise: on two CPU cores larger batches gain nothing.
DEFAULT_BATCH_SIZE = 8


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
    processor = loading.load_processor(place, config, revision=revision)
    _set_pixel_budget(processor, min_pixels, max_pixels)
    template = getattr(processor, "chat_template", None)
    image_processor = getattr(processor, "image_processor", None)
    spec = BackboneSpec(
        model=name,
        revision=loading.model_digest(Path(place)) if Path(place).exists() else str(model.config._commit_hash),
        dtype=str(model.dtype).removeprefix("torch."),
        attention=str(model.config._attn_implementation),
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
    """

    def __init__(self, model: PreTrainedModel, processor: Any, spec: BackboneSpec) -> None:
        self.model = model
        self.processor = processor
        self.spec = spec
        self.attention = map_attention(model, pattern=spec.attention_modules)
        self.sources = self.attention.sources
        self.layout = layout_of(self.sources)
        #: Entered around every pass that answers, with the position of each row's last prompt token: see `steering`.
        self.edited: Callable[[torch.Tensor], AbstractContextManager[None]] = lambda _last: nullcontext()
        self._generator: Any = model
        self._padding_is_harmless: bool | None = None
        self._tokenizer = getattr(processor, "tokenizer", processor)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._base: Any = getattr(model, model.base_model_prefix, model)

    def __repr__(self) -> str:
        layers, heads = self.layout.shape
        return f"HuggingFaceBackbone({self.spec.model}, {layers} layers x {heads} heads, {self.spec.dtype})"

    @property
    def takes_images(self) -> bool:
        """Whether examples may have images or videos."""
        return getattr(self.processor, "image_processor", None) is not None

    def head_activations(
        self,
        examples: Sequence[Example],
        *,
        heads: Sequence[HeadId] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """Each head's output at the last prompt token. See `Backbone.head_activations`.

        A batch that does not fit in memory is halved and tried again.

        Raises:
            BackboneError: a head is not in the layout, an example has media that the model cannot take, one example
                alone does not fit in memory, or the model gives values that are not finite.
            DataError: an image or a video cannot be opened, or its marks do not fit.
            ValueError: `batch_size` is less than one.
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; expected at least one example in a batch")
        wanted = tuple(heads) if heads is not None else self.layout.heads
        unknown = [head for head in wanted if head not in set(self.layout.heads)]
        if unknown:
            raise BackboneError(f"{self.spec.model} has no head {unknown[0]}; it has {_grid(self.layout.shape)}")
        deepest = max(head.layer for head in wanted)
        sources = tuple(source for source in self.sources if source.layer <= deepest)
        column = {head: i for i, head in enumerate(layout_of(sources).heads)}
        columns = torch.tensor([column[head] for head in wanted])

        z = np.empty((len(examples), len(wanted), self.layout.head_dim), dtype=np.float32)
        for rows, batch in _batches(examples, batch_size or DEFAULT_BATCH_SIZE, progress):
            z[rows] = self._features(batch, sources, columns)
        return z

    def generate(
        self, examples: Sequence[Example], *, max_new_tokens: int = 16, progress: Progress | None = None
    ) -> list[str]:
        """The model's own greedy answer to each example, without special tokens. See `Backbone.generate`."""
        answers = [""] * len(examples)
        for rows, batch in _batches(examples, DEFAULT_BATCH_SIZE, progress):
            inputs = self._inputs(batch, padding_side="left")
            with torch.inference_mode(), self.edited(torch.full((len(batch),), -1)):
                tokens = self._generator.generate(
                    **inputs,
                    do_sample=False,
                    max_new_tokens=max_new_tokens,
                    pad_token_id=self._tokenizer.pad_token_id,
                )
            new = tokens[:, inputs["input_ids"].shape[1] :]
            for row, text in zip(rows, self._tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
                answers[row] = text.strip()
        return answers

    def answer_log_likelihoods(
        self, examples: Sequence[Example], answers: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Mean log-probability a token of each answer after each prompt: `[n_samples, n_answers]`.

        For the answers Yes and No this is VQAScore (arXiv 2404.01291).
        """
        scores = np.empty((len(examples), len(answers)))
        for rows, batch in _batches(examples, DEFAULT_BATCH_SIZE, progress):
            prompts = self._inputs(batch)
            lengths = prompts["attention_mask"].sum(dim=1)
            first: torch.Tensor | None = None
            for column, answer in enumerate(answers):
                inputs = self._inputs(batch, answer=answer)
                ends = inputs["attention_mask"].sum(dim=1)
                if bool((ends == lengths + 1).all()):
                    # An answer of one token is read off the prompt's own last position: one pass serves them all.
                    if first is None:
                        first = self._log_probabilities(prompts, lengths - 1)[torch.arange(len(rows)), lengths - 1]
                    tokens = inputs["input_ids"].gather(1, lengths[:, None])
                    scores[rows, column] = first.gather(1, tokens)[:, 0].cpu().numpy()
                    continue
                next_tokens = self._log_probabilities(inputs, lengths - 1)[:, :-1]
                chosen = next_tokens.gather(-1, inputs["input_ids"][:, 1:, None])[..., 0]
                position = torch.arange(1, inputs["input_ids"].shape[1], device=chosen.device)
                in_answer = (position >= lengths[:, None]) & (position < ends[:, None])
                mean = (chosen * in_answer).sum(dim=1) / in_answer.sum(dim=1)
                scores[rows, column] = mean.cpu().numpy()
        return scores

    def _log_probabilities(self, inputs: dict[str, torch.Tensor], last: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the next token at every position: `[n_rows, n_positions, n_tokens]`.

        `last` is the position of each row's last prompt token.
        """
        with torch.inference_mode(), self.edited(last):
            logits: torch.Tensor = self.model(**inputs, use_cache=False).logits
        return logits.float().log_softmax(dim=-1)

    def _features(
        self, examples: Sequence[Example], sources: Sequence[AttentionSource], columns: torch.Tensor
    ) -> FloatArray:
        """Features of one batch, halved as often as memory demands."""
        try:
            z = self._forward(examples, sources, columns)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(examples) == 1:
                raise BackboneError(
                    f"example {examples[0].id!r} alone does not fit in the memory of {self.model.device}; "
                    "lower max_pixels or video_frames, or use a smaller dtype or another device"
                ) from error
        else:
            finite = np.isfinite(z).all(axis=(1, 2))
            if not finite.all():
                raise BackboneError(
                    f"{self.spec.model} in {self.spec.dtype} gives values that are not finite for example "
                    f"{examples[int(finite.argmin())].id!r}; try dtype='float32' or another attention kernel"
                )
            return z
        # Outside the handler, which holds the failed batch's tensors until it ends.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(examples) // 2
        return np.concatenate([self._features(part, sources, columns) for part in (examples[:half], examples[half:])])

    def _forward(
        self, examples: Sequence[Example], sources: Sequence[AttentionSource], columns: torch.Tensor
    ) -> FloatArray:
        """Features of one batch; its tensors live no longer than the call.

        The first batch of unequal lengths tells whether the model can be padded: some let a prompt see what stands
        after it (PaliGemma reads its prompt in both directions). Such a model gets prompts of one length at a time.
        """
        inputs = self._inputs(examples)
        lengths = inputs["attention_mask"].sum(dim=1) if "attention_mask" in inputs else torch.ones(len(examples))
        if bool((lengths == lengths[0]).all()):
            return self._read(inputs, sources, columns)
        if self._padding_is_harmless is None:
            z = self._read(inputs, sources, columns)
            shortest = int(lengths.argmin())
            alone = self._read(self._inputs([examples[shortest]]), sources, columns)[0]
            tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.1
            self._padding_is_harmless = bool(np.abs(z[shortest] - alone).max() <= tolerance * np.abs(alone).max())
            if self._padding_is_harmless:
                return z
        if self._padding_is_harmless:
            return self._read(inputs, sources, columns)
        z = np.empty((len(examples), len(columns), self.layout.head_dim), dtype=np.float32)
        for length in sorted(set(lengths.tolist())):
            rows = (lengths == length).nonzero()[:, 0].tolist()
            z[rows] = self._read(self._inputs([examples[row] for row in rows]), sources, columns)
        return z

    def _read(
        self, inputs: dict[str, torch.Tensor], sources: Sequence[AttentionSource], columns: torch.Tensor
    ) -> FloatArray:
        """Features of prepared inputs, in one forward pass."""
        with torch.inference_mode(), capture_heads(sources, last_positions(inputs)) as captured:
            self._base(**inputs, use_cache=False)
        return np.asarray(captured.stacked(self.layout.head_dim)[:, columns].float().cpu().numpy())

    def _inputs(
        self, examples: Sequence[Example], *, padding_side: str = "right", answer: str = ""
    ) -> dict[str, torch.Tensor]:
        """The model's inputs for one batch, on its device, with `answer` written after each prompt."""
        images = [images_of(example, video_frames=self.spec.video_frames) for example in examples]
        if not self.takes_images and any(images):
            with_media = next(example for example in examples if example.media)
            raise BackboneError(
                f"{self.spec.model} takes text only, but example {with_media.id!r} has media; "
                "choose a vision-language model"
            )
        prompts = [
            render_prompt(content_of(example, [len(mark) for mark in marks]), self.processor)
            for example, marks in zip(examples, images, strict=True)
        ]
        if answer:
            prompts = [prompt + (answer if prompt[-1:].isspace() else f" {answer}") for prompt in prompts]
        begins = self._tokenizer.bos_token
        arguments: dict[str, Any] = {
            "text": prompts,
            "padding": True,
            "padding_side": padding_side,
            "return_tensors": "pt",
            # A chat template writes the beginning-of-text token itself; it must not stand there twice.
            "add_special_tokens": not (begins and prompts[0].startswith(begins)),
        }
        if any(images):
            arguments["images"] = [[image for mark in marks for image in mark] for marks in images]
        if "mm_token_type_ids" in getattr(self.processor, "model_input_names", ()):
            arguments["return_mm_token_type_ids"] = True  # where images stand, which multimodal positions need
        batch = with_decoder_inputs(
            self.processor(**arguments), self.model.config, self._base, self._tokenizer, prompts
        )
        accepted = inspect.signature(self._base.forward).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
        return {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in batch.items()
            if takes_any or name in accepted
        }


def _batches(
    examples: Sequence[Example], size: int, progress: Progress | None
) -> Iterator[tuple[list[int], list[Example]]]:
    """Batches of equally many media and texts of like length, with their row numbers; tells of each one done."""
    order = sorted(range(len(examples)), key=lambda row: (len(examples[row].media), len(examples[row].text), row))
    done = 0
    for _, alike in groupby(order, key=lambda row: len(examples[row].media)):
        rows = list(alike)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            yield batch, [examples[row] for row in batch]
            done += len(batch)
            if progress is not None:
                progress(done, len(examples))


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


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, which only CUDA says by class: MPS and the CPU say it in words."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def _grid(shape: tuple[int, int]) -> str:
    return f"{shape[0]} layers x {shape[1]} heads"
