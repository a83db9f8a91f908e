"""Which model types the support matrix covers."""

from __future__ import annotations

from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

#: Everything that answers in text to images and text.
MULTIMODAL_TYPES = (*MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, "phi4_multimodal")
#: Decoders of text alone, a choice over makers and kinds of layer.
TEXT_TYPES = tuple(
    "bloom cohere cohere2 deepseek_v2 deepseek_v3 falcon gemma gemma2 gemma3_text gpt2 gpt_neo gpt_neox gpt_oss gptj "
    "granite jamba lfm2 llama mistral mixtral mpt nemotron olmo2 opt phi phi3 qwen2 qwen3 qwen3_moe qwen3_next smollm3 "
    "stablelm starcoder2".split()
)
#: Models that hear; the omni models stand among the multimodal ones.
AUDIO_TYPES = ("qwen2_audio",)
ALL_TYPES = (*MULTIMODAL_TYPES, *TEXT_TYPES, *AUDIO_TYPES)
#: What an example may hold, by the number of its images.
INPUTS = ("text", "one image", "two images")
