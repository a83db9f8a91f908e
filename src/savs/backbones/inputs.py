"""What a model's forward pass needs beside what its processor gives, and where to read the pass.

Knows encoder-decoders and models that write image tokens in themselves; no weights, no attention modules.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def with_decoder_inputs(
    batch: Mapping[str, Tensor], config: Any, model: nn.Module, tokenizer: Any, prompts: Sequence[str]
) -> dict[str, Tensor]:
    """The batch, with the decoder's own input where an encoder-decoder was given none.

    Where the encoder reads text, the decoder starts with its start token alone. Where it reads an image only, the
    prompt goes to the decoder.

    Args:
        batch: what the processor gave.
        config: the model's configuration.
        model: the module whose `forward` is called.
        tokenizer: of the model.
        prompts: one a row.
    """
    inputs = dict(batch)
    accepted = inspect.signature(model.forward).parameters
    if not getattr(config, "is_encoder_decoder", False) or "decoder_input_ids" not in accepted:
        return inputs
    if "decoder_input_ids" in inputs:
        return inputs
    begin = torch.full((len(prompts), 1), start_token(config, tokenizer))
    if "input_ids" in accepted:
        return inputs | {"decoder_input_ids": begin}
    text = tokenizer(list(prompts), padding=True, padding_side="right", return_tensors="pt", add_special_tokens=False)
    inputs.pop("input_ids", None)
    inputs["decoder_input_ids"] = torch.cat([begin, text["input_ids"]], dim=1)
    inputs["decoder_attention_mask"] = torch.cat([torch.ones_like(begin), text["attention_mask"]], dim=1)
    return inputs


def start_token(config: Any, tokenizer: Any) -> int:
    """What an encoder-decoder begins to write after.

    Some multimodal models name it in the configuration of their decoder alone. `transformers` looks in the same two
    places when it generates.
    """
    decoder = config.get_text_config(decoder=True)
    told = (
        getattr(config, "decoder_start_token_id", None),
        getattr(decoder, "decoder_start_token_id", None),
        tokenizer.bos_token_id,
        tokenizer.pad_token_id,
    )
    return int(next((token for token in told if token is not None), 0))


def tokens_across(inputs: Mapping[str, Tensor]) -> int:
    """Tokens of the widest row, of the encoder or the decoder: some models take text in one of them alone."""
    return max(inputs[name].shape[1] for name in ("input_ids", "decoder_input_ids") if name in inputs)


def lengths(inputs: Mapping[str, Tensor]) -> list[int]:
    """Tokens of each row, padding not counted, of the decoder where the prompt is written there."""
    mask = inputs.get("decoder_attention_mask", inputs.get("attention_mask"))
    if mask is None:
        return [tokens_across(inputs)] * len(inputs.get("decoder_input_ids", inputs["input_ids"]))
    return list((mask != 0).sum(dim=1).tolist())


def last_positions(inputs: Mapping[str, Tensor]) -> Tensor:
    """The position of each row's last real token, counted from the end: `[n_rows]`, -1 where no padding follows it.

    Counted from the end because some models put image tokens in front of the text themselves: what follows the last
    real token is then still what the processor padded. In an encoder-decoder it is the decoder's input that counts.
    """
    if "decoder_input_ids" in inputs:
        ids, mask = inputs["decoder_input_ids"], inputs.get("decoder_attention_mask")
    else:
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    if mask is None:
        return torch.full((len(ids),), -1, device=ids.device)
    # The last one of the mask, not their number: some processors pad on the left, whatever they are asked.
    return (mask != 0).long().cumsum(dim=1).argmax(dim=1) - mask.shape[1]
