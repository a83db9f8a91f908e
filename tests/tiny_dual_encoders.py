"""Tiny CLIP and SigLIP models from the real configuration classes, with random weights or taught four colours."""

from pathlib import Path

import torch
import transformers as t
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

COLOURS = {"blue": (20, 40, 230), "green": (20, 200, 40), "red": (230, 30, 20), "white": (245, 245, 245)}
_WORDS = ["a", "photo", "of", ".", "is", "this", "?", "it", "thing", *COLOURS]
_SIDE = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_IMAGES = {**_SIDE, "image_size": 32, "patch_size": 16}


def colour(name: str, *, shade: int = 0, size: tuple[int, int] = (40, 36)) -> Image.Image:
    """A plain image; shades of one colour differ."""
    return Image.new("RGB", size, tuple(max(0, value - 3 * shade) for value in COLOURS[name]))


def _tokenizer() -> t.PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<start>", "<end>", "<unk>", *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    return t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<start>", eos_token="<end>", unk_token="<unk>"
    )


def build(kind: str, folder: Path, *, steps: int = 0) -> Path:
    """A model of some kind, taught by `steps` of contrastive learning which colour is called what."""
    tokenizer = _tokenizer()
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "pad_token_id": 0}
    torch.manual_seed(0)
    if kind == "clip":
        text = t.CLIPTextConfig(**_SIDE, **words, bos_token_id=1, eos_token_id=2)
        config = t.CLIPConfig(text_config=text, vision_config=t.CLIPVisionConfig(**_IMAGES), projection_dim=16)
        model, processor = (
            t.CLIPModel(config),
            t.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        )
    else:
        text = t.SiglipTextConfig(**_SIDE, **words, projection_size=24)
        config = t.SiglipConfig(text_config=text, vision_config=t.SiglipVisionConfig(**_IMAGES))
        model, processor = t.SiglipModel(config), t.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    _teach(model, processor, tokenizer, steps, padding=True if kind == "clip" else "max_length")
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    return folder


def _teach(model, processor, tokenizer, steps, *, padding) -> None:
    texts = tokenizer(
        [f"a photo of a {name}." for name in COLOURS],
        padding=padding,
        truncation=True,
        max_length=16,
        return_tensors="pt",
    )["input_ids"]
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        images = processor(images=[colour(name, shade=step % 6) for name in COLOURS], return_tensors="pt")
        vectors = [
            torch.nn.functional.normalize(output.pooler_output, dim=-1)
            for output in (model.get_image_features(**images), model.get_text_features(input_ids=texts))
        ]
        loss = torch.nn.functional.cross_entropy(10 * vectors[0] @ vectors[1].T, torch.arange(len(COLOURS)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
