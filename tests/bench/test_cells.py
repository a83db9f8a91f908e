"""A cell is whole or not there, belongs to one setting, and says when it is damaged."""

import json
from dataclasses import replace

import pytest

from savs.bench.cells import Cell, CellKey, Cells, Reading
from savs.errors import DataError
from savs.prediction import Prediction

KEY = CellKey("pets", "data", "model", "sav", {"k": 20}, 20, 3)
ANSWERS = (Prediction("a", "cat", {"cat": 0.75, "dog": 0.25}, {}), Prediction("b", "dog", {"cat": 0.0, "dog": 1.0}, {}))
CELL = Cell(KEY, ANSWERS, 1.5, 40, 1000, Reading(2.0, 80, 2000, 7), {"savs": "1"})


def test_what_is_kept_is_found(tmp_path):
    cells = Cells(tmp_path)
    assert cells.find(KEY) is None
    path = cells.keep(CELL)
    assert cells.find(KEY) == CELL
    assert path.parent.name == "pets"
    assert [line["id"] for line in map(json.loads, path.read_text().splitlines()[1:])] == ["a", "b"]


@pytest.mark.parametrize(
    "changed",
    [
        {"column": "cub"},
        {"data": "other"},
        {"backbone": "other"},
        {"method": "hec"},
        {"settings": {"k": 10}},
        {"shots": 10},
        {"seed": 4},
        {"seed": None, "shots": None},
        {"answers": 1},
    ],
)
def test_a_changed_setting_is_another_cell(tmp_path, changed):
    cells = Cells(tmp_path)
    cells.keep(CELL)
    assert cells.find(replace(KEY, **changed)) is None


def test_nothing_shows_until_it_is_whole(tmp_path, monkeypatch):
    cells = Cells(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        cells.keep(CELL)
    assert cells.find(KEY) is None
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("harm", [lambda text: text[:-30], lambda text: text.replace("pets", "cub"), lambda _: ""])
def test_damage_is_told_with_what_to_do(tmp_path, harm):
    cells = Cells(tmp_path)
    path = cells.keep(CELL)
    path.write_text(harm(path.read_text()))
    with pytest.raises(DataError, match="delete it to have it made again"):
        cells.find(KEY)
