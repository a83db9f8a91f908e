"""The Hub by way of a stand-in for `datasets` that serves rows from memory."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from savs.data.hub import HubName, hub_rows
from savs.data.readers import read_examples
from savs.errors import DataError


class Image:
    def __init__(self, decode=True):
        self.decode = decode


class Video(Image):
    pass


class ClassLabel:
    def __init__(self, names):
        self.names = names

    def int2str(self, number):
        return self.names[number]


class Data:
    def __init__(self, rows, features):
        self.rows, self.features = rows, features

    def cast_column(self, column, feature):
        return Data(self.rows, {**self.features, column: feature})

    def __iter__(self):
        for row in self.rows:
            for column, feature in self.features.items():
                if isinstance(feature, Image) and feature.decode:
                    pytest.fail(f"{column} would be decoded")
            yield row


@pytest.fixture
def hub(monkeypatch, draw, film):
    image, moving = draw("a.png").read_bytes(), film("a.mp4", [0, 99]).read_bytes()
    rows = [
        {"image": {"bytes": image, "path": "a.png"}, "label": 0},
        {"image": {"bytes": moving, "path": None}, "label": 1},
        {"image": {"bytes": image, "path": None}, "label": -1},
    ]
    calls = []

    def load_dataset_builder(name, config):
        files = None if name == "me/kept" else {"train": ["train.parquet"], "test": ["test.parquet"]}
        return SimpleNamespace(config=SimpleNamespace(data_files=files), info=SimpleNamespace(features=None))

    def load_dataset(name, config, *, split, streaming, data_files=None, features=None):
        calls.append((name, config, split, streaming, data_files))
        if name == "them/gone":
            raise FileNotFoundError("no such data set")
        kind = Video() if config == "films" else Image()
        chosen = [rows[1]] if config == "films" else [rows[0], rows[2]]
        return Data(chosen, {"image": kind, "label": ClassLabel(["cat", "dog"])})

    module = ModuleType("datasets")
    module.Image, module.Video = Image, Video
    module.load_dataset, module.load_dataset_builder = load_dataset, load_dataset_builder
    module.get_dataset_split_names = lambda name, config: ["train", "test"] if name == "me/two" else ["train"]
    module.exceptions = SimpleNamespace(DatasetsError=RuntimeError)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://me/pets", HubName("me/pets")),
        ("hf://me/pets/test", HubName("me/pets", split="test")),
        ("hf://BLINK-Benchmark/BLINK:Art_Style/val", HubName("BLINK-Benchmark/BLINK", "Art_Style", "val")),
        ("me/pets:small", HubName("me/pets", "small")),
        ("me/pets", HubName("me/pets")),
        ("data/train.jsonl", None),
        ("images/cat.JPG", None),
        ("train", None),
        ("/a/b", None),
        ("a/b/c/d", None),
    ],
)
def test_names(text, expected):
    assert HubName.parse(text) == expected
    if expected is not None:
        assert HubName.parse(str(expected)) == expected


def test_a_wrong_name_is_refused():
    with pytest.raises(DataError, match="expected hf://owner/name"):
        HubName.parse("hf://pets")


def test_rows_keep_their_bytes_and_have_class_names(hub):
    first, last = hub_rows(HubName("me/pets"), None)
    assert first.cells["label"] == "cat"
    assert first.location == "hf://me/pets/train[0]"
    assert first.default_id == "pets:train:0"
    assert last.cells["label"] is None
    assert hub == [("me/pets", None, "train", False, {"train": ["train.parquet"]})]


def test_examples_come_from_the_hub_by_either_name(hub):
    examples = read_examples("hf://me/pets")
    assert [(e.id, e.label) for e in examples] == [("pets:train:0", "cat"), ("pets:train:1", None)]
    assert isinstance(examples[0].media[0].source, bytes)
    assert read_examples("me/pets") == examples


def test_a_limit_streams(hub):
    assert len(read_examples("me/pets/test", limit=1)) == 1
    assert hub == [("me/pets", None, "test", True, {"test": ["test.parquet"]})]


def test_what_datasets_keeps_without_a_network_is_read_from_there(hub):
    assert len(read_examples("me/kept/test")) == 2
    assert hub == [("me/kept", None, "test", False, None)]


def test_videos_are_videos(hub):
    (example,) = read_examples("me/pets:films/train")
    assert (example.media[0].kind, example.label) == ("video", "dog")


def test_what_the_hub_refuses_is_told_with_what_to_check(hub):
    with pytest.raises(DataError, match=r"hf://me/two: has the splits train, test; name one, as in hf://me/two/train"):
        read_examples("me/two")
    with pytest.raises(
        DataError, match=r"hf://them/gone/train: cannot be read from the Hub \(no such data set\); check owner"
    ):
        read_examples("hf://them/gone/train")


def test_without_datasets_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'savs\[hub\]'"):
        read_examples("hf://me/pets")


@pytest.mark.parametrize("limit", [None, 2])
def test_a_snapshot_is_read_by_the_real_library_with_class_names_and_untouched_bytes(root, snapshot, picture, limit):
    datasets = pytest.importorskip("datasets")
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    rows = [{"image": picture(i), "label": i % 2} for i in range(3)]
    snapshot("pets", features, test=rows)
    found = list(hub_rows(HubName(str(root / "pets")), limit))
    assert [row.cells["label"] for row in found] == ["cat", "dog", "cat"][:limit]
    assert [row.cells["image"]["bytes"] for row in found] == [row["image"]["bytes"] for row in rows][:limit]
    assert found[1].location == f"{root / 'pets'}/test[1]"
    with pytest.raises(DataError, match="cannot be read from the Hub"):
        list(hub_rows(HubName(str(root / "pets"), split="nowhere"), limit))


@pytest.mark.parametrize("limit", [None, 3])
def test_no_file_of_another_split_is_opened(root, snapshot, limit):
    datasets = pytest.importorskip("datasets")
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["cat", "dog"])}
    rows = [{"text": f"{i}?", "label": i % 2} for i in range(3)]
    snapshot("pets", features, train=rows, test=rows)
    (root / "pets/data/train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    found = list(hub_rows(HubName(str(root / "pets"), split="test"), limit))
    assert [row.cells for row in found] == [{**row, "label": ("cat", "dog")[row["label"]]} for row in rows]
    with pytest.raises(DataError, match="cannot be read from the Hub"):
        list(hub_rows(HubName(str(root / "pets"), split="train"), limit))


def test_a_split_that_is_not_there_is_refused_before_anything_is_fetched(hub):
    with pytest.raises(DataError, match=r"\(there is no split 'tset' among train, test\)"):
        read_examples("me/pets/tset")
    assert hub == []


def test_what_datasets_saved_is_read_as_it_was(root, picture):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = [{"image": picture(i), "label": (1, 0, -1)[i]} for i in range(3)]
    saved = datasets.Dataset.from_list(rows, features=features)
    saved.save_to_disk(root / "pets")
    datasets.DatasetDict(train=saved, test=saved).save_to_disk(root / "parted")
    for folder in (root / "pets", root / "parted/test"):
        examples = read_examples(folder)
        assert [example.label for example in examples] == ["dog", "cat", None]
        assert [example.media[0].source for example in examples] == [row["image"]["bytes"] for row in rows]
        assert [example.id for example in examples] == [f"{folder.name}:{i}" for i in range(3)]
    with pytest.raises(DataError, match="parted: has the splits test, train; name one, as in .*parted/test"):
        read_examples(root / "parted")
    next((root / "pets").glob("*.arrow")).write_bytes(b"broken")
    with pytest.raises(DataError, match="pets: cannot be read"):
        read_examples(root / "pets")
