"""Layouts: rows of any shape come to have the columns of the task, or are refused with the reason."""

import json

import pytest

from savs.data.layouts import Layout, Lookup, Members, Signs, Variant, written
from savs.data.lookup_files import read_values, with_files
from savs.data.tasks import Fields, Task
from savs.errors import DataError


def test_lookups_refuse_what_is_not_listed_or_does_not_match():
    layout = Layout(lookups={"hint": Lookup("type", pattern=r"(\w)\d+", values={"a": "!"})})
    assert layout.rows({"type": "a12"}) == [("", {"type": "a12", "hint": "!"})]
    for text, message in (("b1", "column 'type' holds 'b'; expected one of 'a'"), ("a", r"matches \(\\w\)\\d\+")):
        with pytest.raises(DataError, match=message):
            layout.rows({"type": text})
    assert layout.rows({"type": None})[0][1]["hint"] is None
    with pytest.raises(DataError, match="has no column 'type'"):
        layout.rows({"kind": "a"})


def test_rows_are_counted_from_one_in_lookups_of_every():
    layout = Layout(lookups={"group": Lookup("number", every=4)})
    assert [layout.rows({"number": n})[0][1]["group"] for n in (1, 4, 5, 8, 9)] == ["0", "0", "1", "1", "2"]
    for wrong in (0, -1, "x", 1.5):
        with pytest.raises(DataError, match="expected a count that begins at 1"):
            layout.rows({"number": wrong})


def test_lists_are_walked_together():
    layout = Layout(each=("claims", "labels"), columns={"claim": ("claims",), "label": ("labels",)})
    rows = layout.rows({"image": "1.jpg", "claims": ["a", "b"], "labels": ["x", "y"]})
    assert [(number, row["image"], row["claim"], row["label"]) for number, row in rows] == [
        ("0", "1.jpg", "a", "x"),
        ("1", "1.jpg", "b", "y"),
    ]
    for claims in (["a"], "ab", None):
        with pytest.raises(
            DataError, match=r"'labels' \(2 entries\) are walked together; expected lists of one length"
        ):
            layout.rows({"claims": claims, "labels": ["x", "y"]})


def test_entries_with_names_spread_into_columns_and_pick_their_variant():
    layout = Layout(
        each=("turns",),
        unfold=(
            Variant("ask", {"text": "question"}, {"label": "q{number}"}, needs="question"),
            Variant("say", {"text": "answer"}, {"label": "a"}, needs="answer"),
        ),
    )
    rows = layout.rows({"number": 7, "turns": [{"question": "?"}, {"answer": "!", "question": ""}]})
    assert [(suffix, row["text"], row["label"]) for suffix, row in rows] == [("0/ask", "?", "q7"), ("1/say", "!", "a")]
    with pytest.raises(DataError, match="has none of the columns 'question', 'answer'"):
        layout.rows({"turns": [{"remark": "."}]})


def test_members_are_asked_about_one_by_one():
    layout = Layout(members=Members("tags", {"red": "Is it red?", "big": "Is it big?"}))
    rows = layout.rows({"tags": ["big", "old"]})
    assert [(suffix, row["asked"], row["holds"]) for suffix, row in rows] == [
        ("red", "Is it red?", "No"),
        ("big", "Is it big?", "Yes"),
    ]
    with pytest.raises(DataError, match="column 'tags' holds a str; expected a list of names"):
        layout.rows({"tags": "big"})


def test_the_first_old_name_that_is_there_is_taken():
    layout = Layout(columns={"kind": ("Kind", "type")})
    assert [layout.rows(row)[0][1]["kind"] for row in ({"Kind": 1}, {"type": 2}, {"type": 2, "Kind": 1})] == [1, 2, 1]
    with pytest.raises(DataError, match="has no column 'Kind'"):
        layout.rows({"sort": 3})


def test_texts_take_widths_and_leave_braces_of_the_data_alone():
    assert written("image_{number:0>5}.jpg", {"number": 7}) == "image_00007.jpg"
    assert written("{a}", {"a": "{b}"}) == "{b}"


def test_the_first_layout_that_fits_is_used_and_a_row_that_fits_none_is_taken_as_it_is():
    task = Task(
        "t",
        "{q}",
        fields=Fields(label="label"),
        layouts=(
            Layout("one", Signs(("ask", "label")), columns={"q": ("ask",)}),
            Layout("two", Signs(("ask",)), columns={"q": ("ask",)}, texts={"label": "none"}),
        ),
    )
    rows = [{"ask": "a", "label": "x"}, {"ask": "b"}, {"q": "c", "label": "y"}]
    assert [(row["q"], row["label"]) for cells in rows for _, row in task.expand(cells)] == [
        ("a", "x"),
        ("b", "none"),
        ("c", "y"),
    ]
    assert task.own_columns == ("q", "label")
    assert set(task.reads) == {"q", "label", "ask"}


@pytest.mark.parametrize(
    ("name", "content", "values"),
    [
        ("a.txt", "n01 tench, Tinca tinca\n\nn02  goldfish \n", {"n01": "tench, Tinca tinca", "n02": "goldfish"}),
        ("a.csv", 'n01,"tench, Tinca"\nn02,goldfish,more\n', {"n01": "tench, Tinca", "n02": "goldfish"}),
        ("a.json", '{"1": "rose", "2": 7}', {"1": "rose", "2": "7"}),
    ],
)
def test_files_of_values(tmp_path, name, content, values):
    path = tmp_path / name
    path.write_text(content)
    assert read_values(path) == values


def test_vectors_of_numbers_name_the_numbers(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(tmp_path / "a.mat", {"train": [[1, 3]], "test": [[2]]})
    assert read_values(tmp_path / "a.mat") == {"1": "train", "3": "train", "2": "test"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[1]", "holds something else than one JSON object"),
        ("a.json", '{"1": ["n01", "rose"]}', "holds something else than one JSON object"),
        ("a.json", "{", "cannot be read"),
        ("a.txt", b"\xff\xfe\x00", "cannot be read"),
        ("a.mat", b"MATLAB 5.0 nonsense", "cannot be read as a MATLAB file"),
    ],
)
def test_files_of_no_values_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_values(path)


def looked_up(files=("names.txt", "other.json")):
    layout = Layout("files", Signs(("key",)), lookups={"label": Lookup("key", file=files)})
    return Task("t", "{q}", fields=Fields(label="label"), layouts=(layout,))


def test_the_file_of_a_lookup_is_found_beside_the_data_or_above(tmp_path):
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    (tmp_path / "other.json").write_text(json.dumps({"1": "rose"}))
    above = with_files(looked_up(), [{"key": "1"}], folder)
    assert above.expand({"key": "1", "q": "?"})[0][1]["label"] == "rose"
    (folder / "names.txt").write_text("1 lily\n")
    beside = with_files(looked_up(), [{"key": "1"}], folder)
    assert beside.expand({"key": "1", "q": "?"})[0][1]["label"] == "lily"


def test_a_file_that_is_nowhere_is_asked_for_only_where_a_row_needs_it(tmp_path):
    task = looked_up(("no-such-names.txt", "no-such-names.json"))
    assert with_files(task, [{"label": "x"}], tmp_path) == task
    for folder in (tmp_path, None):
        with pytest.raises(DataError, match=r"the data need no-such-names\.txt or no-such-names\.json"):
            with_files(task, [{"key": "1"}], folder)


def test_two_classes_of_one_name_stay_two(tmp_path):
    (tmp_path / "names.txt").write_text("n1 crane\nn2 crane\nn3 tench\n")
    task = with_files(looked_up(), [{"key": "n1"}], tmp_path)
    labels = [task.expand({"key": key, "q": "?"})[0][1]["label"] for key in ("n1", "n2", "n3")]
    assert labels == ["crane (n1)", "crane (n2)", "tench"]
