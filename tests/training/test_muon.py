"""The optimizer: its steps are orthogonal, and it finds what it should."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
from muon import Muon, orthogonalise  # noqa: E402


def test_singular_values_become_nearly_one_whatever_the_shape() -> None:
    torch.manual_seed(0)
    for rows, columns in ((48, 128), (128, 48), (64, 64)):
        matrices = torch.randn(3, rows, columns) @ torch.diag(torch.logspace(-0.5, 0.5, columns))
        before, after = torch.linalg.svdvals(matrices), torch.linalg.svdvals(orthogonalise(matrices))
        assert (before.amax(1) / before.amin(1)).min() > 5
        assert after[:, : min(rows, columns) * 3 // 4].min() > 0.6 and after.max() < 1.3


def test_each_matrix_is_treated_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(4, 16, 24) * torch.tensor([1e-3, 1.0, 10.0, 1e3]).view(4, 1, 1)
    alone = torch.cat([orthogonalise(one[None]) for one in matrices])
    torch.testing.assert_close(orthogonalise(matrices), alone)


def test_it_solves_a_badly_scaled_problem_that_plain_descent_does_not() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(256, 16) * torch.logspace(-2, 0, 16)
    truth = torch.randn(16, 16)

    def loss_after(make: type) -> float:
        weight = torch.nn.Parameter(torch.zeros(16, 16))
        optimizer = make([weight], lr=0.05, momentum=0.9)
        for _ in range(200):
            optimizer.zero_grad()
            loss = (inputs @ (weight - truth)).square().mean()
            loss.backward()
            optimizer.step()
        return (weight - truth).square().mean().item()

    assert loss_after(Muon) < 0.25 * loss_after(torch.optim.SGD)
