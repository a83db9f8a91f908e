"""Whatever is wrong with the data is named with its place and a way out; nothing is lost."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from savs.data.formats import BadRow
from savs.data.readers import read_examples
from savs.data.tasks import builtin_tasks
from savs.errors import DataError

GOOD = {"image": "a.png", "question": "Ripe?", "label": "yes"}


def guard(**changes):
    return {"image": "a.png", "instruction": "do it", "label": "harmful", **changes}


def truncated(path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.fixture
def folder(draw, tmp_path):
    draw("a.png")
    truncated(tmp_path / "cut.jpg")
    (tmp_path / "words.png").write_text("words")
    (tmp_path / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    (tmp_path / "noise.mp4").write_bytes(b"no video")
    return tmp_path


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**GOOD, "image": "gone.png"}, r"there is no file .*gone\.png; correct the path, or give an image root"),
        ({**GOOD, "image": ["a.png", "gone.png"]}, r"gone\.png"),
        ({**GOOD, "image": "cut.jpg"}, r"cut\.jpg is damaged or cut short"),
        ({**GOOD, "image": "words.png"}, r"words\.png is no image that Pillow can read; expected JPEG"),
        ({**GOOD, "image": "lfs.png"}, r"lfs\.png is a pointer of Git LFS in the image's place; fetch the image"),
        ({**GOOD, "image": "bomb.png"}, r"bomb\.png is too large: 9000 x 9000 .* at most 64,000,000 pixels"),
        ({**GOOD, "image": "noise.mp4"}, r"noise\.mp4 cannot be decoded as a video"),
        ({**GOOD, "image": 5}, r"column 'image' holds 5 \(int\); expected a path or a list of paths"),
        ({**GOOD, "image": "https://example.org/a.png"}, "is a web address; expected a file"),
        ({**GOOD, "question": ["Ripe?"]}, "column 'question' holds a list; expected text"),
        ({**GOOD, "label": ["yes"]}, r"label is \['yes'\] \(list\); expected text or a whole number"),
        ({**GOOD, "label": 0.5}, r"label is 0\.5 \(float\); expected text or a whole number"),
        ({**GOOD, "label": float("nan")}, "has no label in column 'label'"),
        ({**GOOD, "image": float("nan"), "question": float("nan")}, "has neither media nor text"),
        ({"image": "a.png", "class": "ripe"}, "has no label .* The row has the columns image, class"),
        ({**GOOD, "question": "\ud83e"}, r"has half a character in its text \('\\ud83e'\)"),
        ({**GOOD, "id": "\udc00"}, "has half a character in its id"),
        ({**GOOD, "image": "data:image/png;base64,@"}, "holds 'data:image/png;base64,@' .* cannot be decoded"),
        ({**GOOD, "image": "data:image/svg+xml,<svg/>"}, "cannot be decoded .it is not in base64"),
        ({**GOOD, "image": "data:image/png;base64,iVBORw0KGgo="}, "image in memory is no image|is damaged"),
        ({"img": "data:image/png;base64,iVBORw0KGgo=", "question": "?", "label": "b"}, "unknown column 'img'"),
        ({**GOOD, "image": {"bytes": "x" * 9999}}, r"column 'image' holds .{,200} \(dict\); expected a path"),
        ({**GOOD, "label": None}, "has no label in column 'label'; label it"),
        ({"image": "a.png", "question": "Ripe?"}, "has no label in column 'label'"),
        ({**GOOD, "question": "<image> or <image>?"}, "has 2 <image> marks in its text for 1 images"),
        ({**GOOD, "choices": 3}, r"column 'choices' holds 3 \(int\); expected a list of options"),
        (
            {"img": "a.png", "question": "Ripe?", "label": "yes"},
            "an image or a video in the unknown column 'img'; .*'image'",
        ),
        ({"Image": ["a.png"], "question": "Ripe?", "label": "yes"}, "in the unknown column 'Image'"),
        (
            {"image": "a.png", "prompt": "Is it ripe?", "label": "yes"},
            "text in the unknown column 'prompt'; .*'question'",
        ),
        ({"image": None, "label": "yes"}, "has neither media nor text; expected one of 'image', 'video', 'question'"),
        ("{'image': 'a.png'}", "is not valid JSON .*expected one JSON object a line"),
        ('{"image": "a.png"', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[1, 2]", "is a list; expected a JSON object with named fields"),
        ("3", "is a int; expected a JSON object"),
    ],
)
def test_a_bad_row_is_named_with_its_line(folder, jsonl, row, reason):
    path = jsonl(GOOD, "", row, GOOD)
    with pytest.raises(DataError, match=reason) as caught:
        read_examples(path, require_labels=True)
    assert caught.value.location == f"{path}:3"
    assert str(caught.value).startswith(f"{path}:3: ")


@pytest.mark.parametrize(
    ("task", "row", "reason"),
    [
        ("vlguard", guard(label="spam"), "label 'spam' is not one of task 'vlguard'; expected harmful, unharmful"),
        ("vlguard", guard(label="Harmful"), "did you mean 'harmful'"),
        ("vlguard", guard(image=None), "has 0 images in column 'image'; task 'vlguard' expects at least 1"),
        (
            "vlguard",
            {"image": "a.png", "label": "harmful", "instr": "x"},
            "has no column 'instruction'; it has .*instr",
        ),
        ("vlguard", guard(instruction=None), r"column 'instruction' holds nothing \(null\)"),
        ("blink", {"question": "?", "image_1": "a.png", "label": "(AB)"}, r"label '\(AB\)' has an unexpected form"),
        ("sugarcrepe", {"image": "a.png", "question": "?", "label": "Yes"}, "needs the columns split, question_id"),
        ("naturalbench_retrieval", {**GOOD, "label": "Yes", "question_id": 0}, "expected a count that begins at 1"),
        ("naturalbench_retrieval", {**GOOD, "label": "Yes", "question_id": "x"}, "expected a count that begins at 1"),
        ("naturalbench_retrieval", {**GOOD, "label": "Yes", "question_id": 1.5}, r"holds '1\.5'; expected a count"),
    ],
)
def test_a_row_that_does_not_fit_its_task_is_named_with_its_index(folder, tmp_path, task, row, reason):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]))
    with pytest.raises(DataError, match=reason) as caught:
        read_examples(path, task=task)
    assert caught.value.location == f"{path}[0]"


def test_of_several_bad_rows_the_first_is_told_and_the_others_counted(folder, jsonl):
    path = jsonl(GOOD, {**GOOD, "image": "gone.png"}, "{", GOOD, {**GOOD, "image": "cut.jpg"})
    with pytest.raises(
        DataError, match=r"gone\.png.*and 2 more of 5 rows are bad; mend them, or skip bad rows"
    ) as caught:
        read_examples(path)
    assert caught.value.location == f"{path}:2"


def test_bad_rows_are_handed_over_and_the_rest_is_read(folder, jsonl):
    path = jsonl(
        GOOD, {**GOOD, "id": "mine", "image": "gone.png"}, "{", {**GOOD, "id": "last"}, {**GOOD, "image": "cut.jpg"}
    )
    bad = []
    examples = read_examples(path, on_bad=bad.append)
    assert [e.id for e in examples] == ["rows:1", "last"]
    assert [(row.location, row.id) for row in bad] == [
        (f"{path}:2", "mine"),
        (f"{path}:3", "rows:3"),
        (f"{path}:5", "rows:5"),
    ]
    assert all(isinstance(row, BadRow) and row.reason for row in bad)
    with pytest.raises(AttributeError):
        bad[0].reason = "changed"


def test_when_no_row_is_left_that_is_an_error_even_where_bad_rows_are_skipped(folder, jsonl):
    bad = []
    with pytest.raises(DataError, match="none of the 2 rows can be used"):
        read_examples(jsonl("{", "["), on_bad=bad.append)
    assert len(bad) == 2


def test_a_bad_part_makes_the_whole_row_bad(folder, tmp_path):
    row = {
        "Index": 1, "Image_0": "a.png", "Image_1": "gone.png", "Question_0": "?", "Question_1": "!",
        "Image_0_Question_0": "Yes", "Image_1_Question_0": "No", "Image_0_Question_1": "No",
        "Image_1_Question_1": "Yes", "Question Type": "yes_no",
    }  # fmt: skip
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row, {**row, "Index": 2, "Image_1": "a.png"}]))
    bad = []
    examples = read_examples(path, on_bad=bad.append)
    assert [row.id for row in bad] == ["1"]
    assert {e.group for e in examples} == {"2"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"", "is empty; expected at least one row"),
        ("a.jsonl", b"\xef\xbb\xbf\r\n  \n", "is empty"),
        ("a.json", b"[]", "has no rows"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"question,label\n", "has no rows"),
        ("a.json", b'[{"question": "a"},\n {"question": }]', "is not valid JSON"),
        ("a.json", b'{\n "question": "a",\n "label": "b"\n}', "is one JSON object with the keys question, label"),
        ("a.doc", b"just words", "has none of the formats that can be read; expected JSON lines"),
        ("a.jsonl", '{"question": "a"}'.encode("utf-16-le"), "is no UTF-8 text"),
        ("a.csv", "question\tlabel\na\tb\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0), r"is compressed \(gzip\); unpack it"),
        ("a.xlsx", b"PK\x03\x04" + bytes(20), "an Excel workbook; .* save the sheet as CSV"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS"),
        (
            "a.json",
            b'{"question": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}',
            r"holds columns \(question, label",
        ),
        ("a.pkl", b"\x80\x04\x95\0", "is no UTF-8 text; expected JSON lines"),
        ("a.csv", "question\nGr\u00f6\u00dfe".encode("latin-1"), "is no UTF-8 text .*save it as UTF-8"),
        ("a.csv", b"question,question\na,b\n", "names a column twice: question, question"),
        ("a.csv", b";\n ;\n", "has no header; expected the names of columns"),
        ("a.csv", b'question,label\n"a"b,c\n', "is not valid CSV .*check the quotes"),
        ("a.jsonl", b'{"foo": 1}', "no task reads these columns: foo"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_examples(path)
    assert caught.value.location.startswith(str(path))


def test_the_line_of_a_fault_in_an_array_is_told(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"question": "a"},\n {"question": }]')
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert caught.value.location == f"{path}:2"


def test_a_line_that_is_no_utf8_is_one_bad_row(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"question": "a"}\n{"question": "\xff"}\n{"question": "c"}\n')
    bad = []
    assert [e.text for e in read_examples(path, on_bad=bad.append)] == ["a", "c"]
    assert bad[0].location == f"{path}:2"
    assert "is no UTF-8 text" in bad[0].reason


def test_a_csv_row_with_too_few_or_too_many_cells_is_bad(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('question,label\n"a\nb",yes\nc\nd,no,x\ne,no\n')
    bad = []
    assert [e.text for e in read_examples(path, on_bad=bad.append)] == ["a\nb", "e"]
    assert [row.location for row in bad] == [f"{path}:4", f"{path}:5"]
    assert "has 1 cells; expected 2, as in the header (question, label)" in bad[0].reason


def test_what_is_nowhere_is_told(tmp_path):
    with pytest.raises(DataError, match=r"there is no file or folder .*gone\.jsonl.*hf://owner/name"):
        read_examples(tmp_path / "gone.jsonl")
    with pytest.raises(DataError, match="there is no file or folder 'train.jsonl'"):
        read_examples("train.jsonl")


def test_a_root_that_is_no_folder_is_one_error_not_one_a_row(folder, jsonl):
    with pytest.raises(DataError, match="image root .*nowhere is no folder"):
        read_examples(jsonl(GOOD, GOOD), image_root=folder / "nowhere", on_bad=lambda row: pytest.fail(row.reason))


def test_rows_cannot_reach_out_of_the_root(folder, draw, jsonl):
    draw("root/b.png")
    path = jsonl({**GOOD, "image": "/x/b.png"}, {**GOOD, "image": "../a.png"}, {**GOOD, "image": str(folder / "a.png")})
    bad = []
    examples = read_examples(path, image_root=folder / "root", on_bad=bad.append)
    assert [e.media[0].source for e in examples] == [folder / "root/b.png"]
    assert [row.location for row in bad] == [f"{path}:2", f"{path}:3"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["a.png", "noise.mp4", "data:image/png;base64,AAAA", "<image>", "s3://x/y", "(A)", "[1]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["bytes", "path"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
COLUMNS = sorted({column for task in builtin_tasks() for column in task.reads})
FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_refused(path, **options):
    try:
        examples = read_examples(path, on_bad=lambda row: None, **options)
    except DataError as error:
        assert len(str(error)) < 1500
    else:
        assert all(isinstance(e.text, str) and isinstance(e.label, str | None) for e in examples)


@FUZZ
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=7) | VALUES, max_size=4),
    task=st.sampled_from([None, *(task.name for task in builtin_tasks())]),
    rooted=st.booleans(),
)
def test_any_rows_are_read_or_refused(folder, rows, task, rooted):
    path = folder / "rows.json"
    path.write_text(json.dumps(rows))
    read_or_refused(path, task=task, image_root=folder if rooted else None)


@FUZZ
@given(
    content=st.binary(max_size=60) | st.text("{}[]\",:;\t\n\r ab1#\\'", max_size=60).map(str.encode),
    suffix=st.sampled_from([".json", ".jsonl", ".csv", ".tsv", ".txt", ".mat", ".parquet", ".other"]),
)
def test_any_file_is_read_or_refused(tmp_path, content, suffix):
    path = (tmp_path / "rows").with_suffix(suffix)
    path.write_bytes(content)
    read_or_refused(path)


def test_damaged_parquet_is_read_or_refused(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = {"info": {"features": {"label": {"names": ["ripe", "raw"], "_type": "ClassLabel"}}}}
    table = pa.table({"question": ["gr\u00f6\u00dfe?"] * 9, "label": [0, 1, -1] * 3})
    path = tmp_path / "rows.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), path)
    assert [example.label for example in read_examples(path)] == ["ripe", "raw", None] * 3
    whole = path.read_bytes()
    for at in range(4, len(whole), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        read_or_refused(path)
