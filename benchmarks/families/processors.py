"""A real processor of any model type, made from small local files: a tokenizer over bytes and tiny images.

The special tokens that a processor speaks of are read off its source; its settings are taken from the model's
configuration, where both use the same name. What neither shows stands in the tables at the end.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from typing import Any

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers import decoders as token_decoders
from transformers import PreTrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from benchmarks.families.model_types import TEXT_TYPES
from savs.backbones.loading import without_video

_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} Answer:{% endif %}"
)
_TEXT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}{% if add_generation_prompt %} Answer:{% endif %}"
)


def processor_for(config: PreTrainedConfig) -> Any:
    """A processor for a model of this configuration, whose special tokens the configuration is told of.

    Raises:
        LookupError: the type has no processor, or none that works without torchvision.
    """
    kind = config.model_type
    if not hasattr(config, "vision_config") and kind in TEXT_TYPES:
        tokenizer = tokenizer_for("", kind)
        tokenizer.chat_template = _TEXT_TEMPLATE
        return tokenizer
    name = PROCESSORS.get(kind) or PROCESSOR_MAPPING_NAMES.get(kind)
    if name is None:
        raise LookupError("transformers has no processor for it")
    processor_class = getattr(transformers, name)
    source = inspect.getsource(sys.modules[processor_class.__module__]) + (inspect.getdoc(processor_class) or "")
    parts: dict[str, Any] = {}
    for part in processor_class.get_attributes():  # each a modality, as transformers names them
        if part.endswith("tokenizer"):
            parts[part] = tokenizer_for(source, kind)
        elif part == "image_processor":
            parts[part] = image_processor_for(config)
        elif part == "feature_extractor" or part == "audio_processor":
            parts[part] = _by_convention(processor_class, config, "FeatureExtractor")
    if "video_processor" in processor_class.get_attributes():
        processor_class, parts["video_processor"] = without_video(processor_class), None
    image = IMAGE_MARKS.get(kind)
    settings = {"chat_template": _TEMPLATE.replace("IMAGE", image)} if image is not None else {}
    settings |= _shared_settings(processor_class, config, parts) | SETTINGS.get(kind, {})
    processor = processor_class(**parts, **settings)
    _tell(config, processor)
    return processor


def tokenizer_for(source: str, kind: str) -> PreTrainedTokenizerFast:
    """Bytes as tokens, behind every special token that the processor's source names."""
    literals = re.findall(r"[\"'`](<[^\s\"'`<>{}]{1,40}>|\[[A-Z_]{3,20}\])[\"'`]", source)
    names = dict.fromkeys(["<pad>", "<s>", "</s>", "<unk>", *TOKENS.get(kind, ()), *literals])
    attributes = set(re.findall(r"(?:self\.)?tokenizer\.(\w+_token)(?:_id)?\b", source)) - {
        "pad_token",
        "bos_token",
        "eos_token",
        "unk_token",
    }
    attributes -= set(
        re.findall(r"[gh](?:et|as)attr\((?:self\.)?tokenizer, [\"'](\w+)[\"']", source)
    )  # has a token of its own
    own = NAMED_TOKENS.get(kind, {})
    named = {name: own.get(name) or f"<{name}>" for name in sorted(attributes | set(own))}
    names |= dict.fromkeys(named.values())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*names, *alphabet]))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = token_decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=[name for name in names if name not in ("<pad>", "<s>", "</s>", "<unk>")],
        **named,
        model_max_length=4096,
    )


def image_processor_for(config: PreTrainedConfig) -> Any:
    """The type's PIL image processor with small sizes."""
    kind = config.model_type
    back_ends = IMAGE_PROCESSOR_MAPPING_NAMES.get(IMAGE_PROCESSORS.get(kind, kind)) or {}
    name = back_ends.get("pil") or back_ends.get("torchvision")
    if name is None:
        raise LookupError("transformers has no image processor for it")
    image_processor_class = getattr(transformers, name)
    vision = getattr(config, "vision_config", config)
    settings: dict[str, Any] = {}
    size = getattr(image_processor_class, "size", None) or {}
    if "longest_edge" in size and "shortest_edge" in size and size["longest_edge"] > 4000:
        settings["size"] = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    elif "longest_edge" in size:
        settings["size"] = {key: 32 for key in size}
    elif size:
        settings["size"] = {"height": 32, "width": 32} if "height" in size else {key: 32 for key in size}
    if getattr(image_processor_class, "crop_size", None):
        settings["crop_size"] = {"height": 32, "width": 32}
    accepted = getattr(getattr(image_processor_class, "valid_kwargs", None), "__annotations__", {})
    for setting, names in (
        ("patch_size", ("patch_size",)),
        ("merge_size", ("spatial_merge_size",)),
        ("temporal_patch_size", ("temporal_patch_size",)),
    ):
        value = next((getattr(vision, n) for n in names if isinstance(getattr(vision, n, None), int)), None)
        if value and (setting in accepted or hasattr(image_processor_class, setting)):
            settings[setting] = value
    if "image_grid_pinpoints" in accepted and hasattr(config, "image_grid_pinpoints"):
        settings["image_grid_pinpoints"] = [[32, 32], [32, 64], [64, 32]]
        config.image_grid_pinpoints = settings["image_grid_pinpoints"]
    return image_processor_class(**(settings | IMAGE_SETTINGS.get(kind, {})))


def _by_convention(processor_class: Any, config: PreTrainedConfig, suffix: str) -> Any:
    package = processor_class.__module__.rpartition(".")[0]
    for module in (m for n, m in sys.modules.items() if n.startswith(package)):
        for name, value in vars(module).items():
            if name.endswith(suffix) and inspect.isclass(value):
                return value()
    module = importlib.import_module(package)
    name = next((n for n in dir(module) if n.endswith(suffix)), "WhisperFeatureExtractor")
    return getattr(module, name, getattr(transformers, name))()


def _shared_settings(processor_class: Any, config: PreTrainedConfig, parts: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the processor that the configuration has under the same name."""
    vision = getattr(config, "vision_config", None)
    settings: dict[str, Any] = {}
    for name in inspect.signature(processor_class.__init__).parameters:
        if name in parts or name in ("self", "chat_template", "kwargs"):
            continue
        value = next(
            (getattr(owner, name) for owner in (config, vision) if getattr(owner, name, None) is not None), None
        )
        if value is not None and not name.endswith(("_token", "_token_id")):
            settings[name] = value
        elif name in ("num_image_tokens", "image_seq_length", "image_seq_len"):
            settings[name] = (getattr(vision, "image_size", 32) // getattr(vision, "patch_size", 8)) ** 2
    return settings


def _tell(config: PreTrainedConfig, processor: Any) -> None:
    """Write the ids of the tokenizer's special tokens into the configuration."""
    for owner in [config, *(getattr(config, name, None) for name in ("text_config", "vision_config"))]:
        for name in list(vars(owner)) if owner is not None else ():
            match = re.fullmatch(r"(\w+?)_(token_)?(id|index)", name)
            if not match or not isinstance(getattr(owner, name), int):
                continue
            token = _token(processor, match[1])
            if token is not None:
                setattr(owner, name, token)


def _token(processor: Any, word: str) -> int | None:
    """The id that a processor or its tokenizer gives to a word such as `image` or `boi`."""
    for owner in (processor, processor.tokenizer):
        value = getattr(owner, f"{word}_token_id", None)
        if isinstance(value, int):
            return value
        value = getattr(owner, f"{word}_token", None)
        if isinstance(value, str):
            return int(processor.tokenizer.convert_tokens_to_ids(value))
    return None


#: Types whose checkpoints name a processor, or image processor, that transformers does not list for the type.
PROCESSORS: dict[str, str] = {
    "cosmos3_omni": "Qwen3VLProcessor",
    "fast_vlm": "LlavaProcessor",
    "glm_ocr": "Glm46VProcessor",
    "glmga": "Glm46VProcessor",
    "kosmos-2": "Kosmos2Processor",
    "kosmos-2.5": "Kosmos2_5Processor",
    "qwen2_5_omni_thinker": "Qwen2_5OmniProcessor",
    "qwen3_omni_moe_thinker": "Qwen3OmniMoeProcessor",
    "vision-encoder-decoder": "TrOCRProcessor",
}
IMAGE_PROCESSORS: dict[str, str] = {
    "diffusion_gemma": "gemma4",
    "fast_vlm": "llava",
    "glm4v_moe": "glm4v",
    "glm_ocr": "glm46v",
    "instructblipvideo": "instructblip",
    "qwen2_5_omni_thinker": "qwen2_vl",
    "qwen3_omni_moe_thinker": "qwen2_vl",
    "qwen3_vl_moe": "qwen3_vl",
    "vision-encoder-decoder": "vit",
}
#: How a type's chat template marks an image, where its processor does not put image tokens in by itself.
_QWEN = "<|vision_start|><|image_pad|><|vision_end|>"
_GLM = "<|begin_of_image|><|image|><|end_of_image|>"
IMAGE_MARKS: dict[str, str] = {
    **dict.fromkeys(
        ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen4_exp", "cosmos3_omni"),
        _QWEN,
    ),
    **dict.fromkeys(("glm4v", "glm4v_moe", "glm46v", "glm_ocr", "glmga", "glm5_next"), _GLM),
}
SETTINGS: dict[str, dict[str, Any]] = {
    kind: {"num_additional_image_tokens": 1}
    for kind in ("llava", "llava_next", "llava_next_video", "video_llava", "vipllava")
}
SETTINGS |= {kind: {"image_seq_length": 4} for kind in ("gemma3", "shieldgemma2", "t5gemma2")}
SETTINGS |= {kind: {"image_seq_len": 4} for kind in ("idefics3", "smolvlm")}
_ONE_TILE = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
IMAGE_SETTINGS: dict[str, dict[str, Any]] = {
    "idefics3": _ONE_TILE,
    "smolvlm": _ONE_TILE,
    "aria": {"max_image_size": 490},
    "deepseek_vl_hybrid": {"high_res_size": {"height": 32, "width": 32}},
}
TOKENS: dict[str, tuple[str, ...]] = {"fuyu": ("|SPEAKER|", "|NEWLINE|")}
NAMED_TOKENS: dict[str, dict[str, str]] = {}
