"""One model type's certificate: a tiny random model of it, and what savs can do with that.

Random weights show whether heads are found and read rightly; they show nothing about how well a model classifies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

from benchmarks.families.processors import processor_for
from benchmarks.families.shrink import shrunk
from savs.backbones.attention import AttentionMap, layout_of, map_attention
from savs.backbones.capture import capture_heads
from savs.backbones.huggingface import load_backbone
from savs.backbones.loading import load_config
from savs.data.example import Example, Media
from savs.errors import BackboneError
from savs.model import SAVModel

#: Largest difference between a batch and single rows that rounding explains, of the largest value, in float32.
TOLERANCE = 1e-4
#: Rows of these lengths, in one padded batch.
_LENGTHS = (3, 17, 9, 12)
#: Types that AutoModel does not open as something that writes text.
_CLASSES = {"qwen2_audio": "Qwen2AudioForConditionalGeneration"}
INPUTS = ("text", "one image", "two images")


@dataclass(frozen=True)
class Record:
    """What was found of one model type.

    Attributes:
        model_type: as transformers names it.
        problem: why it is not supported, or empty.
        projection: path of the first projection, layer numbers as `N`.
        layers: decoder layers whose heads are read, of the tiny model.
        heads: how many in each.
        head_dims: how wide in each.
        gated: whether heads are gated or normalised before the projection.
        left_out: reason to layers that are not read for it.
        identity: largest difference between the captured value, projected, and the projection's own output.
        batch: largest relative difference between a padded batch of token rows and each row alone, where the model
            takes text alone.
        inputs: `ok`, or why not, for each kind of input through the real processor, `load_backbone` and `SAVModel`.
    """

    model_type: str
    problem: str = ""
    projection: str = ""
    layers: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    head_dims: list[int] = field(default_factory=list)
    gated: bool = False
    left_out: dict[str, list[int]] = field(default_factory=dict)
    identity: float | None = None
    batch: float | None = None
    inputs: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)


def certify(model_type: str, *, media: bool = True) -> Record:
    """Build a tiny model of a type and try everything on it.

    Args:
        model_type: as transformers names it.
        media: whether to go through the processor too, which takes most of the time.
    """
    config = shrunk(model_type)
    refusal = _refusal(config)
    if refusal:
        return Record(model_type, problem=refusal)
    torch.manual_seed(0)
    processor: Any = None
    no_processor = ""
    try:
        processor = processor_for(config) if media else None
    except Exception as error:  # whatever a family's processor raises is what the record is for
        no_processor = sentence(error)
    try:
        model = _build(config, model_type)
        found = map_attention(model)
    except Exception as error:
        return Record(model_type, problem=sentence(error))
    inputs: dict[str, str] = {}
    identity = batch = None
    try:
        identity, batch = _read_text(model, found)
        inputs["token rows"] = "ok" if batch < TOLERANCE else f"a padded batch differs by {batch:.1e}"
    except Exception as error:
        inputs["token rows"] = sentence(error)
    if media:
        kinds = INPUTS if processor is None or hasattr(processor, "image_processor") else INPUTS[:1]
        inputs |= _through_processor(model, processor, kinds) if processor else {name: no_processor for name in kinds}
    left_out: dict[str, list[int]] = {}
    for part in found.left_out:
        left_out.setdefault(part.reason, []).append(part.layer)
    first = found.sources[0]
    return Record(
        model_type,
        projection=first.name.replace(f".{first.layer}.", ".N."),
        layers=[source.layer for source in found.sources],
        heads=[source.n_heads for source in found.sources],
        head_dims=[source.head_dim for source in found.sources],
        gated=any(source.gated for source in found.sources),
        left_out=left_out,
        identity=identity,
        batch=batch,
        inputs=inputs,
    )


def _refusal(config: Any) -> str:
    """Why savs does not open models of this configuration, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        try:
            load_config(folder, revision=None)
        except BackboneError as error:
            return "refused: " + str(error).removeprefix(f"{folder} is ")
    return ""


def _build(config: Any, model_type: str) -> Any:
    if model_type in _CLASSES:
        model = getattr(transformers, _CLASSES[model_type])(config)
    else:
        multimodal = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        model = (AutoModelForImageTextToText if multimodal else AutoModelForCausalLM).from_config(config)
    for weight in model.parameters():  # transformers' own scale is so small that prompts would look alike
        if weight.dim() == 2 and weight.is_floating_point():
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    return model.train(False)


def _read_text(model: Any, found: AttentionMap) -> tuple[float, float]:
    """The projection identity, and a padded batch against its rows: rows of random tokens, no processor."""
    width = max(_LENGTHS)
    mask = (torch.arange(width) < torch.tensor(_LENGTHS)[:, None]).long()
    ids = torch.randint(10, 250, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    head_dim = layout_of(found.sources).head_dim

    def read(rows: slice, length: int) -> torch.Tensor:
        arguments = {"input_ids": ids[rows, :length], "attention_mask": mask[rows, :length]}
        last = arguments["attention_mask"].sum(dim=1) - 1 - length
        if model.config.is_encoder_decoder:
            arguments["decoder_input_ids"] = torch.ones(len(last), 1, dtype=torch.long)
            last = torch.full_like(last, -1)
        with torch.inference_mode(), capture_heads(found.sources, last) as captured:
            model(**arguments, use_cache=False)
        return captured.stacked(head_dim)

    projected: dict[int, torch.Tensor] = {}
    handles = [
        source.projection.register_forward_hook(
            lambda _module, _inputs, output, layer=source.layer: projected.__setitem__(layer, output)
        )
        for source in found.sources
    ]
    padded = read(slice(None), width)
    for handle in handles:
        handle.remove()
    alone = torch.cat([read(slice(i, i + 1), length) for i, length in enumerate(_LENGTHS)])
    if float((alone[0] - alone[1]).abs().max()) < 1e-3 * float(alone.abs().max()):
        raise ValueError("different texts give the same heads")
    return _identity(found, padded, projected, mask), float((padded - alone).abs().max() / alone.abs().max())


def _identity(found: AttentionMap, z: torch.Tensor, projected: dict[int, torch.Tensor], mask: torch.Tensor) -> float:
    """How far the captured heads, put through each projection's weights, are from what that projection gave."""
    worst, column = 0.0, 0
    for source in found.sources:
        heads = z[:, column : column + source.n_heads, : source.head_dim].flatten(1)
        column += source.n_heads
        if source.layer not in projected:  # the pass stops before the deepest projection runs
            continue
        weight = source.projection.weight
        expected = heads @ (weight if type(source.projection).__name__ == "Conv1D" else weight.T)
        bias = getattr(source.projection, "bias", None)
        output = projected[source.layer].reshape(len(z), -1, expected.shape[-1])
        last = mask.sum(dim=1) - 1 if output.shape[1] == mask.shape[1] else torch.full((len(z),), -1)
        output = output[torch.arange(len(z)), last]
        worst = max(worst, float((expected + (0 if bias is None else bias) - output).abs().max()))
    return worst


def _through_processor(model: Any, processor: Any, kinds: Sequence[str]) -> dict[str, str]:
    """Save, load, fit and predict with each kind of input."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            backbone = load_backbone(folder, dtype="float32", device="cpu")
        except Exception as error:
            return {name: sentence(error) for name in kinds}
        return {name: _fit_and_predict(backbone, count) for count, name in enumerate(kinds)}


def _fit_and_predict(backbone: Any, count: int) -> str:
    """`ok`, or what went wrong with `count` images an example."""
    examples = _examples(count)
    try:
        alone = backbone.head_activations(examples, batch_size=1)
        together = backbone.head_activations(examples, batch_size=4)
        difference = float(np.abs(together - alone).max() / np.abs(alone).max())
        if difference > TOLERANCE:
            return f"a batch differs from single examples by {difference:.1e}"
        if count and float(np.abs(alone[0] - alone[-1]).max()) < 1e-4 * float(np.abs(alone).max()):
            return "different images give the same heads"
        model = SAVModel.fit(backbone, examples)
        answers = [prediction.label for prediction in model.predict(examples)]
    except Exception as error:
        return sentence(error)
    return "ok" if set(answers) <= {"dark", "bright"} else f"unexpected answers {answers}"


def _examples(count: int) -> list[Example]:
    """Four prompts of two lengths; with images, dark and bright ones of two shapes behind the same words."""
    rng = np.random.default_rng(0)
    examples = []
    for i in range(4):
        label = "dark" if i < 2 else "bright"
        media = tuple(
            Media(Image.fromarray((rng.random((32, 32 + 16 * (i % 2), 3)) * (80 if i < 2 else 255)).astype(np.uint8)))
            for _ in range(count)
        )
        text = "Is it?" if i % 2 else "Is it what it was?"
        examples.append(Example(str(i), text if count else f"{text} {label}", media, label=label))
    return examples


def sentence(error: BaseException) -> str:
    """The first line of an error that says something, without addresses."""
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:160]
