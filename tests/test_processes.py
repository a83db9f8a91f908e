"""Processes that work side by side."""

import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest

from savs.processes import side_by_side

WORKING = """
import time
from savs.processes import side_by_side

if __name__ == "__main__":
    with side_by_side(2) as pool:
        list(pool.map(time.sleep, [0.1, 0.1]))  # both have begun
        print("begun", flush=True)
        pool.submit(time.sleep, 600).result()
"""


def threads(_: int) -> tuple[int, int]:
    import torch

    return os.getpid(), torch.get_num_threads()


def end(_: int) -> None:
    os._exit(3)


def test_each_computes_with_one_thread_and_this_process_with_as_many_as_before(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with side_by_side(2) as pool:
        found = list(pool.map(threads, range(4)))
    assert {n for _, n in found} == {1}
    assert os.getpid() not in {process for process, _ in found}
    assert os.environ["OMP_NUM_THREADS"] == "2" and "MKL_NUM_THREADS" not in os.environ


def test_one_that_ends_early_is_told_and_not_waited_for():
    with side_by_side(2) as pool, pytest.raises(BrokenProcessPool):
        list(pool.map(end, range(4)))


def test_they_end_with_the_process_that_is_killed(tmp_path):
    (tmp_path / "working.py").write_text(WORKING)
    first = subprocess.Popen([sys.executable, tmp_path / "working.py"], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "begun\n"
    first.kill()
    # Its processes have its output open too: reading it comes to an end only when the last of them has ended.
    assert first.communicate(timeout=60) == ("", None)
