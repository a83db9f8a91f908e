"""Processes that learn one thing together: each takes its share of every batch. Knows nothing of what is learned."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from savs.processes import end_with_parent


def spawn(work: Callable[..., None], *given: object, workers: int) -> None:
    """Call `work(rank, workers, port, *given)` in so many processes, which may `meet` at the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_work, args=(work, workers, port, *given), nprocs=workers)


def _work(rank: int, work: Callable[..., None], workers: int, port: int, *given: object) -> None:
    # torch ends what it spawned too, but not where the spawning process was killed before they had begun.
    end_with_parent()
    work(rank, workers, port, *given)
    if dist.is_initialized():
        dist.destroy_process_group()  # else its threads may still run when the process ends, which aborts it


def meet(rank: int, workers: int, port: int) -> None:
    """Wait for the others; a process alone has none to wait for."""
    if workers > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=workers)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over the processes that met."""
    if not dist.is_initialized():
        return
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad.copy_(part.view_as(p))


def shared(compute: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """`compute(rows)`, row by row in its meaning and of one shape with `rows`: each process that met does its share."""
    if not dist.is_initialized():
        return compute(rows)
    whole, mine = torch.zeros_like(rows), slice(dist.get_rank(), None, dist.get_world_size())
    if len(rows[mine]):
        whole[mine] = compute(rows[mine])
    dist.all_reduce(whole)
    return whole
