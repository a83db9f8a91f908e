"""Decoder inputs of encoder-decoders, and the place to read a row."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BartConfig, Florence2Config, GenerationConfig, LlamaConfig

from savs.backbones.batches import Levers
from savs.backbones.huggingface import load_backbone
from savs.backbones.inputs import last_positions, start_token, tokens_across, with_decoder_inputs
from savs.data.example import Example
from tiny_models import _tokenizer

CONFIG = BartConfig(decoder_start_token_id=2)


class ReadsText(nn.Module):
    def forward(self, input_ids, decoder_input_ids=None):
        return input_ids


class ReadsImages(nn.Module):
    def forward(self, pixel_values, decoder_input_ids=None, decoder_attention_mask=None):
        return pixel_values


def test_a_decoder_behind_a_text_encoder_starts_with_its_start_token():
    batch = {"input_ids": torch.ones(3, 5, dtype=torch.long)}
    inputs = with_decoder_inputs(batch, CONFIG, ReadsText(), _tokenizer(), ["a", "b", "c"])
    assert inputs["decoder_input_ids"].tolist() == [[2], [2], [2]]
    assert inputs["input_ids"] is batch["input_ids"]
    assert "decoder_input_ids" not in batch
    assert last_positions(inputs).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    "config", [CONFIG, Florence2Config(text_config={"model_type": "bart", "decoder_start_token_id": 2})]
)
def test_the_start_token_is_that_of_generation_wherever_the_configuration_holds_it(config):
    tokenizer = _tokenizer()
    assert start_token(config, tokenizer) == GenerationConfig.from_model_config(config).decoder_start_token_id == 2
    assert start_token(LlamaConfig(), tokenizer) != 2


def test_a_decoder_behind_an_image_encoder_gets_the_prompt():
    batch = {"pixel_values": torch.zeros(2, 3), "input_ids": torch.ones(2, 2, dtype=torch.long)}
    inputs = with_decoder_inputs(batch, CONFIG, ReadsImages(), _tokenizer(), ["abc", "a"])
    assert "input_ids" not in inputs
    assert inputs["decoder_input_ids"].shape == (2, 4)
    assert inputs["decoder_input_ids"][:, 0].tolist() == [2, 2]
    assert inputs["decoder_attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert last_positions(inputs).tolist() == [-1, -3]


def test_a_decoder_alone_is_left_as_it_is():
    batch = {
        "input_ids": torch.ones(2, 4, dtype=torch.long),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    assert with_decoder_inputs(batch, LlamaConfig(), ReadsText(), _tokenizer(), ["a", "b"]) == batch
    assert last_positions(batch).tolist() == [-1, -3]
    assert last_positions({"input_ids": batch["input_ids"]}).tolist() == [-1, -1]


def test_padding_on_the_left_is_seen_too():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]])
    assert last_positions({"input_ids": mask, "attention_mask": mask}).tolist() == [-1, -1, -3, -2]


def test_the_widest_text_counts_wherever_it_stands():
    assert tokens_across({"input_ids": torch.ones(2, 5), "decoder_input_ids": torch.ones(2, 1)}) == 5
    assert tokens_across({"flattened_patches": torch.ones(2, 90, 4), "decoder_input_ids": torch.ones(2, 3)}) == 3


def test_a_model_whose_rows_change_each_other_gets_one_at_a_time(model_folder, monkeypatch):
    model = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    sizes = []

    def read(inputs, wanted, *, from_pixels=False):
        """Features that are the number of the row in its batch."""
        sizes.append(len(inputs["input_ids"]))
        rows = np.arange(1, sizes[-1] + 1, dtype=np.float32)[:, None, None]
        return np.broadcast_to(rows, (sizes[-1], len(wanted.columns), wanted.head_dim)).copy()

    monkeypatch.setattr(model._passes, "_read", read)
    model.levers = Levers(share_prefixes=False)
    examples = [Example(str(i), "abc"[i] * 5) for i in range(3)]
    for _ in range(2):
        sizes.clear()
        assert model.head_activations(examples, batch_size=3)[:, 0, 0].tolist() == [1, 1, 1]
        assert sizes[-3:] == [1, 1, 1]
    assert sizes == [1, 1, 1]  # asked once


def test_a_model_that_padding_reaches_gets_prompts_of_one_length_at_a_time(model_folder, monkeypatch):
    model = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    widths = []

    def read(inputs, wanted, *, from_pixels=False):
        """Features that are the width of the batch: whatever is padded comes out wrong."""
        widths.append(inputs["input_ids"].shape[1])
        return np.full((len(inputs["input_ids"]), len(wanted.columns), wanted.head_dim), widths[-1], dtype=np.float32)

    monkeypatch.setattr(model._passes, "_read", read)
    model.levers = Levers(share_prefixes=False)
    examples = [Example(str(i), "a" * length) for i, length in enumerate([3, 9, 3, 5])]
    alone = [model._inputs([example])["input_ids"].shape[1] for example in examples]
    for _ in range(2):
        widths.clear()
        z = model.head_activations(examples, batch_size=4)
        assert z[:, 0, 0].tolist() == alone
    assert sorted(widths) == sorted(set(alone))  # asked once; then a batch for each length


def test_a_causal_model_is_asked_once_and_padded_from_then_on(model_folder):
    model = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    assert model._passes.mixing.padding_is_harmless is None
    model.head_activations([Example("a", "short"), Example("b", "rather longer")])
    assert model._passes.mixing.padding_is_harmless is True
