"""Processes that work side by side, a thread each, and end with the one that began them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def side_by_side(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes to submit work to, each computing with one thread.

    They end with this one however it ends: those of a killed process would else wait for work for ever, each with its
    model in memory.

    Args:
        jobs: how many.
    """
    context = multiprocessing.get_context("spawn")
    with _one_thread(), ProcessPoolExecutor(jobs, context, initializer=end_with_parent) as pool:
        yield pool


def end_with_parent() -> None:
    """End this process when the one that began it has ended, or has already; called by the one that was begun."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)  # at once: whoever would catch an exception, or wait for this process, is gone


@contextmanager
def _one_thread() -> Iterator[None]:
    """The environment in which new processes use one thread; put back afterwards.

    The numerical libraries count their threads when they are imported, and take the count from there.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
