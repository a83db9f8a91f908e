"""The GPU mode: a model of Qwen2-VL-7B's shape with random weights, built on the device, against the device's peak.

Needs no file but the installed packages: inputs are drawn, since neither weights nor pixels change how long a pass
takes. With `tiny` the same is run on a small shape, on any machine, to see that it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as t
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import plain
from benchmarks.speed.timing import Spread, ratios
from savs.backbones.attention import AttentionSource, find_attention
from savs.backbones.batches import GPU_TOKENS
from savs.backbones.capture import capture_heads
from savs.backbones.prefixes import Tails, read_after
from savs.errors import BackboneError

_REPEATS = 5
_TEXT_TOKENS = 60
_QUESTION_TOKENS = 40

#: Image sides in merged patches: 500 and 990 tokens with the text.
_SIDES = ((20, 22), (30, 31))

_PAD, _START, _END = 7, 6, 8


@dataclass(frozen=True)
class Subject:
    """A model with what it is measured by."""

    model: Any
    sources: tuple[AttentionSource, ...]
    device: torch.device

    def batch(self, n: int, side: tuple[int, int]) -> dict[str, Tensor]:
        """Inputs of `n` examples of equal length: an image and a text."""
        height, width = side
        image = [_START, *[_PAD] * (height * width), _END]
        ids = torch.tensor([*image, *range(20, 20 + _TEXT_TOKENS - 2)]).expand(n, -1).contiguous()
        vision = self.model.config.vision_config
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        pixels = torch.randn(n * 4 * height * width, values, dtype=self.model.dtype)
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == _PAD).long(),
            "pixel_values": pixels,
            "image_grid_thw": torch.tensor([[1, 2 * height, 2 * width]]).expand(n, -1).contiguous(),
        }
        return {name: value.to(self.device) for name, value in inputs.items()}

    def read(self, inputs: dict[str, Tensor], layers: int | None = None) -> Tensor:
        """All heads, or those of the first layers, at the last token, as the package reads them."""
        sources = self.sources[:layers]
        last = torch.full((len(inputs["input_ids"]),), -1)
        with torch.inference_mode(), capture_heads(sources, last) as captured:
            self.model.model(**inputs, use_cache=False)
        return captured.stacked(sources[0].head_dim)

    def read_plainly(self, inputs: dict[str, Tensor]) -> Tensor:
        """One example the plain way: every layer's heads at every token kept, logits for every token."""
        kept: list[Tensor] = []
        handles = [
            source.projection.register_forward_pre_hook(lambda _module, given: kept.append(given[0].detach()))
            for source in self.sources
        ]
        try:
            with torch.no_grad():
                self.model(**inputs)
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat([z.reshape(z.shape[1], -1, self.sources[0].head_dim)[-1] for z in kept]).float().cpu()

    def further(self, inputs: dict[str, Tensor], n_questions: int) -> Tensor:
        """Several questions about each image, its beginning run once."""
        n, length = inputs["input_ids"].shape
        rows = n * n_questions
        tails = Tails(
            torch.arange(n).repeat_interleave(n_questions),
            torch.full((n,), length),
            torch.arange(30, 30 + _QUESTION_TOKENS).expand(rows, -1),
            torch.ones(rows, _QUESTION_TOKENS, dtype=torch.long),
        )
        return read_after(self.model.model, inputs, tails, self.sources, self.device).stacked(self.sources[0].head_dim)


def run(*, tiny: bool = False) -> dict[str, Any]:
    """Measure; a JSON object with `device`, `peak_tflops`, `points` and `ratios`.

    Args:
        tiny: a small shape on whatever device there is.

    Raises:
        BackboneError: there is no GPU, and it is not `tiny`.
    """
    if not (tiny or torch.cuda.is_available()):
        raise BackboneError(
            "--gpu measures on a CUDA GPU, and torch finds none here; run it on a machine that has one, or add --quick "
            "to try it on a small model"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    subject = build(device, tiny=tiny)
    peak = peak_flops(device, subject.model.dtype, 256 if tiny else 8192)
    sides = ((2, 2), (3, 4)) if tiny else _SIDES
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "model": "a small Qwen2-VL" if tiny else "Qwen2-VL-7B's shape, random weights, bfloat16",
        "peak_tflops": peak / 1e12,
        "points": [point(subject, side, peak, 128 if tiny else GPU_TOKENS) for side in sides],
    }


def build(device: torch.device, *, tiny: bool) -> Subject:
    """The model, its weights drawn on the device."""
    text: dict[str, Any] = {
        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}
    }
    vision: dict[str, Any] = {}
    if tiny:
        text |= {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 400}
        text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096}
        text["rope_parameters"]["mrope_section"] = [2, 3, 3]
        vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2}
    else:
        text |= {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "vocab_size": 152064}
        text |= {"num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768}
        vision = {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16, "mlp_ratio": 4}
    config = t.Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=_PAD,
        vision_start_token_id=_START,
        vision_end_token_id=_END,
        video_token_id=_END + 1,
    )
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = t.Qwen2VLForConditionalGeneration(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    return Subject(model, find_attention(model), device)


def point(subject: Subject, side: tuple[int, int], peak: float, tokens: int) -> dict[str, Any]:
    """Everything at one image size, as a JSON object."""
    one = subject.batch(1, side)
    length = one["input_ids"].shape[1]
    n = max(1, tokens // length)
    many = subject.batch(n, side)
    with FlopCounterMode(display=False) as counter:
        subject.read(many)
    layers = max(1, round(len(subject.sources) * 20 / 28))
    alone = _seconds(lambda: subject.read(one), subject.device)
    batched = _seconds(lambda: subject.read(many), subject.device)
    stopped = _seconds(lambda: subject.read(many, layers), subject.device)
    whole = _seconds(lambda: subject.read_plainly(one), subject.device)
    z = subject.read_plainly(one)
    means = torch.stack([z, z + 1])
    scored = _seconds(lambda: plain.score(z, 0, means, [0] * len(z)), torch.device("cpu"))
    few = max(1, n // 4)
    first = subject.batch(few, side)
    asked_once = _seconds(lambda: subject.further(first, 1), subject.device)
    asked_four = _seconds(lambda: subject.further(first, 4), subject.device)
    each = [seconds / n for seconds in batched]
    further = [max(b - a, 1e-9) / 3 for a, b in zip(asked_once, asked_four, strict=True)]
    median = Spread.of(batched).median
    return {
        "tokens": length,
        "batch": n,
        "examples_per_second": n / median,
        "tflop_per_example": counter.get_total_flops() / n / 1e12,
        "tflops": counter.get_total_flops() / median / 1e12,
        "share_of_peak": counter.get_total_flops() / median / peak,
        "layers_of_early_stop": layers,
        "ratios": {
            "fit": ratios([3 * w + s for w, s in zip(whole, scored, strict=True)], each).to_json(),
            "predict": ratios(whole, each).to_json(),
            "batch against one by one": ratios(alone, each).to_json(),
            "stop early": ratios(batched, stopped).to_json(),
            "a further question": ratios(asked_once, further).to_json(),
        },
    }


def peak_flops(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Operations a second of a large matrix product: what the device can do at best."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * size**3 / min(_seconds(lambda: torch.mm(a, b, out=out), device, repeats=20))


def _seconds(work: Callable[[], object], device: torch.device, repeats: int = _REPEATS) -> list[float]:
    """Of each repeat, after one that warms up."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]
