"""The GPU mode: a model of Qwen2-VL-7B's shape with random weights, built on the device, against the device's peak.

Needs no file but the installed packages: pictures are drawn and tokens are bytes, since neither weights nor pixels
change how long a pass takes. With `tiny` the same is run on a small shape, on any machine, to see that it runs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import transformers as t
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import asked_again, modelless, rows
from benchmarks.speed.models import Workload, byte_tokenizer, pictures, questions
from benchmarks.speed.timing import Row, Spread, Timer
from savs.backbones.base import BackboneSpec
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.backbones.inputs import tokens_across
from savs.backbones.processors import without_video
from savs.errors import BackboneError

#: Pixels of a side that make one token.
_PATCH = 28
#: Sides of the pictures in tokens: 500 and 980 tokens with the text.
_SIDES = (22, 31)
#: What the two classes are asked: as long as each other, so that no row is padded.
_ASKED = ("Is it far away?", "Who took a bus?")
_SHOTS = 40
#: Batches that are read to see what is around the forward: nothing runs beside the making of the first.
_BATCHES = 16


def run(*, tiny: bool = False, repeats: int = 5) -> dict[str, Any]:
    """Measure; a JSON object with `device`, `model`, `peak_tflops`, `points` and `rows`.

    Args:
        tiny: a small shape on whatever device there is.
        repeats: of the bare forward; the comparisons take 3 at most.

    Raises:
        BackboneError: there is no GPU, and it is not `tiny`.
        NotTheSame: two ways give other head scores or labels.
    """
    cuda = torch.cuda.is_available()
    if not (tiny or cuda):
        raise BackboneError(
            "--gpu measures on a CUDA GPU, and torch finds none here; run it on a machine that has one, or add --quick "
            "to try it on a small model"
        )
    backbone = build(torch.device("cuda" if cuda else "cpu"), tiny=tiny)
    finish = torch.cuda.synchronize if cuda else (lambda: None)
    timer, few = Timer(repeats, "wall", finish), Timer(min(3, repeats), "wall", finish)
    peak = peak_flops(backbone, timer, 256 if tiny else 8192)
    points: list[dict[str, Any]] = []
    found: list[Row] = []
    for side in (2, 3) if tiny else _SIDES:
        work, n = workload(backbone, side)
        backbone.head_activations(work.test)
        points.append(forward(work, n, peak, timer))
        found += comparisons(work, n, few)
        found += asked_again.more_questions(work.name, backbone, max(1, n // 4), side * _PATCH, few)
    for n_classes in (10,) if tiny else (10, 100):
        found += modelless.scoring(n_classes, few)
    found += modelless.storing(backbone.spec, 64 if tiny else 2048, few)
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "model": "a small Qwen2-VL" if tiny else "Qwen2-VL-7B's shape, random weights, bfloat16",
        "peak_tflops": peak / 1e12,
        "points": points,
        "rows": [row.to_json() for row in found],
    }


def build(device: torch.device, *, tiny: bool) -> HuggingFaceBackbone:
    """The model, its weights drawn on the device, behind the family's own processor."""
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
    start, pad, end, video = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>"
    tokenizer = byte_tokenizer(start, pad, end, video)
    config = t.Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(pad),
        vision_start_token_id=tokenizer.convert_tokens_to_ids(start),
        vision_end_token_id=tokenizer.convert_tokens_to_ids(end),
        video_token_id=tokenizer.convert_tokens_to_ids(video),
    )
    processor = without_video(t.Qwen2VLProcessor)(
        t.Qwen2VLImageProcessorPil(),
        tokenizer,
        chat_template="{% for part in messages[0]['content'] %}{{ part['text'] if part['text'] else "
        f"'{start}{pad}{end}' }}}}{{% endfor %}}",
    )
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    try:
        with torch.device(device):
            model = t.Qwen2VLForConditionalGeneration(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    name = "small Qwen2-VL" if tiny else "Qwen2-VL, 7B"
    spec = BackboneSpec(name, revision="random", dtype=str(dtype).removeprefix("torch."), attention="sdpa")
    backbone = HuggingFaceBackbone(model, processor, spec)
    if tiny:
        backbone.levers = replace(backbone.levers, tokens_per_batch=128)
    return backbone


def workload(backbone: HuggingFaceBackbone, side: int) -> tuple[Workload, int]:
    """Pictures of so many tokens a side, each asked once, and how many fill a batch; four batches to predict.

    Weights that were drawn favour no head: the twenty to predict with are spread over all layers, down to the last.
    """
    one = questions(pictures(1, side * _PATCH), 1)
    length = tokens_across(backbone._inputs([replace(one[0], text=_ASKED[0])]))
    n = max(1, backbone.tokens_per_batch // length)
    asked = [
        replace(example, text=_ASKED[i % 2], label="ab"[i % 2])
        for i, example in enumerate(questions(pictures(_SHOTS + 4 * n, side * _PATCH), 1))
    ]
    shots, test = tuple(asked[:_SHOTS]), tuple(asked[_SHOTS:])
    heads = backbone.layout.heads
    spread = frozenset(heads[i] for i in np.linspace(0, len(heads) - 1, 20).astype(int))
    return Workload(f"{backbone.spec.model}, {length} tokens", backbone, shots, shots, test, among=spread), n


def forward(work: Workload, n: int, peak: float, timer: Timer) -> dict[str, float]:
    """The bare forward of one batch down to the last layer's heads, its inputs on the device."""
    made = rows.made_before(work.backbone, work.test[:n])
    run_once = rows.bare(work.backbone, made)
    with FlopCounterMode(display=False) as counter:
        run_once()
    seconds = Spread.of(timer.times({"forward": run_once})["forward"]).median
    operations = counter.get_total_flops()
    return {
        "tokens": tokens_across(made[0]),
        "batch": n,
        "examples_per_second": n / seconds,
        "tflop_per_example": operations / n / 1e12,
        "tflops": operations / seconds / 1e12,
        "share_of_peak": operations / seconds / peak,
    }


def comparisons(work: Workload, n: int, timer: Timer) -> list[Row]:
    """What the CPU's page compares too, all of it from examples."""
    backbone = work.backbone
    read = partial(backbone.head_activations, work.test)
    n_layers = backbone.layout.shape[0]
    layers = max(1, round(n_layers * 20 / 28))
    first = [head for head in backbone.layout.heads if head.layer < layers]
    one_by_one = {"batches of 1": partial(read, batch_size=1), "by tokens": read}
    stopped = {"all layers": read, "stop": partial(read, heads=first)}
    return [
        *rows.fit_and_predict(work, timer),
        rows.overhead(work, timer, _BATCHES * n),
        timer.row("levers", work.name, "batches filled by tokens", one_by_one),
        timer.row("levers", work.name, f"stop after {layers} of {n_layers} layers", stopped),
    ]


def peak_flops(backbone: HuggingFaceBackbone, timer: Timer, size: int) -> float:
    """Operations a second of a large matrix product: what the device can do at best."""
    a, b = (torch.randn(size, size, device=backbone.model.device, dtype=backbone.model.dtype) for _ in range(2))
    out = torch.empty_like(a)
    # The quickest of many: the first ones warm up.
    return 2 * size**3 / min(timer.times({"product": lambda: torch.mm(a, b, out=out)}, repeats=20)["product"])
