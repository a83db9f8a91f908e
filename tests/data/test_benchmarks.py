"""Every benchmark loads from every shape that its data come in: fixtures with the fields of the real files."""

import json

import pytest

from savs.data.benchmarks import benchmark_columns, benchmarks, load_benchmark
from savs.errors import DataError

datasets = pytest.importorskip("datasets")
PETS = ["abyssinian", "american_bulldog", "beagle", "great_pyrenees", "pug", "sphynx"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root; whatever `datasets` keeps stays beside it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def hub(root):
    """Write a data set as a snapshot of the Hub's: parquet files under `data/`, or under a configuration's name."""

    def write(name, features, *, config="data", **splits):
        for split, rows in splits.items():
            folder = root / name / config
            folder.mkdir(parents=True, exist_ok=True)
            data = datasets.Dataset.from_list(rows, features=datasets.Features(features))
            data.to_parquet(folder / f"{split}-00000-of-00001.parquet")

    return write


@pytest.fixture
def picture(draw):
    """The bytes of an image of its own for every number."""
    return lambda number: {"bytes": draw(f"pictures/{number}.png", seed=number).read_bytes(), "path": f"{number}.png"}


def test_every_column_of_the_paper_has_a_benchmark():
    assert set(benchmark_columns()) >= {
        "pets", "eurosat", "sugarcrepe", "naturalbench_text", "naturalbench_image", "naturalbench_group",
        "naturalbench_ret_text", "naturalbench_ret_image", "naturalbench_ret_group",
    }  # fmt: skip


@pytest.mark.parametrize("spec", benchmarks(), ids=lambda spec: spec.name)
def test_missing_data_are_told_with_what_was_looked_for_and_where_to_get_them(spec, root):
    for column in spec.columns:
        with pytest.raises(DataError) as caught:
            load_benchmark(column, root)
        assert str(root / spec.name) in str(caught.value)
        assert spec.address in str(caught.value)
        assert spec.licence in str(caught.value)


def test_pets_from_the_hub(hub, root, picture):
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=PETS),
        "image_id": datasets.Value("string"),
        "label_cat_dog": datasets.ClassLabel(names=["cat", "dog"]),
    }
    rows = [
        {"image": picture(i), "label": i % 6, "image_id": f"{PETS[i % 6]}_{i}", "label_cat_dog": 0} for i in range(24)
    ]
    hub("pets", features, train=rows[:12], test=rows[12:])
    loaded = load_benchmark("pets", root)
    assert [example.label for example in loaded.test[:3]] == ["abyssinian", "american bulldog", "beagle"]
    assert (len(loaded.train), len(loaded.test), loaded.classes[3]) == (12, 12, "great pyrenees")
    assert loaded.test[0].media[0].source == picture(12)["bytes"]
    for example in (*loaded.train, *loaded.test):
        assert len(set(example.choices)) == 4
        assert example.label in example.choices
        assert set(example.choices) <= set(loaded.classes)
        options = " ".join(f"{letter}. {option}" for letter, option in zip("ABCD", example.choices, strict=True))
        assert example.text == f"What type of animal is in the image?\n{options}\nAnswer with the class name."
    assert load_benchmark("pets", root) == loaded
    assert load_benchmark("pets", root, seed=1) != loaded


def test_pets_as_its_owners_pack_it(root, draw):
    lines = {
        "trainval": ["Abyssinian_100 1 1 1", "american_bulldog_7 2 2 1", "great_pyrenees_2 16 2 9", "pug_1 27 2 16"],
        "test": ["pug_204 27 2 16", "great_pyrenees_171 16 2 9"],
    }
    (root / "pets/annotations").mkdir(parents=True)
    for part, rows in lines.items():
        (root / f"pets/annotations/{part}.txt").write_text("#Image CLASS-ID SPECIES BREED ID\n" + "\n".join(rows))
        for seed, row in enumerate(rows):
            draw(f"root/pets/images/{row.split()[0]}.jpg", seed=seed + 10 * len(rows))
    loaded = load_benchmark("pets", root)
    assert loaded.classes == ("Abyssinian", "american bulldog", "great pyrenees", "pug")
    assert [(e.label, e.media[0].source.name) for e in loaded.test] == [
        ("pug", "pug_204.jpg"),
        ("great pyrenees", "great_pyrenees_171.jpg"),
    ]
    assert sorted(loaded.test[0].choices) == sorted(loaded.classes)


EUROSAT = ["AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop",
           "Residential", "River", "SeaLake"]  # fmt: skip


def test_eurosat_from_the_hub_and_as_its_owners_pack_it(hub, root, picture, draw):
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=EUROSAT),
        "image_id": datasets.Value("string"),
    }
    rows = [{"image": picture(i), "label": i % 10, "image_id": f"{EUROSAT[i % 10]}_{i}"} for i in range(20)]
    hub("eurosat", features, train=rows[:10], validation=rows[10:12], test=rows[12:])
    from_hub = load_benchmark("eurosat", root)
    assert [e.label for e in from_hub.test] == EUROSAT[2:]
    for i, name in enumerate(EUROSAT):
        for number in range(5):
            draw(f"root/eurosat/EuroSAT_RGB/{name}/{name}_{number}.jpg", seed=100 + 5 * i + number)
    owned = load_benchmark("eurosat", root)
    assert [len(owned.train), len(owned.test)] == [10, 40]
    assert {e.label for e in owned.train} == set(EUROSAT)
    for loaded in (from_hub, owned):
        question = "What type of remote sensing image does the given image belong to?\nA. "
        assert all(e.text.startswith(question) and len(set(e.choices)) == 4 for e in (*loaded.train, *loaded.test))


def natural(i, picture):
    free = i % 2 == 0
    ask = (
        ("Is it {}?", "Is it not {}?")
        if free
        else ("Which {}?\nOption: A: I; B: you;", "What {}?\nOption: A: it; B: that;")
    )
    yes, no = ("Yes", "No") if free else ("A", "B")
    return {
        "Index": i, "Image_0": picture(2 * i), "Image_1": picture(2 * i + 1),
        "Question_0": ask[0].format(i), "Image_0_Question_0": yes, "Image_1_Question_0": no,
        "Question_1": ask[1].format(i), "Image_0_Question_1": no, "Image_1_Question_1": yes,
        "Question_Type": "yes_no" if free else "multiple_choice", "Source": "flickr",
    }  # fmt: skip


def test_naturalbench_questions_from_the_hub(hub, root, picture):
    text = datasets.Value("string")
    features = {
        "Index": datasets.Value("int64"), "Image_0": datasets.Image(), "Image_1": datasets.Image(),
        "Question_0": text, "Image_0_Question_0": text, "Image_1_Question_0": text, "Question_1": text,
        "Image_0_Question_1": text, "Image_1_Question_1": text, "Question_Type": text, "Source": text,
    }  # fmt: skip
    hub("naturalbench_vqa", features, train=[natural(i, picture) for i in range(10)])
    loaded = load_benchmark("naturalbench_text", root)
    assert [len(loaded.train), len(loaded.test), loaded.score] == [8, 32, "question"]
    assert not {e.group for e in loaded.train} & {e.group for e in loaded.test}
    examples = {e.id: e for e in (*loaded.train, *loaded.test)}
    assert examples["2/image1-question0"].text == "Is it 2?\nOption: A: Yes; B: No;"
    assert examples["2/image1-question0"].label == "B"
    assert examples["3/image1-question1"].text == "What 3?\nOption: A: it; B: that;"
    assert {e.split for e in examples.values()} == {"yes_no", "multiple_choice"}
    assert load_benchmark("naturalbench_group", root).test == loaded.test


def test_naturalbench_retrieval_as_its_owners_pack_it(root, draw):
    rows = []
    for i in range(10):
        for image in (0, 1):
            draw(f"root/naturalbench_retrieval/NaturalBench-Retrieval/images/{i}_{image}.jpg", seed=2 * i + image)
        rows.append(
            {"index": i, "image_0": f"{i}_0.jpg", "image_1": f"{i}_1.jpg", "caption_0": f"a {i}", "caption_1": f"b {i}"}
        )
    path = root / "naturalbench_retrieval/NaturalBench-Retrieval/metadata.json"
    path.write_text(json.dumps(rows))
    loaded = load_benchmark("naturalbench_ret_group", root)
    examples = {e.id: e for e in (*loaded.train, *loaded.test)}
    assert len(examples) == 40
    assert {e.id[2:]: e.label for e in examples.values() if e.group == "4"} == {
        "image0-caption0": "Yes", "image1-caption0": "No", "image0-caption1": "No", "image1-caption1": "Yes",
    }  # fmt: skip
    assert examples["4/image1-caption0"].text == "Does this image show 'a 4'? Please answer with Yes or No."
    assert examples["4/image1-caption0"].media[0].source.name == "4_1.jpg"


def test_the_references_retrieval_pairs_are_left_out_of_its_test_with_their_groups(root, draw):
    for number in range(8):
        draw(f"root/naturalbench_retrieval/coco/{number}.jpg", seed=number)

    def row(number, image, caption, label):
        question = f"Does this image show 'caption {caption}'?"
        return {"image": f"/far/coco/{image}.jpg", "question": question, "question_id": number, "label": label}

    test = [
        row(4 * group + 2 * c + i + 1, 2 * group + i, 2 * group + c, "Yes" if i == c else "No")
        for group in range(4) for c in (0, 1) for i in (0, 1)
    ]  # fmt: skip
    for name, rows in (("train", test[1:3]), ("test", test)):
        path = root / f"naturalbench_retrieval/{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
    loaded = load_benchmark("naturalbench_ret_text", root)
    assert [len(loaded.train), len(loaded.test), loaded.left_out] == [2, 12, 4]
    assert {e.group for e in loaded.test} == {"1", "2", "3"}
    assert loaded.leaks == ()


SPLITS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")


def test_sugarcrepe_as_its_owners_pack_it(root, draw):
    for number in range(10):
        draw(f"root/coco/val2017/{number:012}.jpg", seed=number)
    (root / "sugarcrepe").mkdir()
    for split in SPLITS:
        rows = {
            str(i): {"filename": f"{i:012}.jpg", "caption": f"{split} {i}", "negative_caption": f"no {split} {i}"}
            for i in range(10)
        }
        (root / f"sugarcrepe/{split}.json").write_text(json.dumps(rows))
    loaded = load_benchmark("sugarcrepe", root)
    assert [len(loaded.train) + len(loaded.test), loaded.score] == [140, "pairs"]
    assert {e.split for e in loaded.train} == {e.split for e in loaded.test} == set(SPLITS)
    seen, unseen = ({e.media[0].source for e in part} for part in (loaded.train, loaded.test))
    assert not seen & unseen, "an image that is asked about in several splits is on one side"
    assert loaded.leaks == ()
    pair = {e.id: e for e in (*loaded.train, *loaded.test) if e.group == "swap_obj/3"}
    assert {name: (e.text, e.label) for name, e in pair.items()} == {
        "swap_obj:3/caption": ("Does this image show 'swap_obj 3'? Please answer with Yes or No.", "Yes"),
        "swap_obj:3/negative": ("Does this image show 'no swap_obj 3'? Please answer with Yes or No.", "No"),
    }
