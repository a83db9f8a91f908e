"""The tower's heads start by looking each its own way off, and a step of training stays on the device of the run."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
tower = pytest.importorskip("tower")
from images import ATTRIBUTES, CELLS, SIDE  # noqa: E402


def test_each_new_head_looks_its_own_distance_off() -> None:
    torch.manual_seed(0)
    block = tower.build_tower().encoder.stages[0].layers[0].module
    attention = block.get_attention_biases("cpu").detach().softmax(-1)
    place = tower.places()
    apart = (place[:, None] - place[None]).abs().sum(-1)
    straight = (place[:, None] - place[None]).abs().min(-1).values == 0
    for step in range(tower.GRID):
        there = straight & (apart == step)
        weight = (attention[tower.HEADS // 2 + step] * there).sum(-1)
        assert weight[there.any(-1)].min() > 0.7
    assert torch.allclose(attention[: tower.HEADS // 2], torch.tensor(1 / tower.CELLS))


def devices_of_a_step(images) -> set[str]:
    """Where weights and gradients are after a step on four images, made where tensors are made by default."""
    eye, heads = tower.build_tower(), tower.TowerHeads({name: ["a", "b"] for name in ("group", "subgroup", "name")})
    weights = [*eye.parameters(), *heads.parameters()]
    labels = np.zeros((4, len(ATTRIBUTES), CELLS), int), np.zeros((4, 2, CELLS), np.float32), np.zeros((4, 3), int)
    heads.loss(tower.see(eye, images), *(torch.as_tensor(each) for each in labels)).backward()
    torch.optim.AdamW(weights).step()
    return {t.device.type for weight in weights for t in (weight, weight.grad) if t is not None}


def test_a_step_stays_on_the_device() -> None:
    """torch's `meta`, which computes shapes alone, is a second device that every machine has."""
    with torch.device("meta"):
        assert devices_of_a_step(tower.pixels_to_input(np.zeros((4, SIDE, SIDE, 3), np.uint8))) == {"meta"}


def test_images_left_on_another_device_would_be_noticed() -> None:
    with torch.device("meta"), pytest.raises(RuntimeError, match="device"):
        devices_of_a_step(torch.zeros(4, 3, SIDE, SIDE, device="cpu"))
