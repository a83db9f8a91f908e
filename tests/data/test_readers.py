import base64
import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from savs.data import readers
from savs.data.example import Media
from savs.data.readers import read_examples
from savs.errors import DataError


def test_paths_are_relative_to_the_file_and_ids_name_the_line(draw, jsonl):
    draw("pics/a.png")
    path = jsonl({"image": "pics/a.png", "question": "Ripe?", "label": "yes"}, {"image": "pics/a.png", "label": "no"})
    first, second = read_examples(path)
    assert first.media == (Media(path.parent / "pics/a.png"),)
    assert (first.id, first.text, first.label) == ("rows:1", "Ripe?", "yes")
    assert first.location == f"{path}:1"
    assert (second.id, second.text, second.label) == ("rows:2", "What is shown?", "no")


def test_what_is_asked_may_stand_in_a_column_called_text(draw, jsonl):
    draw("a.png")
    path = jsonl(
        {"text": "the card was refused", "label": "banking"},
        {"image": "a.png", "text": "Ripe?", "label": "yes"},
        {"image": "a.png", "text": "scanned words", "question": "Ripe?", "label": "yes"},
        {"image": "a.png", "text": "", "label": "yes"},
        {"text": "What is shown?", "label": "yes"},
    )
    said = ["the card was refused", "Ripe?", "Ripe?", "What is shown?", "What is shown?"]
    assert [e.text for e in read_examples(path)] == said
    with pytest.raises(DataError, match="has neither media nor text; .*'question'"):
        read_examples(jsonl({"text": "", "label": "banking"}))


def test_image_may_be_a_list_a_video_or_absent(draw, film, jsonl):
    draw("a.png")
    draw("b.png", seed=1)
    film("c.mp4", [0, 99])
    path = jsonl(
        {"image": ["a.png", "b.png"], "question": "<image> or <image>?"},
        {"image": "c.mp4", "question": "Moving?"},
        {"image": None, "question": "Text only?"},
        {"question": "Text only?"},
        {"image": ["a.png", "c.mp4"], "question": "Which moves?"},
    )
    examples = read_examples(path)
    assert [[m.kind for m in e.media] for e in examples] == [["image"] * 2, ["video"], [], [], ["image", "video"]]
    assert {e.label for e in examples} == {None}


def test_kind_says_what_a_suffix_does_not(jsonl, tmp_path):
    frames = [Image.new("L", (4, 4), level) for level in (0, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    path = jsonl({"image": "a.gif"}, {"image": "a.gif", "kind": "video"}, {"video": "a.gif"})
    assert [e.media[0].kind for e in read_examples(path)] == ["image", "video", "video"]
    with pytest.raises(DataError, match=r"column 'kind' holds 'film' \(str\); expected 'image' or 'video'"):
        read_examples(jsonl({"image": "a.gif", "kind": "film"}))


def test_own_ids_groups_splits_and_choices_are_kept(jsonl):
    row = {"id": 7, "question": "?", "group": 3, "split": "hard", "choices": ["x", 2], "label": 1}
    (example,) = read_examples(jsonl(row))
    assert (example.id, example.group, example.split, example.choices, example.label) == (
        "7",
        "3",
        "hard",
        ("x", "2"),
        "1",
    )


def test_repeated_ids_are_told_apart_and_said(jsonl, caplog):
    path = jsonl(*({"id": name, "question": str(i)} for i, name in enumerate(["a", "a", "a#2", "b", "a"])))
    with caplog.at_level(logging.WARNING):
        examples = read_examples(path)
    ids = [example.id for example in examples]
    assert len(set(ids)) == 5
    assert (ids[0], ids[2], ids[3]) == ("a", "a#2", "b")
    assert all(name.startswith("a#") for name in (ids[1], ids[4]))
    assert "2 of 5 ids occur more than once" in caplog.text
    assert [e.text for e in examples] == list("01234")


@given(st.lists(st.sampled_from(["a", "a#2", "a#3", "a#2#2", "b"]), max_size=12))
def test_ids_are_always_unique_and_first_ones_kept(names):
    from savs.data.example import Example

    named = [example.id for example in readers.with_unique_ids([Example(id=name, text="") for name in names])]
    assert len(set(named)) == len(names)
    for name in set(names):
        assert named[names.index(name)] == name


def test_byte_order_mark_crlf_blank_lines_and_any_script_are_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = ['{"question": "Größe?\u2028naïve"}', "", "  ", '{"question": "是什么？🦜", "label": "鹦鹉"}']
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    examples = read_examples(path)
    assert [e.text for e in examples] == ["Größe?\u2028naïve", "是什么？🦜"]
    assert [e.location for e in examples] == [f"{path}:1", f"{path}:4"]
    assert examples[1].label == "鹦鹉"


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"question": st.text(min_size=1).filter(lambda t: "<image>" not in t), "label": st.text()}
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_lines_and_arrays_give_back_any_text(tmp_path, rows):
    lines, array = tmp_path / "rows.jsonl", tmp_path / "rows.json"
    lines.write_text("\n".join(json.dumps(row, ensure_ascii=True) for row in rows))
    array.write_text(json.dumps(rows))
    for path in (lines, array):
        examples = read_examples(path, task="general")
        assert [e.text for e in examples] == [row["question"] for row in rows]
        assert [e.label for e in examples] == [row["label"].strip() or None for row in rows]


def test_content_not_suffix_tells_lines_from_arrays(tmp_path):
    rows = [{"question": "a"}, {"question": "b"}]
    lines, array = tmp_path / "lines.json", tmp_path / "array.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)))
    array.write_text(json.dumps(rows, indent=2))
    assert [e.id for e in read_examples(lines)] == ["lines:1", "lines:2"]
    assert [e.id for e in read_examples(array)] == ["array:0", "array:1"]
    assert read_examples(array)[1].location == f"{array}[1]"


def test_csv_with_quoted_newlines_lists_and_empty_cells(draw, tmp_path):
    draw("a.png")
    draw("b,c.png", seed=1)
    path = tmp_path / "rows.csv"
    path.write_text(
        '\ufeffimage,question,label\r\n"[""a.png"", ""b,c.png""]","Two\nlines, one cell",yes\r\n\r\n'
        ',"He said ""no""",\r\n',
        encoding="utf-8",
        newline="",
    )
    first, second = read_examples(path)
    assert [m.source.name for m in first.media] == ["a.png", "b,c.png"]
    assert (first.text, first.label, first.location) == ("Two\nlines, one cell", "yes", f"{path}:2")
    assert (second.text, second.label, second.media) == ('He said "no"', None, ())
    assert second.id == "rows:5"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "question;label\nRipe?;yes\n"),
        ("a.tsv", "question\tlabel\nRipe?\tyes\n"),
        ("a.csv", "question\tlabel\nRipe?\tyes\n"),
        ("a.csv", "question,label\nRipe?,yes\n"),
        ("a.txt", "question,label\nRipe?,yes\n"),
        ("a.csv", 'question, label\n"Ripe?", yes\n'),  # with blanks after the commas
        ("a.csv", " question ,label \rRipe?,yes\r"),  # with line ends of old
        ("a.csv", "question,label\nRipe?,yes\n,\n,\n"),  # as spreadsheets leave it
        ("a.csv", "question,label,,\nRipe?,yes,,\n"),
        ("a.csv", ",question,label\n0,Ripe?,yes\n"),  # as pandas numbers rows
        ("a.csv", '{"question": "Ripe?", "label": "yes"}\n'),
        ("a.txt", '[{"question": "Ripe?", "label": "yes"}]\n'),
    ],
)
def test_tables_as_all_sorts_of_programs_write_them(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, newline="")
    (example,) = read_examples(path)
    assert (example.text, example.label) == ("Ripe?", "yes")


def test_a_cell_may_be_longer_than_python_reads_by_itself(tmp_path):
    """An image as a data URI easily is."""
    path = tmp_path / "a.csv"
    path.write_text(f"question,label\n{'a' * 200_000},yes\n")
    (example,) = read_examples(path)
    assert example.text == "a" * 200_000


def test_one_image_or_video_is_one_example(draw, film):
    for path, kind in ((draw("a.png"), "image"), (film("b.mp4", [0, 9]), "video")):
        (example,) = read_examples(path)
        assert (example.id, example.media, example.label) == (path.name, (Media(path, kind),), None)


def test_paths_of_windows_are_found(draw, jsonl):
    draw("pics/a.png")
    (example,) = read_examples(jsonl({"image": "pics\\a.png"}))
    assert example.media[0].source.name == "a.png"


def test_a_folder_of_class_folders(draw, film, tmp_path):
    draw("set/cat/1.png")
    draw("set/dog/1.JPG", seed=1)
    film("set/dog/2.mp4", [0, 9])
    draw("set/.hidden/x.png")
    draw("set/cat/.x.png")
    draw("set/__MACOSX/cat/x.png")
    (tmp_path / "set/cat/Thumbs.db").write_bytes(b"x")
    (tmp_path / "set/README.md").write_text("words")
    examples = read_examples(tmp_path / "set", require_labels=True)
    assert [(e.id, e.label) for e in examples] == [("cat/1.png", "cat"), ("dog/1.JPG", "dog"), ("dog/2.mp4", "dog")]
    assert [e.media[0].kind for e in examples] == ["image", "image", "video"]
    assert {e.text for e in examples} == {"What is shown?"}


def test_a_folder_of_images_is_unlabelled(draw, tmp_path):
    draw("set/1.png")
    (example,) = read_examples(tmp_path / "set")
    assert (example.id, example.label) == ("1.png", None)
    with pytest.raises(DataError, match=r"1\.png: has no label in column 'label'"):
        read_examples(tmp_path / "set", require_labels=True)


def test_folders_that_hold_no_classes_say_what_to_do(draw, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no images and no class folders"):
        read_examples(tmp_path / "empty")
    draw("set/train/cat/1.png")
    draw("set/test/cat/1.png")
    with pytest.raises(DataError, match=r"did you mean .*set/test or .*set/train\?"):
        read_examples(tmp_path / "set")
    (tmp_path / "set/rows.csv").write_text("image,label\n")
    with pytest.raises(DataError, match=r"did you mean .*set/rows\.csv or .*set/test or"):
        read_examples(tmp_path / "set")
    (tmp_path / "set/train/dog").mkdir()
    with pytest.raises(DataError, match=r"train/dog: is an empty class folder; put its images there, or take it away"):
        read_examples(tmp_path / "set/train")
    (tmp_path / "set/train/dog").rmdir()
    (tmp_path / "set/train/cat/notes.txt").write_text("words")
    with pytest.raises(DataError, match=r"notes\.txt: is neither an image nor a video"):
        read_examples(tmp_path / "set/train")


def test_limit_reads_the_first_rows_only(jsonl):
    path = jsonl({"question": "a"}, {"question": "b"}, "{broken")
    assert [e.text for e in read_examples(path, limit=2)] == ["a", "b"]
    with pytest.raises(ValueError, match="limit must be at least 1 row, got 0"):
        read_examples(path, limit=0)


def test_a_file_named_by_many_rows_is_decoded_once(draw, jsonl, monkeypatch):
    draw("a.png")
    calls = []
    monkeypatch.setattr(readers, "verify", calls.append)
    read_examples(jsonl(*[{"image": "a.png", "question": str(i)} for i in range(5)]))
    assert len(calls) == 1


def test_labels_are_stripped_so_that_blanks_make_no_classes(jsonl):
    path = jsonl(
        {"question": "a", "label": "yes "}, {"question": "b", "label": " yes"}, {"question": "c", "label": "  "}
    )
    assert [e.label for e in read_examples(path)] == ["yes", "yes", None]


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("a\u00a0", "a"),
        (1, "1"),
        (1.0, "1"),
        (True, "True"),
        (float("nan"), None),
        (None, None),
    ],
)
def test_labels_that_look_equal_are_equal_whoever_wrote_them(jsonl, said, label):
    (example,) = read_examples(jsonl({"question": "?", "label": said, "group": said, "split": said}))
    assert (example.label, example.group, example.split) == (label, label, label)


def test_data_uris_are_images(draw, jsonl):
    data = draw("a.png").read_bytes()
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    (example,) = read_examples(jsonl({"image": [uri, "a.png"], "question": "?"}))
    assert [media.source for media in example.media][:1] == [data]
    assert len(example.media) == 2


def test_decoded_images_and_bytes_are_taken_from_rows(draw):
    from savs.data.formats import Row
    from savs.data.rows import RowReader
    from savs.data.tasks import GENERIC

    data = draw("a.png").read_bytes()
    image = Image.new("RGB", (2, 2))
    reader = RowReader(GENERIC, locate=lambda name: pytest.fail(name))
    cells = {"image": [image, data, {"bytes": data, "path": "x.png"}], "video": {"bytes": b"v", "path": None}}
    (example,) = reader.examples(Row(cells, "here", "id"))
    assert [m.source for m in example.media] == [image, data, data, b"v"]
    assert [m.kind for m in example.media] == ["image", "image", "image", "video"]
