"""A tiny configuration of any model type, made from its real configuration class.

Knows no model family (`differences.toml` does): widths, depths, heads, experts and vocabularies are recognised
by their names, as transformers spells them, and every list that follows the layers is cut to the layers that stay.
"""

from __future__ import annotations

import re
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

from benchmarks.families.differences import differences

WIDTH = 64
HEADS = 4
KEY_VALUE_HEADS = 2
VOCABULARY = 1000

#: Layers that stay at least; more where a kind of layer first comes later.
_LAYERS = 3
_MOST_LAYERS = 12

_DEPTHS = re.compile(
    r"^(num_(hidden_)?layers|n_layers?|num_(de|en)coder_layers|(de|en)coder_layers|layers|depth|num_blocks)$"
)
_WIDTHS = re.compile(
    r"^((text_|decoder_|encoder_|vision_|projector_|projection_|out_|image_text_|downsample_|moe_)?hidden_size"
    r"|d_model|n_embd|embed_dim|hidden_dim|projection_dim|output_dim|word_embed_proj_dim|projection_hidden_dim"
    r"|image_token_embed_dim|adapter_in_dim|adapter_input_size|(projector|vision)_(input|output)_dim|adapter_out_dim|encoder_hidden_size)$"
)
_INNER = re.compile(
    r"^(.*intermediate_size.*|(.*_)?ffn_dim|d_ff|n_inner|mlp_dim|ffn_hidden_size|dense_intermediate_size|share_expert_dim|inner_dim)$"
)
_HEADS = re.compile(
    r"^((num|n|encoder|decoder|swa_num|num_sliding|conf_num|encoder_num|decoder_num)?_?(attention_)?heads?|num_query_heads)$"
)
_KEY_VALUE = re.compile(r"^(swa_)?(num_key_value_heads|n_head_kv|num_kv_heads|num_key_value_groups)$")
_EXPERTS = re.compile(r"^(num_experts|n_routed_experts|num_local_experts|moe_num_experts|num_routed_experts)$")
_CHOSEN = re.compile(
    r"^(num_experts_per_tok|moe_topk|moe_k|top_k_experts|moe_top_k|num_experts_per_token|experts_per_token)$"
)
_SUBCONFIG = re.compile(r"(_config|^encoder|^decoder)$")

#: Sizes that no rule gives, by the name of the setting.
_SIZES: dict[str, Any] = {
    "image_size": 32,
    "insert_layer_id": 1,
    "patch_size": 8,
    "head_dim": 16,
    "d_kv": 16,
    "kv_channels": 16,
    "swa_head_dim": 16,
    "v_head_dim": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 24,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "n_group": 1,
    "topk_group": 1,
    "index_n_heads": 2,
    "index_head_dim": 16,
    "index_topk": 64,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_num_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_head_dim": 16,
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "ssm_state_size": 16,
    "n_groups": 2,
    "max_position_embeddings": 4096,
    "first_k_dense_replace": 1,
}


def shrunk(model_type: str) -> PreTrainedConfig:
    """A configuration of this type with few, narrow layers."""
    settings = _merged(_shrink(CONFIG_MAPPING[model_type]().to_dict()), differences(model_type).get("config", {}))
    return CONFIG_MAPPING[model_type](**{k: v for k, v in settings.items() if k != "model_type"})


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The settings with the changes on top; those of a configuration inside it likewise."""
    merged = dict(settings)
    for name, value in changes.items():
        inside = settings.get(name)
        nested = _SUBCONFIG.search(name) and isinstance(inside, dict) and "model_type" not in value
        merged[name] = _merged(inside, value) if nested else value
    return merged


def _shrink(config: dict[str, Any]) -> dict[str, Any]:
    config = {k: v for k, v in config.items() if k not in ("transformers_version", "architectures")}
    depth = next((v for k, v in config.items() if _DEPTHS.match(k) and isinstance(v, int)), None)
    kept = _kept_layers(config, depth) if depth else 0
    small = {name: _small(name, value, config, depth, kept) for name, value in config.items()}
    _mend(small, config)
    _mend_layers(small, config, kept)
    return small


def _small(name: str, value: Any, config: dict[str, Any], depth: int | None, kept: int) -> Any:
    if isinstance(value, dict):
        return _shrink(value) if _SUBCONFIG.search(name) and name != "per_layer_config" else value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, list):
        return _small_list(name, value, depth, kept)
    if not isinstance(value, int):
        return value
    if _DEPTHS.match(name):
        return kept
    if name in _SIZES:
        return min(value, _SIZES[name]) if value else value
    if name == "vocab_size" or name.startswith("vocab_size"):
        return VOCABULARY
    if _WIDTHS.match(name):
        return WIDTH
    if _INNER.match(name):
        return 2 * WIDTH
    if _KEY_VALUE.match(name):
        return 1 if value == 1 else KEY_VALUE_HEADS
    if _HEADS.match(name):
        return HEADS
    if _EXPERTS.match(name):
        return min(value, 4)
    if _CHOSEN.match(name):
        return min(value, 2)
    return value


def _small_list(name: str, value: list[Any], depth: int | None, kept: int) -> list[Any]:
    if name in _SIZES and len(set(value)) == 1:  # height and width
        return [_SIZES[name]] * len(value)
    if depth and len(value) == depth:
        return value[:kept]
    if (
        depth
        and value
        and re.search(r"ind(ex|ices)|idx|layers|layer_id", name)
        and all(isinstance(v, int) for v in value)
    ):
        return sorted({v for v in value if v < kept}) or [kept - 1] if name != "deepstack_visual_indexes" else [0, 1]
    return value


def _shrink_layer(own: dict[str, Any], small: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """One layer's own settings, as far from the shrunk common ones as they were from the common ones."""
    return {
        name: max(1, round(small[name] * value / config[name]))
        if isinstance(value, int) and config.get(name)
        else value
        for name, value in own.items()
    }


def _kept_layers(config: dict[str, Any], depth: int) -> int:
    """As many layers as it takes to see every kind that the lists over layers name."""
    kept = min(depth, _LAYERS)
    for value in config.values():
        if isinstance(value, list) and len(value) == depth:
            firsts = [value.index(kind) for kind in value if not isinstance(kind, list)]
            kept = max(kept, *(first + 1 for first in firsts)) if firsts else kept
    own = [int(layer) + 1 for layer in config.get("per_layer_config") or {}]
    return min(depth, max(kept, min(own, default=0)), _MOST_LAYERS)


def _mend(small: dict[str, Any], config: dict[str, Any]) -> None:
    """Settings that follow from others: key and value heads, head sizes, rope sections, special tokens."""
    heads, size, width = (config.get(n) for n in ("num_attention_heads", "head_dim", "hidden_size"))
    if isinstance(size, int) and isinstance(heads, int) and isinstance(width, int) and heads * size != width:
        small["head_dim"] = 32  # heads x size then differs from the hidden size, as it did
    if size and size == config.get("qk_rope_head_dim"):
        small["head_dim"] = small["qk_rope_head_dim"]
    count = next((n for n in ("num_attention_heads", "num_heads") if isinstance(config.get(n), int)), "")
    if count and config.get("num_key_value_heads") == config.get(count):
        small["num_key_value_heads"] = small[count]
    for name, value in small.items():
        if (
            re.search(r"(token|start|end|newline|patch|image|video|audio)_(id|index)$", name)
            and isinstance(value, int)
            and value >= VOCABULARY
        ):
            small[name] = 300 + sum(map(ord, name)) % 600
    for holder in (small, small.get("rope_parameters"), small.get("rope_scaling")):
        section = holder.get("mrope_section") if isinstance(holder, dict) else None
        if section:
            half = (
                small.get("head_dim", 16) // 2 * (config.get("rope_parameters") or {}).get("partial_rotary_factor", 1.0)
            )
            holder["mrope_section"] = _scaled(section, int(half))


def _mend_layers(small: dict[str, Any], config: dict[str, Any], kept: int) -> None:
    """Settings of single layers, for those that stay."""
    own = config.get("per_layer_config")
    if own:
        small["per_layer_config"] = {
            int(layer): _shrink_layer(settings, small, config) for layer, settings in own.items() if int(layer) < kept
        }


def _scaled(parts: list[int], total: int) -> list[int]:
    small = [max(1, part * total // sum(parts)) for part in parts]
    small[-1] += total - sum(small)
    return small
