"""Tiny models with random weights, built from the real configuration and processor classes and saved to a folder.

They load exactly as a checkpoint from the Hub would, and take milliseconds to run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers import decoders as token_decoders

from savs.backbones.processors import without_video

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 400,
    "max_position_embeddings": 4096,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def _tokenizer(*special: str, **named: str) -> t.PreTrainedTokenizerFast:
    """Bytes as tokens, behind the special ones: any text can be written, and no file is needed."""
    names = ["<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>", *special]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*names, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = token_decoders.ByteLevel()
    return t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=names[4:],
        **named,
    )


def _save(model: Any, processor: Any, folder: Path) -> Path:
    # Fresh weights are so small that attention is nearly even, and neither positions nor padding would show.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "embed" not in name and "lm_head" not in name:
                weight.mul_(8)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _template(image: str) -> str:
    return CHAT_TEMPLATE.replace("IMAGE", image)


def text_only(kind: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        config = t.GPT2Config(
            vocab_size=400, n_embd=32, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=2
        ) if kind == "gpt2" else t.CONFIG_MAPPING[kind](**TEXT)  # fmt: skip
        tokenizer = _tokenizer()
        if kind != "gpt2":  # a base model without a chat template
            tokenizer.chat_template = _template("")
        torch.manual_seed(0)
        return _save(t.AutoModelForCausalLM.from_config(config), tokenizer, folder)

    return build


def llava(folder: Path) -> Path:
    tokenizer = _tokenizer("<image>", image_token="<image>")
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    config = t.LlavaConfig(
        vision_config=t.SiglipVisionConfig(**VISION),
        text_config=t.Qwen2Config(**TEXT),
        image_token_index=image_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    processor = t.LlavaProcessor(
        t.SiglipImageProcessorPil(size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=_template("<image>"),
    )
    torch.manual_seed(0)
    return _save(t.LlavaForConditionalGeneration(config), processor, folder)


def llava_onevision(folder: Path) -> Path:
    tokenizer = _tokenizer("<image>", "<video>", image_token="<image>", video_token="<video>")
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(**VISION),
        text_config=t.Qwen2Config(**TEXT),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[32, 32], [32, 64], [64, 32], [64, 64]],
    )
    processor = without_video(t.LlavaOnevisionProcessor)(
        t.LlavaOnevisionImageProcessorPil(
            size={"height": 32, "width": 32}, image_grid_pinpoints=config.image_grid_pinpoints
        ),
        tokenizer,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_template("<image>"),
    )
    torch.manual_seed(0)
    return _save(t.LlavaOnevisionForConditionalGeneration(config), processor, folder)


def qwen_vl(kind: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        tokenizer = _tokenizer("<|vision_start|>", "<|image_pad|>", "<|video_pad|>", "<|vision_end|>")
        ids = {name: tokenizer.convert_tokens_to_ids(name) for name in tokenizer.all_special_tokens}
        vision: dict[str, Any] = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2}
        if kind == "qwen2_vl":
            vision |= {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
        else:
            vision |= {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24, "window_size": 16}
            vision |= {"fullatt_block_indexes": [1]}
        rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
        config = t.CONFIG_MAPPING[kind](
            text_config={**TEXT, "rope_parameters": rope},
            vision_config=vision,
            image_token_id=ids["<|image_pad|>"],
            video_token_id=ids["<|video_pad|>"],
            vision_start_token_id=ids["<|vision_start|>"],
            vision_end_token_id=ids["<|vision_end|>"],
        )
        processor_class = t.Qwen2VLProcessor if kind == "qwen2_vl" else t.Qwen2_5_VLProcessor
        processor = without_video(processor_class)(
            t.Qwen2VLImageProcessorPil(
                patch_size=4, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
            ),
            tokenizer,
            chat_template=_template("<|vision_start|><|image_pad|><|vision_end|>"),
        )
        torch.manual_seed(0)
        return _save(t.AutoModelForImageTextToText.from_config(config), processor, folder)

    return build


def idefics(kind: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        tokenizer = _tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
        config = t.CONFIG_MAPPING[kind](
            vision_config={**VISION, "hidden_size": 16},
            text_config={**TEXT, "model_type": "llama"},
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            scale_factor=2,
        )
        if kind == "idefics3":
            processor_class, image_processor_class = t.Idefics3Processor, t.Idefics3ImageProcessorPil
            video: dict[str, None] = {}
        else:
            processor_class, image_processor_class = without_video(t.SmolVLMProcessor), t.SmolVLMImageProcessorPil
            video = {"video_processor": None}
        processor = processor_class(
            image_processor_class(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
            tokenizer,
            **video,
            image_seq_len=4,
            chat_template=_template("<image>"),
        )
        torch.manual_seed(0)
        return _save(t.AutoModelForImageTextToText.from_config(config), processor, folder)

    return build


def paligemma(folder: Path) -> Path:
    """A model that reads its prompt in both directions, and takes no text alone."""
    tokenizer = _tokenizer("<image>", image_token="<image>")
    image_processor = t.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    image_processor.image_seq_length = 16
    processor = t.PaliGemmaProcessor(image_processor, tokenizer)  # which adds a thousand tokens for places
    config = t.PaliGemmaConfig(
        vision_config={**VISION, "model_type": "siglip_vision_model"},
        text_config={**TEXT, "model_type": "gemma", "head_dim": 8, "vocab_size": len(tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
    )
    torch.manual_seed(0)
    return _save(t.PaliGemmaForConditionalGeneration(config), processor, folder)


#: Every kind of model that the spine promises, by the name its tests carry.
TEXT_MODELS = {kind: text_only(kind) for kind in ("llama", "qwen2", "gpt2")}
IMAGE_MODELS = {
    "llava": llava,
    "llava_onevision": llava_onevision,
    "qwen2_vl": qwen_vl("qwen2_vl"),
    "qwen2_5_vl": qwen_vl("qwen2_5_vl"),
    "idefics3": idefics("idefics3"),
    "smolvlm": idefics("smolvlm"),
}
MODELS = TEXT_MODELS | IMAGE_MODELS
