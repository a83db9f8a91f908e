"""Files that owners pack beside their images: objects by name, words in columns, vectors of MATLAB."""

import json

import pytest

from savs.data.formats import file_rows
from savs.errors import DataError


def cells(path):
    return [row.cells for row in file_rows(path)]


@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_of_objects_is_a_row_each(tmp_path, indent):
    path = tmp_path / "swap_att.json"
    path.write_text(json.dumps({"0": {"caption": "a"}, "1": {"caption": "b", "key": "own"}}, indent=indent))
    first, second = file_rows(path)
    assert first.cells == {"file": "swap_att", "key": "0", "caption": "a"}
    assert second.cells["key"] == "own"
    assert (first.location, first.default_id) == (f"{path}[0]", "swap_att:0")


@pytest.mark.parametrize("content", ['{"question": "a"}', '{"question": "a"}\n{"question": "b"}'])
def test_lines_of_json_in_a_json_file_are_rows_still(tmp_path, content):
    path = tmp_path / "rows.json"
    path.write_text(content)
    assert cells(path)[0] == {"question": "a"}


def test_words_are_columns_and_remarks_are_passed_over(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("#Image CLASS-ID\n\npug_1   27 2\r\nBirman_9 3 1\n")
    rows = list(file_rows(path))
    assert [row.cells for row in rows] == [
        {"word1": "pug_1", "word2": "27", "word3": "2"},
        {"word1": "Birman_9", "word2": "3", "word3": "1"},
    ]
    assert [row.location for row in rows] == [f"{path}:3", f"{path}:4"]


def test_vectors_are_numbered_from_one(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "labels.mat"
    scipy_io.savemat(path, {"labels": [[77, 5]], "image": [[1.0], [2.0]], "words": "of no use"})
    assert cells(path) == [{"number": 1, "labels": 77, "image": 1}, {"number": 2, "labels": 5, "image": 2}]


@pytest.mark.parametrize("compressed", [False, True])
def test_vectors_cut_short_are_refused(tmp_path, compressed):
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "labels.mat"
    scipy_io.savemat(path, {"labels": [list(range(300))]}, do_compression=compressed)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 8, 23):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"labels\.mat: (cannot be read as a MATLAB file|holds the vectors none)"):
            cells(path)


def test_what_are_no_vectors_of_one_length_is_refused(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "a.mat"
    scipy_io.savemat(path, {"one": [[1, 2]], "other": [[1, 2, 3]]})
    with pytest.raises(
        DataError, match=r"holds the vectors one \(2\), other \(3\); expected one or more of one length"
    ):
        cells(path)
    scipy_io.savemat(path, {"table": [[1, 2], [3, 4]]})
    with pytest.raises(DataError, match="holds the vectors none"):
        cells(path)
    path.write_bytes(b"not MATLAB at all, but some other file" * 9)
    with pytest.raises(DataError, match="cannot be read as a MATLAB file"):
        cells(path)
