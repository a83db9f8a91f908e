"""Two processes that learn together know what one would: each did its share of the work."""

import subprocess
import sys
from pathlib import Path

import torch

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

from muon import orthogonalise  # noqa: E402
from workers import average_gradients, shared  # noqa: E402

PROGRAM = """
import sys
import torch
from muon import orthogonalise
from workers import average_gradients, meet, shared, spawn

def work(rank, workers, port, folder):
    meet(rank, workers, port)
    matrices, done = torch.load(f"{folder}/matrices.pt"), []
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([1.0, 2.0, 3.0]) * rank
    average_gradients([weight])
    whole = shared(lambda rows: done.append(len(rows)) or orthogonalise(rows), matrices)
    torch.save({"whole": whole, "done": done, "gradient": weight.grad}, f"{folder}/{rank}.pt")

if __name__ == "__main__":
    spawn(work, sys.argv[1], workers=2)
"""

SLOW_TO_BEGIN = """
import time
from workers import meet, spawn

def work(rank, workers, port):
    meet(rank, workers, port)
    time.sleep(600)

if __name__ == "__main__":
    spawn(work, workers=2)
else:
    print("importing", flush=True)
    time.sleep(3)
"""


def started(tmp_path, program, *arguments):
    (tmp_path / "program.py").write_text(f"import sys\nsys.path.insert(0, {str(TRAINING)!r})\n{program}")
    return subprocess.Popen(
        [sys.executable, tmp_path / "program.py", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_share_the_work_and_know_the_whole(tmp_path):
    torch.manual_seed(0)
    matrices = torch.randn(5, 6, 4)
    torch.save(matrices, tmp_path / "matrices.pt")
    _, told = (program := started(tmp_path, PROGRAM, tmp_path)).communicate(timeout=120)
    assert program.returncode == 0, told
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert (first["done"], second["done"]) == ([3], [2])
    for found in (first, second):
        torch.testing.assert_close(found["whole"], orthogonalise(matrices))
        assert found["gradient"].tolist() == [0.5, 1.0, 1.5]


def test_none_outlives_a_run_that_was_killed_before_they_had_begun(tmp_path):
    # Else they would train on into the files that the next start of the run writes.
    program = started(tmp_path, SLOW_TO_BEGIN)
    assert [program.stdout.readline() for _ in range(2)] == ["importing\n"] * 2
    program.kill()
    program.communicate(timeout=60)  # its output ends when the last process that has it open does
    assert program.returncode == -9


def test_a_process_alone_does_all_of_it():
    matrices, weight = torch.randn(2, 6, 4), torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    average_gradients([weight])
    assert weight.grad.item() == 1
    assert torch.equal(shared(orthogonalise, matrices), orthogonalise(matrices))
