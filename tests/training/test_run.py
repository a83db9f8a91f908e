"""What a run keeps, refuses and writes into the card; `python training/train.py --rehearse` goes through all of it."""

import sys
from pathlib import Path

import pytest

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import card  # noqa: E402
import runfiles  # noqa: E402
import train  # noqa: E402
from fetch import SOURCES  # noqa: E402

MODEL = TRAINING.parent / "src" / "savs" / "demo" / "model"


def test_nothing_half_written_takes_a_name(tmp_path):
    with pytest.raises(KeyboardInterrupt), runfiles.written(tmp_path / "array.npy") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert not (tmp_path / "array.npy").exists()
    with runfiles.written(tmp_path / "array.npy") as partial:
        partial.write_text("whole")
    assert (tmp_path / "array.npy").read_text() == "whole"


def test_what_a_resumed_run_logs_again_counts_once(tmp_path):
    for step, loss in ((100, 3.0), (200, 2.0), (100, 2.9)):
        runfiles.log(tmp_path, phase="short", step=step, loss=loss)
    runfiles.log(tmp_path, phase="data", seconds=1)
    assert [entry.get("loss") for entry in runfiles.read_log(tmp_path)] == [2.9, 2.0, None]


def test_a_folder_of_another_recipe_or_of_something_else_is_refused(tmp_path):
    train.claim_folder(tmp_path / "run", train.REHEARSAL)
    train.claim_folder(tmp_path / "run", train.REHEARSAL)
    with pytest.raises(SystemExit, match="another recipe"):
        train.claim_folder(tmp_path / "run", train.RECIPE)
    (tmp_path / "tower.pt").touch()
    with pytest.raises(SystemExit, match="files of no run"):
        train.claim_folder(tmp_path, train.RECIPE)


def test_a_rehearsal_takes_every_step_of_the_recipe():
    assert [phase.name for phase in train.REHEARSAL.phases] == [phase.name for phase in train.RECIPE.phases]
    log = [{"phase": name, "step": 3, "seconds": 90.0} for name in card.STEPS]
    table = card.training_table(log, train.RECIPE.phases, "two cores").splitlines()
    assert sum(line.endswith("| 1.5 |") for line in table) == len(card.STEPS)
    assert "| short |" in "".join(table) and "1,200,000 questions" in "".join(table)
    together = next(line for line in table if line.startswith("| together"))
    assert together.endswith("| 9 |"), "what runs beside the tower takes no time of its own"


def test_the_card_names_every_source_with_its_checksum():
    told = (MODEL / "README.md").read_text()
    rows = [row for row in card.data_table().splitlines() if "`" in row and "savs.demo" not in row]
    assert len(rows) == len(SOURCES) == 3
    assert not [row for row in rows if row not in told]


def test_the_card_is_filled_between_its_marks_and_nowhere_else(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("a\n<!-- gates: begin -->\nold\n<!-- gates: end -->\nb\n")
    card.fill(tmp_path, gates="new")
    assert path.read_text() == "a\n<!-- gates: begin -->\nnew\n<!-- gates: end -->\nb\n"
    with pytest.raises(ValueError, match="expected one <!-- data: begin -->"):
        card.fill(tmp_path, data="new")
