"""Half the tower's heads start by looking a fixed number of rows or columns off, which tells a token its place."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
tower = pytest.importorskip("tower")


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
