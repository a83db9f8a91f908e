"""What is measured on: models with the examples that they are asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as t
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.text.smollm2 import smollm2
from benchmarks.text.tasks import load_tasks
from savs.backbones.base import BackboneSpec
from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
from savs.data.example import Example, Media
from savs.data.sampling import sample_shots
from savs.demo.tasks import load_demo_task
from savs.extraction import extract
from savs.features import HeadFeatures, HeadId
from savs.model import SAVModel

#: SmolLM2-135M's shape.
DECODER = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
#: SigLIP base at 224 pixels: 196 image tokens.
TOWER = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}


@dataclass(frozen=True)
class Workload:
    """A model and the examples of one task.

    Attributes:
        name: of the model, in tables.
        backbone: the model.
        pool: labelled examples that the classifier is fitted on with which prediction is timed.
        shots: those of them on which fitting is timed.
        test: examples to predict.
        among: heads that the classifier of `fitted` may keep; by default all, as far as a `max_layer`.
    """

    name: str
    backbone: HuggingFaceBackbone
    pool: tuple[Example, ...]
    shots: tuple[Example, ...]
    test: tuple[Example, ...]
    among: frozenset[HeadId] | None = None

    @cached_property
    def features(self) -> HeadFeatures:
        """Of the pool, made once."""
        return extract(self.backbone, self.pool)

    def fitted(self, max_layer: int | None = None) -> SAVModel:
        """The classifier with which prediction is timed, as `SAVModel.fit` makes it of the pool."""
        heads = self.features.layout.heads
        among = self.among or {head for head in heads if max_layer is None or head.layer <= max_layer}
        columns = [i for i, head in enumerate(heads) if head in among]
        layout = replace(self.features.layout, heads=tuple(heads[i] for i in columns))
        kept = replace(self.features, z=self.features.read_heads(columns), layout=layout)
        return SAVModel.fit_features(kept, backbone=self.backbone)


def embedded(n_shots: int, n_test: int) -> Workload:
    """The embedded model on one of its tasks: claims about pictures, each picture asked about once."""
    task = load_demo_task("claims")
    shots, _ = sample_shots(task.pool, n_shots, 0)
    backbone = load_backbone("demo", dtype="float32", device="cpu")
    return Workload("embedded model, 4M", backbone, tuple(shots), tuple(shots), task.test[:n_test])


def text(n_pool: int, n_shots: int, n_test: int, *, tiny: bool = False) -> Workload:
    """SmolLM2-135M told what kind of thing a pictogram shows; a tiny model and made-up messages for tests.

    Args:
        n_pool: examples of each class that prediction is fitted on.
        n_shots: examples of each class that fitting is timed on.
        n_test: examples that prediction is timed on.
        tiny: whether it is for tests.
    """
    if tiny:
        messages = _messages(2 * n_pool + n_test)
        pool, test = messages[: 2 * n_pool], messages[2 * n_pool :]
        return Workload("tiny text model", _tiny_text(), tuple(pool), tuple(pool[: 2 * n_shots]), tuple(test))
    task = next(task for task in load_tasks() if task.name == "groups")
    pool, _ = sample_shots(task.pool, n_pool, 0)
    shots, _ = sample_shots(pool, n_shots, 0)
    test = np.random.default_rng(0).permutation(len(task.test))[:n_test]
    backbone = load_backbone(smollm2(), dtype="float32", device="cpu")
    return Workload("text model, 135M", backbone, tuple(pool), tuple(shots), tuple(task.test[i] for i in test))


def many_image_tokens(*, tiny: bool = False) -> HuggingFaceBackbone:
    """A LLaVA out of a SigLIP base tower and a decoder of 135M, random weights: 196 tokens an image.

    Speed does not depend on the weights.
    """
    decoder = {**DECODER, **({"num_hidden_layers": 2, "hidden_size": 72, "intermediate_size": 96} if tiny else {})}
    tower = {**TOWER, **({"num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 64} if tiny else {})}
    config = t.LlavaConfig(
        vision_config=t.SiglipVisionConfig(**tower, image_size=224, patch_size=16),
        text_config=t.LlamaConfig(**decoder),
        image_token_index=1,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    torch.manual_seed(0)
    model = t.LlavaForConditionalGeneration(config).eval().requires_grad_(False)
    processor = t.LlavaProcessor(
        t.SiglipImageProcessorPil(size={"height": 224, "width": 224}),
        byte_tokenizer("<image>", image_token="<image>"),
        patch_size=16,
        vision_feature_select_strategy="full",
        chat_template="{% for part in messages[0]['content'] %}{{ part['text'] if part['text'] else '<image>' }}"
        "{% endfor %}",
    )
    return HuggingFaceBackbone(model, processor, _spec("LLaVA, 0.2B, random weights"))


def pictures(n: int, side: int) -> list[Media]:
    """Random pictures in memory."""
    rng = np.random.default_rng(0)
    return [Media(Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8))) for _ in range(n)]


def questions(images: Sequence[Media], each: int) -> list[Example]:
    """So many questions about each picture, of unequal lengths."""
    asked = (
        "Is there a cat?",
        "What colour is the largest thing?",
        "Is it day or night?",
        "How many are there in all?",
    )
    return [Example(f"{i}/{j}", asked[j % len(asked)], (image,)) for i, image in enumerate(images) for j in range(each)]


def on_disk(examples: Sequence[Example], folder: Path, n: int) -> list[Example]:
    """`n` examples out of these, their images in files, so that examples themselves take no memory to speak of."""
    paths = []
    for i, example in enumerate(examples):
        source = example.media[0].source
        assert isinstance(source, Image.Image)
        paths.append(folder / f"{i}.png")
        source.save(paths[-1])
    chosen = [i % len(examples) for i in range(n)]
    return [replace(examples[i], id=f"{row}", media=(Media(paths[i]),)) for row, i in enumerate(chosen)]


def _messages(n: int) -> list[Example]:
    """Short messages of 8 to 40 words, two kinds in turns."""
    rng = np.random.default_rng(0)
    words = {
        "travel": "train ticket platform delay refund seat journey station luggage map bus".split(),
        "banking": "card payment account balance transfer fee pin branch loan statement cash".split(),
    }
    kinds = sorted(words)
    return [
        Example(
            f"{i}",
            f"Message: {' '.join(rng.choice(words[kinds[i % 2]], int(rng.integers(8, 41))))}. What is it about?",
            label=kinds[i % 2],
        )
        for i in range(n)
    ]


def _tiny_text() -> HuggingFaceBackbone:
    torch.manual_seed(0)
    config = t.LlamaConfig(**{**DECODER, "num_hidden_layers": 3, "hidden_size": 72, "intermediate_size": 96})
    model = t.LlamaForCausalLM(config).eval().requires_grad_(False)
    return HuggingFaceBackbone(model, byte_tokenizer("<image>"), _spec("tiny text model, random weights"))


def _spec(name: str) -> BackboneSpec:
    return BackboneSpec(model=name, revision="random, seed 0", dtype="float32", attention="sdpa")


def byte_tokenizer(*special: str, **named: str) -> t.PreTrainedTokenizerFast:
    """One token a byte, behind the special ones."""
    names = ["<pad>", *special]
    vocabulary = {token: i for i, token in enumerate([*names, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", additional_special_tokens=list(special), **named
    )


def rounding(backbone: HuggingFaceBackbone) -> float:
    """How far features of two ways may differ, as a part of the largest; in half precision the doctor's limit."""
    return 1e-5 if backbone.spec.dtype == "float32" else 0.1


@contextmanager
def levers_set(backbone: HuggingFaceBackbone, **changes: Any) -> Iterator[None]:
    """Some of the backbone's levers set otherwise inside the block."""
    before = backbone.levers
    backbone.levers = replace(before, **changes)
    try:
        yield
    finally:
        backbone.levers = before


def temporary() -> tempfile.TemporaryDirectory[str]:
    """A folder that leaves with its `with` block."""
    return tempfile.TemporaryDirectory(prefix="savs-speed-")
