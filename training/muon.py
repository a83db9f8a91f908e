"""Muon: momentum whose matrices are orthogonalised before they are applied. Knows no model.

After Jordan et al. (2024), https://kellerjordan.github.io/posts/muon. `torch.optim.Muon` computes in bfloat16, which
CPUs without such units emulate a hundred times slower; this one stays in the parameters' precision, treats matrices
of one shape together, and lets processes that learn together share the work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch

from workers import shared

STEPS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """`[n, rows, columns]` with singular values pushed towards 1 (into 0.7 to 1.2), by a quintic Newton-Schulz."""
    turned = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if turned else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if turned else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; `lr` is the spectral norm of a step of a square matrix."""

    def __init__(
        self, matrices: Iterable[torch.nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update of every matrix."""
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for p in group["params"]:
                by_shape[p.shape].append(p)
            for (rows, columns), same in by_shape.items():
                grads = torch.stack([p.grad for p in same])
                old = torch.stack([self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in same])
                mixed = old.lerp_(grads, 1 - group["momentum"])
                update = shared(orthogonalise, grads.lerp(mixed, group["momentum"]))
                rate = group["lr"] * max(1, rows / columns) ** 0.5
                for p, momentum, change in zip(same, mixed, update, strict=True):
                    self.state[p]["momentum"].copy_(momentum)
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-rate)
