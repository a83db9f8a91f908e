"""One model type's certificate: a tiny random model of it, and what savs can do with that.

Random weights show whether heads are found and read rightly; they show nothing about how well a model classifies.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

from benchmarks.families.model_types import INPUTS
from benchmarks.families.processors import processor_for
from benchmarks.families.shrink import shrunk
from savs.backbones.attention import AttentionMap, layout_of, map_attention
from savs.backbones.capture import capture_heads
from savs.backbones.huggingface import load_backbone
from savs.backbones.likelihood import answer_logits, first_logits
from savs.backbones.loading import load_config, writer
from savs.backbones.probe import project, relative_difference, watch_projections
from savs.data.example import Example, Media
from savs.doctor.certificate import SAME, TOLERANCES, difference
from savs.errors import BackboneError
from savs.model import SAVModel

#: Largest difference between a batch and single rows that rounding explains, of the largest value, in float32.
TOLERANCE = TOLERANCES["float32"]
#: Rows of these lengths, in one padded batch.
_LENGTHS = (3, 17, 9, 12)
#: Types that AutoModel does not open as something that writes text.
_CLASSES = {
    "qwen2_audio": "Qwen2AudioForConditionalGeneration",
    "shieldgemma2": "ShieldGemma2ForImageClassification",
}


@dataclass(frozen=True)
class Record:
    """What was found of one model type.

    Attributes:
        model_type: as transformers names it.
        problem: why no heads are read, or empty.
        needs: libraries beside savs' own that it was tried with, or could not be tried without.
        projection: path of the first projection, layer numbers as `N`.
        layers: decoder layers whose heads are read, of the tiny model.
        heads: how many in each.
        head_dims: how wide in each.
        gated: whether heads are gated or normalised before the projection.
        left_out: reason to layers that are not read for it.
        identity: largest difference between the captured value, projected, and the projection's own output.
        batch: largest relative difference between a padded batch of token rows and each row alone, where the model
            takes text alone.
        transformers: its version.
        inputs: what became of each kind of input through the real processor, `load_backbone` and `SAVModel`: `ok`;
            `refused: ` and savs' own sentence; or whatever else went wrong.
    """

    model_type: str
    problem: str = ""
    needs: list[str] = field(default_factory=list)
    projection: str = ""
    layers: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    head_dims: list[int] = field(default_factory=list)
    gated: bool = False
    left_out: dict[str, list[int]] = field(default_factory=dict)
    identity: float | None = None
    batch: float | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    transformers: str = transformers.__version__

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)


def certify(model_type: str) -> Record:
    """Build a tiny model of a type and try everything on it."""
    config = shrunk(model_type)
    refusal = _refusal(config)
    if refusal:
        return Record(model_type, problem=refusal)
    torch.manual_seed(0)
    processor: Any = None
    no_processor = ""
    needs: list[str] = []
    try:
        processor = processor_for(config)
    except Exception as error:  # whatever a family's processor raises is what the record is for
        no_processor = sentence(error)
        needs = _missing(error)
    try:
        model = build(config, model_type)
        found = map_attention(writer(model))
    except Exception as error:
        return Record(model_type, problem=sentence(error), needs=needs + _missing(error))
    inputs: dict[str, str] = {}
    identity = batch = None
    try:
        identity, batch = _read_text(writer(model), found)
        inputs["token rows"] = "ok" if batch < TOLERANCE else f"a padded batch differs by {batch:.1e}"
    except (TypeError, ValueError):  # it asks for the image
        inputs["token rows"] = "takes no text alone"
    except Exception as error:
        inputs["token rows"] = sentence(error)
    kinds = INPUTS if processor is None or hasattr(processor, "image_processor") else INPUTS[:1]
    inputs |= _through_processor(model, processor, kinds) if processor else {name: no_processor for name in kinds}
    left_out: dict[str, list[int]] = {}
    for part in found.left_out:
        left_out.setdefault(part.reason, []).append(part.layer)
    first = found.sources[0]
    return Record(
        model_type,
        needs=needs,
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


def build(config: Any, model_type: str) -> Any:
    """A model of this configuration with random weights."""
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

    def read(rows: slice, length: int) -> tuple[torch.Tensor, float]:
        arguments = {"input_ids": ids[rows, :length], "attention_mask": mask[rows, :length]}
        last = arguments["attention_mask"].sum(dim=1) - 1 - length
        if model.config.is_encoder_decoder:
            arguments["decoder_input_ids"] = torch.ones(len(last), 1, dtype=torch.long)
            last = torch.full_like(last, -1)
        sources = found.sources
        with torch.inference_mode():
            with capture_heads(sources, last) as captured:
                model(**arguments, use_cache=False)
            with watch_projections(sources, last) as given:  # in a pass of its own, which no capture stops
                model(**arguments, use_cache=False)
            z = captured.stacked(head_dim)
            projected = project(sources, z, given)
        return z, max(float((projected[source.layer] - given[source.layer]).abs().max()) for source in sources)

    padded, identity = read(slice(None), width)
    alone = torch.cat([read(slice(i, i + 1), length)[0] for i, length in enumerate(_LENGTHS)])
    if float((alone[0] - alone[1]).abs().max()) < 1e-3 * float(alone.abs().max()):
        raise RuntimeError("different texts give the same heads")
    return identity, relative_difference(padded, alone)


def _through_processor(model: Any, processor: Any, kinds: Sequence[str]) -> dict[str, str]:
    """Save, load, fit and predict with each kind of input."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            backbone = load_backbone(folder, dtype="float32", device="cpu")
        except BackboneError as error:
            return {name: "refused: " + str(error).replace(folder, "it") for name in kinds}
        except Exception as error:
            return {name: sentence(error) for name in kinds}
        results = {}
        for count, name in enumerate(kinds):
            try:
                results[name] = _fit_and_predict(backbone, count)
            except BackboneError as error:
                words = str(error).removeprefix(f"{backbone.spec.model} ")
                results[name] = "refused: " + re.sub(r"( \(example '\d'\)|, but example .*)$", "", words)
            except Exception as error:
                results[name] = sentence(error)
        return results


def _fit_and_predict(backbone: Any, count: int) -> str:
    """`ok`, or what is wrong with what came out for `count` images an example."""
    examples = _examples(count)
    alone = backbone.head_activations(examples, batch_size=1)
    together = backbone.head_activations(examples, batch_size=4)
    if (off := difference(together, alone)) > TOLERANCE:
        return f"a batch differs from single examples by {off:.1e}"
    if count and difference(alone[-1], alone[0]) < SAME:
        return "different images give the same heads"
    model = SAVModel.fit(backbone, examples)
    labels = [prediction.label for prediction in model.predict(examples)]
    return _answers(backbone, examples) if set(labels) <= {"dark", "bright"} else f"unexpected labels {labels}"


def _answers(backbone: Any, examples: Sequence[Example]) -> str:
    """`ok`, or what is wrong with what the model answers in its own words and holds of given ones."""
    # The tiny tokenizer has no text for most of what a model may write. Behind a row that has ended stands padding.
    padding = backbone._tokenizer.pad_token_id
    backbone._tokenizer.batch_decode = lambda rows, **_: [str(row[row != padding].tolist()) for row in rows]
    alone = [answer for example in examples for answer in backbone.generate([example], max_new_tokens=3)]
    if backbone.generate(examples, max_new_tokens=3) != alone:
        return "answers in a batch differ from those alone"
    if backbone.model.config.is_encoder_decoder:
        return "ok"  # which scores no answers
    given = ["yes", "it may be so"]
    each = [backbone.answer_log_likelihoods([example], given) for example in examples]
    if (off := np.abs(backbone.answer_log_likelihoods(examples, given) - np.concatenate(each)).max()) > SAME:
        return f"log-likelihoods in a batch differ by {off:.1e}"
    before = first_logits(backbone, examples[:1])
    seen = answer_logits(backbone, examples[:1], given[1:])[0][:1]
    return "ok" if difference(seen.numpy(), before.numpy()) <= TOLERANCE else "an answer is seen before it is written"


def _missing(error: BaseException) -> list[str]:
    """The library that an error asks for, if it does."""
    name = re.search(r"requires the (\w+) library|No module named '(\w+)'", str(error))
    return [(name[1] or name[2]).lower()] if name else []


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
