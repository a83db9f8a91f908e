"""A model family that nobody has seen: a decoder whose modules have names of their own, registered with transformers.

`register` is what a package that brings a family does; without it transformers refuses the family's folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers as t
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput

TYPE = "loom"


class LoomConfig(t.PreTrainedConfig):
    model_type = TYPE

    def __init__(self, width: int = 32, shuttles: int = 4, depth: int = 3, vocab_size: int = 400, **rest: Any) -> None:
        self.width, self.shuttles, self.depth, self.vocab_size = width, shuttles, depth, vocab_size
        super().__init__(**rest)


class Weaver(nn.Module):
    """Causal attention that does not say so."""

    def __init__(self, config: LoomConfig) -> None:
        super().__init__()
        self.num_heads = config.shuttles
        self.warp = nn.Linear(config.width, 3 * config.width)
        self.knot = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.warp(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        woven = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        return self.knot(woven.transpose(1, 2).flatten(2))


class Row(nn.Module):
    def __init__(self, config: LoomConfig) -> None:
        super().__init__()
        self.weave = Weaver(config)
        self.dye = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.weave(nn.functional.rms_norm(x, x.shape[-1:]))
        return x + self.dye(nn.functional.rms_norm(x, x.shape[-1:])).tanh()


class LoomModel(t.PreTrainedModel):
    config_class = LoomConfig
    base_model_prefix = "cloth"

    def __init__(self, config: LoomConfig) -> None:
        super().__init__(config)
        self.yarn = nn.Embedding(config.vocab_size, config.width)
        self.place = nn.Embedding(1024, config.width)
        self.rows = nn.ModuleList(Row(config) for _ in range(config.depth))
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> BaseModelOutput:
        x = self.yarn(input_ids) + self.place(torch.arange(input_ids.shape[1], device=input_ids.device))
        for row in self.rows:
            x = row(x)
        return BaseModelOutput(last_hidden_state=x)


class LoomForCausalLM(t.PreTrainedModel):
    config_class = LoomConfig
    base_model_prefix = "cloth"

    def __init__(self, config: LoomConfig) -> None:
        super().__init__(config)
        self.cloth = LoomModel(config)
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.lm_head(self.cloth(input_ids).last_hidden_state))


def register() -> None:
    """Tell transformers of the family."""
    t.AutoConfig.register(TYPE, LoomConfig, exist_ok=True)
    t.AutoModelForCausalLM.register(LoomConfig, LoomForCausalLM, exist_ok=True)


def save(folder: Path, tokenizer_of: Path) -> Path:
    """A model with random weights, and the tokenizer of another model's folder."""
    torch.manual_seed(0)
    model = LoomForCausalLM(LoomConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0))
    for weight in model.parameters():
        if weight.dim() == 2:
            nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    for path in tokenizer_of.glob("*token*"):
        shutil.copy(path, folder)
    return folder
