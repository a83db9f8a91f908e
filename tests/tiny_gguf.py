"""A tiny Llama as a GGUF file, as llama.cpp's converter writes one: the same weights and tokens as its folder."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
}


def write_gguf(folder: Path, path: Path, *, architecture: str = "llama", kind: str = "F32") -> Path:
    """The Llama of `folder` in the file `path`, its matrices kept as `kind` (`F32`, `Q8_0`, `Q4_0`)."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    known = {index: token for token, index in tokenizer.get_vocab().items()}
    tokens = [known.get(i, f"unused{i}") for i in range(config.vocab_size)]
    tokens[-1] = "ÿÿ"  # the file must hold a merge; this one is of bytes that no text has
    control = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in control else 1 for token in tokens])
    writer.add_token_merges(["ÿ ÿ"])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_add_bos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    for name, weight in model.state_dict().items():
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        array = _interleaved(weight.float().numpy(), next((n for key, n in heads.items() if key in name), 0))
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        array = np.ascontiguousarray(array)
        kept = gguf.GGMLQuantizationType[kind if array.ndim == 2 and array.shape[1] % 32 == 0 else "F32"]
        writer.add_tensor(name, gguf.quants.quantize(array, kept), raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _interleaved(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """Queries and keys as llama.cpp keeps them: the two halves that are rotated together side by side."""
    if not n_heads:
        return weight
    return weight.reshape(n_heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
