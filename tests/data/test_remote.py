"""Data in object stores, by URL, and Parquet: the same examples as from files here, and clear errors."""

import dataclasses
import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from savs.data.example import Example, Media
from savs.data.keys import example_keys
from savs.data.media import open_image, sample_frames
from savs.data.paths import locate
from savs.data.readers import read_examples
from savs.data.remote import as_path
from savs.errors import DataError

upath = pytest.importorskip("upath", reason="URLs need universal-pathlib: pip install 'savs[remote]'")


@pytest.fixture
def bucket(tmp_path):
    """Puts files under tmp_path into an object store in memory, under the same names."""
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]

    def fill():
        for path in tmp_path.rglob("*"):
            if path.is_file():
                target = upath.UPath("memory://bucket") / path.relative_to(tmp_path).as_posix()
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        return "memory://bucket"

    return fill


def told(examples):
    """What can be told of examples wherever their files lie."""
    return [dataclasses.replace(example, media=(), location=None) for example in examples], example_keys(examples)


def test_a_data_file_with_its_media(bucket, draw, film, jsonl):
    draw("pics/a.png")
    film("c.mp4", [0, 99])
    rows = [{"image": "pics/a.png", "label": "x"}, {"image": ["pics/a.png", "c.mp4"], "label": "y"}]
    here = read_examples(jsonl(*rows))
    there = read_examples(f"{bucket()}/rows.jsonl")
    assert told(there) == told(here)
    assert there[1].location == "memory://bucket/rows.jsonl:2"
    assert [media.kind for media in there[1].media] == ["image", "video"]
    assert open_image(there[0].media[0]).tobytes() == open_image(here[0].media[0]).tobytes()
    frames = [[frame.tobytes() for frame in sample_frames(one[1].media[1], 3)] for one in (here, there)]
    assert frames[0] == frames[1]
    assert pickle.loads(pickle.dumps(there)) == there  # as workers are sent it


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.parquet"])
def test_every_format(name, bucket, draw, tmp_path):
    draw("a.png")
    path = tmp_path / name
    if name == "rows.csv":
        path.write_text("image,label\na.png,x\na.png,y\n")
    elif name == "rows.json":
        path.write_text(json.dumps([{"image": "a.png", "label": label} for label in "xy"]))
    else:
        pq.write_table(pa.table({"image": ["a.png", "a.png"], "label": ["x", "y"]}), path)
    assert told(read_examples(f"{bucket()}/{name}")) == told(read_examples(path))


def test_a_table_in_many_parts(bucket, draw, tmp_path):
    """A folder of Parquet files is one table, in the order of their names; splits are not mixed."""
    (tmp_path / "table").mkdir()
    for i in (2, 10, 1):
        rows = [{"question": f"{i}?", "label": "xy"[k]} for k in range(2)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"table/part-{i:03}.snappy.parquet")
    (tmp_path / "table/_SUCCESS").touch()
    here = read_examples(tmp_path / "table")
    assert [(example.id, example.label) for example in here] == [
        (f"part-{i:03}.snappy:{k}", "xy"[k]) for i in (1, 2, 10) for k in range(2)
    ]
    assert told(read_examples(f"{bucket()}/table")) == told(here)
    draw("table/a.png")
    assert len(read_examples(tmp_path / "table")) == 1  # the image: tables beside media are what they always were
    for before in ("", "pets_"):
        splits = tmp_path / f"splits of {before}"
        splits.mkdir()
        for name in ("train-0.parquet", "test-0.parquet"):
            pq.write_table(pa.table({"question": ["a?"]}), splits / f"{before}{name}")
        with pytest.raises(DataError, match=rf"did you mean .*{before}test-0\.parquet or .*{before}train-0\.parquet"):
            read_examples(splits)


def test_a_folder_of_class_folders(bucket, draw, tmp_path):
    for i, name in enumerate(["flowers/rose/1.png", "flowers/rose/2.png", "flowers/tulip/1.png", "flowers/loose.png"]):
        draw(name, seed=i)
    there = read_examples(f"{bucket()}/flowers")
    assert told(there) == told(read_examples(tmp_path / "flowers"))
    assert [(example.id, example.label) for example in there] == [
        ("loose.png", None), ("rose/1.png", "rose"), ("rose/2.png", "rose"), ("tulip/1.png", "tulip"),
    ]  # fmt: skip


def test_rows_here_may_name_media_there(bucket, draw, jsonl):
    draw("a.png")
    [here] = read_examples(jsonl({"image": "a.png", "label": "x"}))
    [there] = read_examples(jsonl({"image": f"{bucket()}/a.png", "label": "x"}))
    assert told([there]) == told([here]) and str(there.media[0]) == "memory://bucket/a.png"


@pytest.mark.parametrize("kept", ["", "simplecache::"])
def test_a_file_is_the_same_by_path_and_by_url(kept, draw):
    path = draw("a.png")
    here, there = (Example("e", "text", (Media(file),)) for file in (path, as_path(f"{kept}{path.as_uri()}")))
    assert example_keys([there]) == example_keys([here])


def test_what_is_wrong_is_told(bucket, jsonl, draw, tmp_path):
    draw("a.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    jsonl({"image": "gone.png"}, {"image": "broken.png"})
    url = f"{bucket()}/rows.jsonl"
    with pytest.raises(DataError, match="rows.jsonl:1: there is no file memory://bucket/gone.png"):
        read_examples(url)
    bad = []
    with pytest.raises(DataError):
        read_examples(url, on_bad=bad.append)
    assert "memory://bucket/broken.png is damaged or cut short" in bad[1].reason
    for source, message in (
        ("memory://bucket/nothing", "no file or folder 'memory://bucket/nothing'"),
        ("nonsense://bucket/rows.jsonl", "cannot be read .*expected a path, or a URL that fsspec knows"),
        ("https://example.org/rows.jsonl", "is a web address; expected a file"),
    ):
        with pytest.raises(DataError, match=message):
            read_examples(source)


def test_with_a_root_a_url_names_nothing_outside_it(bucket, draw, tmp_path):
    draw("outside/a.png")
    draw("root/b.png")
    bucket()
    with pytest.raises(DataError, match="nor any shorter end of it is a file under the image root"):
        locate("memory://bucket/outside/a.png", None, tmp_path / "root")
    assert locate("memory://bucket/pics/b.png", None, tmp_path / "root") == tmp_path / "root" / "b.png"


def test_parquet_as_the_hub_writes_it(draw, tmp_path):
    """Images in the file, and numbers for classes, whose names stand in its metadata."""
    datasets = pytest.importorskip("datasets")
    path = draw("a.png")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["rose", "tulip"])})
    images = [{"bytes": path.read_bytes(), "path": None}] * 3
    data = datasets.Dataset.from_dict({"image": images, "label": [1, 0, -1]}, features=features)
    data.to_parquet(tmp_path / "rows.parquet")
    examples = read_examples(tmp_path / "rows.parquet")
    assert [example.label for example in examples] == ["tulip", "rose", None]
    assert [example.id for example in examples] == ["rows:0", "rows:1", "rows:2"]
    assert examples[2].location == f"{tmp_path}/rows.parquet[2]"
    assert all(example.media == (Media(path.read_bytes()),) for example in examples)


def test_damaged_parquet_is_told(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"question": ["a"] * 100, "label": ["x"] * 100}), path)
    whole = path.read_bytes()
    for cut in (5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"rows.parquet: cannot be read as Parquet .*make or get it again"):
            read_examples(path)
