"""The vision tower: a LeViT (four overlapping convolutions, then attention over 4 x 4 tokens), and its training.

Every token learns what lies in its own sixteenth of the image (shape, colour, size, texture, offset), where it is,
and, on pictograms and letters, what the whole image shows (group, subgroup, name). Knows no question and no decoder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModel, LevitConfig, LevitModel

import images
from fetch import pictograms
from images import ATTRIBUTES, CELLS, GRID, IGNORE, SIDE, cell_labels
from runfiles import SEED, load, load_array, load_data, log, save, use_device
from savs.demo.scenes import render, sample_scene
from workers import average_gradients, meet

WIDTH, HEADS = 256, 8
MEAN, STD = 0.5, 0.25
#: Images of each kind in a batch.
SHARES = {"scene": 44, "pictogram": 36, "letter": 8, "easy": 8}
PEAK_RATE = 1.5e-3


def tower_config() -> LevitConfig:
    """One stage without subsampling: 64 x 64 pixels become 16 tokens of 256."""
    return LevitConfig(
        image_size=SIDE,
        hidden_sizes=[WIDTH, WIDTH],
        depths=[3],
        key_dim=[32],
        num_attention_heads=[HEADS],
        mlp_ratio=[2],
        attention_ratio=[2],
        down_ops=[[""]],
        hidden_size=WIDTH,
    )


def build_tower() -> LevitModel:
    """The untrained tower; half the heads of each block start by looking a fixed way off.

    The convolutions tell only the first row and column apart, by their padding, and attention must carry that on. It
    reads distances from its biases alone, which start at zero and move little: without this start, a third of the rows
    and columns stay unknown.
    """
    tower = AutoModel.from_config(tower_config()).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for block in tower.encoder.stages[0].layers[::2]:
            look_away(block.module.attention_biases)
    return tower


def look_away(biases: torch.Tensor) -> None:
    """Let head 4 + k look k rows or columns off, in place; `biases` are `[8, 16]`, of offsets (rows, columns)."""
    for step in range(GRID):
        biases[HEADS // 2 + step, [step, step * GRID]] = 4.0


def places() -> torch.Tensor:
    """Row and column of every token, `[16, 2]`."""
    steps = torch.arange(CELLS)
    return torch.stack((steps // GRID, steps % GRID), -1)


class TowerHeads(nn.Module):
    """Linear read-outs of the tower's tokens; dropped after training."""

    def __init__(self, vocabularies: dict[str, list[str]]) -> None:
        super().__init__()
        self.cells = nn.ModuleDict({name: nn.Linear(WIDTH, len(words)) for name, words in ATTRIBUTES.items()})
        self.offset = nn.Linear(WIDTH, 2)
        self.place = nn.Linear(WIDTH, 2 * GRID)
        self.whole = nn.ModuleDict({name: nn.Linear(WIDTH, len(words)) for name, words in vocabularies.items()})

    def loss(
        self, tokens: torch.Tensor, cells: torch.Tensor, offsets: torch.Tensor, whole: torch.Tensor
    ) -> torch.Tensor:
        """The sum of all objectives; tokens `[batch, 16, width]`."""
        total = tokens.new_zeros(())
        for k, (name, head) in enumerate(self.cells.items()):
            target = cells[:, k]
            weight = torch.ones(len(ATTRIBUTES[name]))
            weight[0] = 0.25
            total = total + functional.cross_entropy(
                head(tokens).flatten(0, 1), target.flatten(), weight=weight, ignore_index=IGNORE
            )
        known = ~offsets.isnan()
        error = self.offset(tokens).transpose(1, 2) - offsets.nan_to_num()
        total = total + 4 * (error.square() * known).sum() / known.sum().clamp(min=1)
        total = total + functional.cross_entropy(
            self.place(tokens).unflatten(-1, (2, GRID)).flatten(0, 2), places().repeat(len(tokens), 1).flatten()
        )
        pooled = tokens.mean(1)
        for k, (name, head) in enumerate(self.whole.items()):
            target = whole[:, k]
            per_token = name == "group"
            logits = head(tokens).flatten(0, 1) if per_token else head(pooled)
            target = target.repeat_interleave(CELLS) if per_token else target
            total = total + (0.5 if per_token else 1.0) * functional.cross_entropy(
                logits, target, ignore_index=IGNORE, label_smoothing=0.05
            )
        return total


def pixels_to_input(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 `[n, 64, 64, 3]` as the processor would give it: float `[n, 3, 64, 64]`."""
    values = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255
    return ((values - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def see(tower: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """The tower's tokens `[n, 16, width]` of images as `pixels_to_input` gives them."""
    return tower(pixels, output_hidden_states=True).hidden_states[-1]


def train_tower(rank: int, workers: int, port: int, run: Path, steps: int) -> None:
    """Train for so many steps and write `tower.pt`, on from the one that is there; every 200 steps are saved.

    Each of the `workers` processes calls this with its `rank`, and takes its share of every batch; they meet at `port`.
    """
    use_device()
    torch.manual_seed(SEED)
    meet(rank, workers, port)
    data, drawn, own = load_data(run), load_array(run / "images.npy"), run / "tower.pt"
    tower, heads = build_tower(), TowerHeads(data.vocabularies)
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_RATE, weight_decay=0.02, betas=(0.9, 0.98))
    parts = {"tower": tower, "heads": heads, "optimizer": optimizer}
    step, seconds, running = 0, 0.0, None
    if own.exists():
        saved = load(own)
        step, seconds = saved["step"], saved["seconds"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    rng, start = np.random.default_rng([SEED, rank, step]), time.time() - seconds
    torch.manual_seed(int(rng.integers(2**31)))
    pools, check = {kind: data.numbers(kind) for kind in SHARES}, draw_check(data.vocabularies["group"])
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1, step / 100) * (1 - step / steps) + 1e-5
        chosen = np.concatenate([rng.choice(pools[kind], count // workers) for kind, count in SHARES.items()])
        pixels = pixels_to_input(drawn[chosen])
        contrast, light = torch.empty(2, len(pixels), 3, 1, 1)
        pixels = pixels * contrast.uniform_(0.88, 1.12) + light.normal_(0, 0.15)
        labels = (torch.as_tensor(labels[chosen]) for labels in (data.cells, data.offsets, data.whole))
        loss = heads.loss(see(tower, pixels), *labels)
        optimizer.zero_grad()
        loss.backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        step += 1
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if rank == 0 and (step % 200 == 0 or step == steps):
            seconds = time.time() - start
            scores = score_tower(tower, heads, check)
            log(run, phase="tower", step=step, seconds=round(seconds, 1), loss=round(running, 4), **scores)
            state = {name: part.state_dict() for name, part in parts.items()}
            save(own, state | {"step": step, "seconds": seconds})


@dataclass(frozen=True)
class Check:
    """What the tower is scored on while it learns: fresh scenes, and pictograms of held-out concepts."""

    scenes: np.ndarray
    cells: torch.Tensor  # [n, 4, 16]
    pictograms: np.ndarray
    groups: torch.Tensor


def draw_check(groups: list[str]) -> Check:
    """Draw it; `groups` are the words that group numbers stand for."""
    rng = np.random.default_rng(images.SEED + 9)
    scenes = [sample_scene(rng) for _ in range(300)]
    unseen = [p for p in pictograms("google") if p.held_out][::2]
    return Check(
        np.stack([np.asarray(render(scene, SIDE)) for scene in scenes]),
        torch.as_tensor(np.stack([cell_labels(scene.objects)[0] for scene in scenes])),
        np.stack([np.asarray(p.draw()) for p in unseen]),
        torch.tensor([groups.index(p.group) for p in unseen]),
    )


@torch.no_grad()
def score_tower(tower: nn.Module, heads: TowerHeads, check: Check) -> dict[str, float]:
    """Accuracy per attribute of the objects in scenes, of every token's place, and of the group of pictograms."""
    tower.eval()
    tokens = see(tower, pixels_to_input(check.scenes))
    there = check.cells[:, 0] > 0
    scores = {}
    for k, (name, head) in enumerate(heads.cells.items()):
        scores[f"tower_{name}"] = (head(tokens).argmax(-1) == check.cells[:, k])[there].float().mean()
    scores["tower_nothing"] = (heads.cells["shape"](tokens).argmax(-1) == 0)[~there].float().mean()
    scores["tower_place"] = (heads.place(tokens).unflatten(-1, (2, GRID)).argmax(-1) == places()).float().mean()
    group = heads.whole["group"](see(tower, pixels_to_input(check.pictograms))).mean(1).argmax(-1)
    scores["tower_group_unseen"] = (group == check.groups).float().mean()
    tower.train()
    return {name: round(score.item(), 3) for name, score in scores.items()}
