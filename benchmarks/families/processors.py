"""A real processor of any model type, made from small local files: a tokenizer over bytes and tiny images.

The special tokens that a processor speaks of are read off its source; its settings, and those of its image processor,
are taken from the model's configuration. What neither shows stands in `differences.toml`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers import decoders as token_decoders
from transformers import PreTrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from benchmarks.families.differences import differences
from benchmarks.families.model_types import TEXT_TYPES
from savs.backbones.processors import without_video

#: Pixels along the side of an image, or of a piece of one.
SIDE = 32

_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} Answer:{% endif %}"
)
_TEXT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}{% if add_generation_prompt %} Answer:{% endif %}"
)
_BASIC_TOKENS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

#: An image processor's settings, by the names that configurations have for them.
_IMAGE_SETTINGS = {
    "patch_size": ("patch_size",),
    "encoder_patch_size": ("patch_size",),
    "vision_patch_size": ("patch_size",),
    "merge_size": ("spatial_merge_size", "merge_size"),
    "temporal_patch_size": ("temporal_patch_size", "patch_temporal"),
    "pooling_kernel_size": ("pooling_kernel_size",),
    "downsample_factor": ("downsample_factor",),
    "downsample_mode": ("downsample_mode",),
}
#: Settings that bound the pieces, pixels or tokens of an image.
_BOUNDS = {
    "max_patches": 4,
    "max_tiles": 4,
    "max_num_tiles": 4,
    "max_crops": 4,
    "max_slice_nums": 4,
    "tile_size": SIDE,
    "scale_resolution": SIDE,
}
#: How many tokens stand for an image, as configurations say it.
_COUNTS = ("mm_tokens_per_image", "vision_soft_tokens_per_image", "resampler_n_latents", "latent_query_num")


def processor_for(config: PreTrainedConfig) -> Any:
    """A processor for a model of this configuration, whose special tokens the configuration is told of.

    Raises:
        LookupError: transformers has no image processor for the type.
        ImportError: it needs a library that is not installed.
    """
    kind = config.model_type
    own = differences(kind)
    name = own.get("processor_class") or PROCESSOR_MAPPING_NAMES.get(kind)
    if kind in TEXT_TYPES or name is None:
        tokenizer = tokenizer_for("", kind)
        tokenizer.chat_template = _TEXT_TEMPLATE
        return tokenizer
    processor_class = getattr(transformers, name)
    module = importlib.import_module(processor_class.__module__)
    source = inspect.getsource(module) + (inspect.getdoc(processor_class) or "")
    parts: dict[str, Any] = {}
    for part in processor_class.get_attributes():  # each a modality, as transformers names them
        if part.endswith("tokenizer"):
            parts[part] = tokenizer_for(source, kind, [f"<|{word}|>" for word in _around_images(config)])
        elif part == "image_processor":
            parts[part] = image_processor_for(config)
        elif part in ("feature_extractor", "audio_processor"):
            parts[part] = _feature_extractor(processor_class)
    if "video_processor" in processor_class.get_attributes():
        processor_class, parts["video_processor"] = without_video(processor_class), None
    processor = processor_class(**parts, **(_settings(processor_class, config, parts) | own.get("processor", {})))
    _tell(config, processor)
    for name, token in own.get("ids", {}).items():
        setattr(config, name, processor.tokenizer.convert_tokens_to_ids(token))
    mark = own.get("mark") or _mark(config, processor)
    if mark:
        processor.chat_template = _TEMPLATE.replace("IMAGE", mark)
    return processor


def tokenizer_for(source: str, kind: str, more: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Bytes as tokens, behind every special token that the processor's source names, and `more`."""
    literals = re.findall(r"[\"'`](<[^\s\"'`<>{}]{1,40}>|\[[A-Z_]{3,20}\])[\"'`]", source)
    attributes = set(re.findall(r"(?:self\.)?tokenizer\.(?!add_|has_)(\w+_token)(?:_id)?\b", source))
    # What the processor only asks for has a stand-in of its own.
    attributes -= set(re.findall(r"[gh](?:et|as)attr\((?:self\.)?tokenizer, [\"'](\w+?)(?:_id)?[\"']", source))
    own = differences(kind)
    named = {name: f"<{name}>" for name in sorted(attributes - _BASIC_TOKENS.keys())} | own.get("named_tokens", {})
    special = dict.fromkeys([*own.get("tokens", ()), *named.values(), *literals, *more])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*_BASIC_TOKENS.values(), *special, *alphabet]))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = token_decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=[name for name in special if name not in _BASIC_TOKENS.values()],
        model_max_length=4096,
        **_BASIC_TOKENS,
        **named,
    )


def image_processor_for(config: PreTrainedConfig) -> Any:
    """The type's PIL image processor with small sizes; torchvision's where it has no other."""
    own = differences(config.model_type)
    back_ends = IMAGE_PROCESSOR_MAPPING_NAMES.get(own.get("image_processor_of", config.model_type)) or {}
    name = back_ends.get("pil") or back_ends.get("torchvision")
    if name is None:
        raise LookupError("transformers has no image processor for it")
    image_processor_class = getattr(transformers, name)
    accepted = getattr(getattr(image_processor_class, "valid_kwargs", None), "__annotations__", {})
    side = _number(config, "image_size") or SIDE
    settings: dict[str, Any] = {}
    for setting in ("size", "crop_size"):
        usual = getattr(image_processor_class, setting, None)
        if usual:
            settings[setting] = _small_size(usual, side)
    for setting, names in _IMAGE_SETTINGS.items():
        value = next((value for value in (_number(config, name) for name in names) if value), None)
        if value and setting in accepted:
            square = isinstance(getattr(image_processor_class, setting, None), dict)
            settings[setting] = {"height": value, "width": value} if square else value
    for setting, value in _BOUNDS.items():
        usual = getattr(image_processor_class, setting, None)
        if isinstance(usual, int) and usual > value:
            settings[setting] = value
    if "image_seq_length" in accepted:
        settings["image_seq_length"] = _tokens_of_an_image(config)
    if "image_grid_pinpoints" in accepted and hasattr(config, "image_grid_pinpoints"):
        settings["image_grid_pinpoints"] = [[side, side], [side, 2 * side], [2 * side, side]]
        config.image_grid_pinpoints = settings["image_grid_pinpoints"]
    return image_processor_class(**(settings | own.get("image", {})))


def _small_size(usual: Mapping[str, int], side: int) -> dict[str, int]:
    """A size of the same form for images of `side` pixels."""
    if {"longest_edge", "shortest_edge"} <= set(usual) and usual["longest_edge"] > 4000:  # it counts pixels
        return {"shortest_edge": side * side // 4, "longest_edge": 4 * side * side}
    return dict.fromkeys(usual, side)


def _feature_extractor(processor_class: Any) -> Any:
    """The one that the processor's package has, or else Whisper's."""
    package = importlib.import_module(processor_class.__module__.rpartition(".")[0])
    name = next((name for name in dir(package) if name.endswith("FeatureExtractor")), "")
    return getattr(package, name)() if name else transformers.WhisperFeatureExtractor()


def _settings(processor_class: Any, config: PreTrainedConfig, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the processor that the configuration has under the same name, and its counts of image tokens."""
    settings: dict[str, Any] = {}
    for name in inspect.signature(processor_class.__init__).parameters:
        if name in parts or name in ("self", "chat_template", "kwargs") or name.endswith(("_token", "_token_id")):
            continue
        if name in ("num_image_tokens", "image_seq_length", "image_seq_len"):
            settings[name] = _tokens_of_an_image(config)
        elif name == "num_additional_image_tokens":  # CLIP's image towers have one of their own
            settings[name] = int("clip" in str(getattr(_tower(config), "model_type", "")))
        elif name == "vision_feature_select_strategy":
            settings[name] = getattr(config, name, "default")
        else:
            value = _setting(config, "image_size" if name == "img_size" else name)
            if value is not None:
                settings[name] = value
    return settings


def _tokens_of_an_image(config: PreTrainedConfig) -> int:
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        for name in _COUNTS:
            if getattr(part, name, None):
                return int(getattr(part, name))
    side, patch = _number(config, "image_size") or SIDE, _number(config, "patch_size") or 8
    scale = _number(config, "scale_factor") or round(1 / (_setting(config, "downsample_ratio") or 1))
    return int((side // patch) ** 2 // scale**2)


def _tower(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the image tower, or of the whole."""
    for name in ("encoder", "vision_config"):
        config = getattr(config, name, None) or config
    return config


def _setting(config: PreTrainedConfig, name: str) -> Any:
    """A setting of the image tower or of the whole."""
    values = (getattr(owner, name, None) for owner in (_tower(config), config))
    return next((value for value in values if value is not None), None)


def _number(config: PreTrainedConfig, name: str) -> Any:
    """A setting, the first number where it is a list."""
    value = _setting(config, name)
    return value[0] if isinstance(value, list | tuple) else value


def _around_images(config: PreTrainedConfig) -> list[str]:
    """Words for the tokens before and after an image, where the configuration has such."""
    for word in ("vision", "image"):
        names = [f"{word}_start", f"{word}_end"]
        if all(isinstance(getattr(config, f"{name}_token_id", None), int) for name in names):
            return names
    return []


def _mark(config: PreTrainedConfig, processor: Any) -> str:
    """How a prompt marks an image; nothing where the processor's image token, or no token, is what it looks for."""
    words, token = _around_images(config), getattr(processor, "image_token", None)
    if not words or not isinstance(token, str):
        return ""
    before, after = (processor.tokenizer.convert_ids_to_tokens(getattr(config, f"{word}_token_id")) for word in words)
    return f"{before}{token}{after}"


def _tell(config: PreTrainedConfig, processor: Any) -> None:
    """Write the ids of the tokenizer's special tokens into the configuration."""
    for owner in [config, *(getattr(config, name, None) for name in config.sub_configs)]:
        for name, value in list(vars(owner).items()) if owner is not None else ():
            match = re.fullmatch(r"(\w+?)_(token_)?(id|index)", name)
            if match and (isinstance(value, int) or match[1] == "image"):
                token = _token(processor, match[1])
                if token is not None:
                    setattr(owner, name, token)


def _token(processor: Any, word: str) -> int | None:
    """The id that a processor or its tokenizer gives to a word such as `image` or `boi`."""
    if word == "image" and isinstance(processor.image_token_ids[0], int):
        return int(processor.image_token_ids[0])
    tokenizer = processor.tokenizer
    for owner in (processor, tokenizer):
        value = getattr(owner, f"{word}_token_id", None)
        if isinstance(value, int):
            return value
        token = getattr(owner, f"{word}_token", None)
        if token is not None:
            return int(tokenizer.convert_tokens_to_ids(str(token)))
    return tokenizer.get_vocab().get(f"<|{word}|>")
