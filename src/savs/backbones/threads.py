"""Threads around the forward pass: inputs that are made beside it, and batches that run side by side.

Knows iterators and torch's threads; no model, no examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Lock
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order, each made in a thread while its predecessor is used.

    Two exist at a time. What goes wrong in making one is raised where it would have been given.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="savs-prefetch") as thread:
        pending = thread.submit(next, items, end)
        while True:
            made = [pending.result()]
            if made[0] is end:
                return
            pending = thread.submit(next, items, end)
            yield made.pop()  # type: ignore[misc]  # kept by nobody here: its memory is its user's to free


def side_by_side(
    items: Iterator[T], work: Callable[[T], R], workers: int, alone: Callable[[T], bool] = lambda _: False
) -> Iterator[tuple[T, R]]:
    """Each item with what `work` makes of it, in the order in which they are done.

    A pass of a small model is many short operations, and torch's threads wait for each other at the end of each. Here
    they are dealt out among the workers instead, who wait for nobody; each makes its next item when it is free, one
    at a time. An interrupt waits until what is under way is done.

    Args:
        items: made by the workers, one after the other.
        work: what is done with each, by several threads at once.
        workers: how many. They share torch's threads evenly.
        alone: whether no later item may be begun before this one is done.

    Raises:
        Exception: what making an item or `work` raises; no item is begun once that is known.
    """
    taking = Lock()
    threads = torch.get_num_threads()

    def take() -> tuple[T, R] | None:
        with taking:
            try:
                item = next(items)
            except StopIteration:
                return None
            if alone(item):
                return item, work(item)
        return item, work(item)

    try:
        with ThreadPoolExecutor(
            workers, "savs-forward", initializer=torch.set_num_threads, initargs=(max(1, threads // workers),)
        ) as pool:
            pending = {pool.submit(take) for _ in range(workers)}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                torch.set_num_threads(threads)  # a worker's own number would be the choice of threads begun later
                for result in [future.result() for future in done]:
                    if result is not None:
                        pending.add(pool.submit(take))
                        yield result
    finally:
        torch.set_num_threads(threads)
