"""The language side: tokenizer, the whole LLaVA model, how it grows, and how it is written.

Knows nothing of how images are drawn, and no question.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from images import CELLS, SIDE
from tower import MEAN, STD, tower_config

PAD, UNKNOWN, IMAGE, USER, ASSISTANT, END = "<pad>", "<unk>", "<image>", "<user>", "<assistant>", "<end>"
SPECIAL = (PAD, UNKNOWN, IMAGE, USER, ASSISTANT, END)
LAYERS, HEADS, HEAD_DIM, HIDDEN = 12, 8, 24, 128
#: Layers to begin with, before the decoder grows.
SHORT = LAYERS // 2
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<user>' if message['role'] == 'user' else '<assistant>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def build_tokenizer(corpus: Iterable[str], *, vocabulary: int = 3000) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer; words it never saw fall apart into pieces and characters."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    characters = [chr(i) for i in range(33, 127)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=characters, min_frequency=2
    )
    tokenizer.train_from_iterator([*corpus, *("a" + c for c in characters)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=[IMAGE, USER, ASSISTANT],
        model_max_length=1024,
        padding_side="right",
        extra_special_tokens={"image_token": IMAGE},
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """The processor that belongs to the tower: 64 x 64, one normalisation, 16 tokens an image."""
    images = SiglipImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[MEAN] * 3, image_std=[STD] * 3, resample=2
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, *, layers: int = LAYERS) -> LlavaForConditionalGeneration:
    """The untrained model, with all its decoder layers or with fewer to begin with."""
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=288,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        head_dim=HEAD_DIM,
        max_position_embeddings=1024,
        rope_theta=1000.0,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    config = LlavaConfig(
        vision_config=tower_config(),
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=CELLS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    _initialise(model)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


@torch.no_grad()
def _initialise(model: LlavaForConditionalGeneration) -> None:
    """Start the decoder where attention already compares contents.

    The library's standard deviation of 0.02 is made for wide models: at this width attention starts flat and stays so
    for long. Weights start at 1 / sqrt(fan in) instead, and half of the query heads start as their key head, so that a
    token attends to tokens like it (after mimetic initialisation, Trockman and Kolter, arXiv 2305.09828).
    """
    depth = len(model.model.language_model.layers)
    for layer in model.model.language_model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            linear.weight.normal_(0, linear.in_features**-0.5)
        for linear in (attention.o_proj, mlp.down_proj):
            linear.weight.normal_(0, (2 * depth * linear.in_features) ** -0.5)
        queries = attention.q_proj.weight.view(HEADS, HEAD_DIM, HIDDEN)
        keys = attention.k_proj.weight.view(-1, HEAD_DIM, HIDDEN)
        for head in range(0, HEADS, 2):
            queries[head] = 1.5 * keys[head * len(keys) // HEADS]


@torch.no_grad()
def grow(short: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """The full model out of one with fewer layers; it computes the same, and has more to learn with.

    Each layer is followed by copies of itself whose two output projections are zero, so that they add nothing yet
    while their heads already read what the layer before them reads.
    """
    full = build_model(tokenizer)
    old, new = short.model.language_model, full.model.language_model
    state = {k: v for k, v in short.state_dict().items() if "language_model.layers." not in k}
    full.load_state_dict(state, strict=False)
    copies = len(new.layers) // len(old.layers)
    for i, layer in enumerate(new.layers):
        layer.load_state_dict(old.layers[i // copies].state_dict())
        if i % copies:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return full


class Symbols(nn.Module):
    """What a perfect eye would tell the decoder: per cell, the words for what lies there, and where.

    The decoder learns to read these before it sees pixels, and the projector is fitted to write them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(CELLS, HIDDEN) * 0.08)
        self.offset = nn.Parameter(torch.randn(2, HIDDEN) * 0.08)

    def forward(
        self, embedding: torch.Tensor, words: torch.Tensor, offsets: torch.Tensor, noise: float = 0.0
    ) -> torch.Tensor:
        """Tokens `[n, 16, hidden]` from word ids `[n, 16, k]` (0 pads) and offsets `[n, 16, 2]`."""
        known = (words > 0).unsqueeze(-1)
        tokens = (functional.embedding(words.long(), embedding) * known).sum(2) + self.place + offsets @ self.offset
        if noise:
            tokens = tokens + noise * tokens.detach().std() * torch.randn_like(tokens)
        return tokens


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write a folder that the Auto classes load: weights in half precision, config, tokenizer, processor."""
    folder.mkdir(parents=True, exist_ok=True)
    half = LlavaForConditionalGeneration(model.config)
    half.load_state_dict(model.state_dict())
    half.generation_config = model.generation_config
    half.half().save_pretrained(folder)
    processor.save_pretrained(folder)
