"""The image classifications load from every shape that their data come in, and are asked as multiple choice."""

import pytest

from savs.data.benchmarks import load_benchmark
from savs.data.readers import read_examples
from savs.errors import DataError

datasets = pytest.importorskip("datasets")
PETS = ["abyssinian", "american_bulldog", "beagle", "great_pyrenees", "pug", "sphynx"]


def test_pets_from_the_hub(snapshot, root, picture):
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=PETS),
        "image_id": datasets.Value("string"),
        "label_cat_dog": datasets.ClassLabel(names=["cat", "dog"]),
    }
    rows = [
        {"image": picture(i), "label": i % 6, "image_id": f"{PETS[i % 6]}_{i}", "label_cat_dog": 0} for i in range(24)
    ]
    snapshot("pets", features, train=rows[:12], test=rows[12:])
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
    few = load_benchmark("pets", root, most_train=1)
    assert few.test == loaded.test
    assert sorted(str(example.label) for example in few.train) == list(loaded.classes)


def test_an_image_of_training_is_left_out_of_the_test_whatever_options_stand_beside_it(snapshot, root, picture):
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=PETS)}
    train = [{"image": picture(i), "label": i % 6} for i in range(12)]
    test = [{"image": picture(i), "label": i % 6} for i in range(10, 20)]
    snapshot("pets", features, train=train, test=test)
    loaded = load_benchmark("pets", root)
    assert [len(loaded.train), len(loaded.test), loaded.left_out, loaded.leaks] == [12, 8, 2, ()]


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


def test_eurosat_from_the_hub_and_as_its_owners_pack_it(snapshot, root, picture, draw):
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=EUROSAT),
        "image_id": datasets.Value("string"),
    }
    rows = [{"image": picture(i), "label": i % 10, "image_id": f"{EUROSAT[i % 10]}_{i}"} for i in range(20)]
    snapshot("eurosat", features, train=rows[:10], validation=rows[10:12], test=rows[12:])
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


def test_imagenet_names_come_from_the_file_that_the_user_has(root, draw):
    synsets = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}
    lines = ["ImageId,PredictionString"]
    for i in range(15):
        synset = list(synsets)[i % 3]
        draw(f"root/imagenet/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_{i:08}.JPEG", seed=i)
        lines.append(f"ILSVRC2012_val_{i:08},{synset} 85 1 499 272 {synset} 1 2 3 4 ")
    (root / "imagenet/LOC_val_solution.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"need LOC_synset_mapping\.txt or synset_words\.txt"):
        load_benchmark("imagenet", root)
    mapping = "".join(f"{key} {name}\n" for key, name in synsets.items())
    (root / "imagenet/LOC_synset_mapping.txt").write_text(mapping)
    loaded = load_benchmark("imagenet", root)
    assert loaded.classes == ("crane (n02012849)", "crane (n03126707)", "tench, Tinca tinca")
    assert [len(loaded.train), len(loaded.test)] == [6, 9]
    assert len(loaded.test[0].choices) == 3


def test_imagenet_in_numbered_folders(root, draw):
    for i in range(10):
        draw(f"root/imagenet/val/{('n01440764', 'n01443537')[i % 2]}/{i}.JPEG", seed=i)
    (root / "imagenet/synset_words.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    loaded = load_benchmark("imagenet", root)
    assert loaded.classes == ("goldfish", "tench, Tinca tinca")
    assert [len(loaded.train), len(loaded.test)] == [4, 6]


def test_images_without_a_label_need_no_names(root, draw):
    draw("root/new/1.JPEG")
    (example,) = read_examples(root / "new", task="imagenet")
    assert (example.label, example.text) == (None, "What is in the image?\nAnswer with the class name.")


def test_imagenet_from_the_hub_is_sixteen_way(snapshot, root, picture):
    names = [f"thing {i:02}, res {i}" for i in range(20)]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    snapshot("imagenet", features, validation=[{"image": picture(i), "label": i % 20} for i in range(60)])
    loaded = load_benchmark("imagenet", root)
    assert [len(loaded.train), len(loaded.test)] == [20, 40]
    assert {len(set(e.choices)) for e in (*loaded.train, *loaded.test)} == {16}
    assert all(e.label in e.choices and f"P. {e.choices[15]}\nAnswer" in e.text for e in loaded.test)


def test_flowers_as_their_owners_pack_them(root, draw):
    scipy_io = pytest.importorskip("scipy.io")
    (root / "flowers").mkdir()
    labels = [77, 1, 102, 77, 1, 102, 77, 1, 102]
    scipy_io.savemat(root / "flowers/imagelabels.mat", {"labels": [labels]})
    splits = {"trnid": [[1, 2, 3]], "valid": [[6, 5, 4]], "tstid": [[9, 8, 7]]}
    scipy_io.savemat(root / "flowers/setid.mat", splits)
    for number in range(1, 10):
        draw(f"root/flowers/jpg/image_{number:05}.jpg", seed=number)
    loaded = load_benchmark("flowers", root)
    assert [e.media[0].source.name for e in loaded.train] == [f"image_0000{i}.jpg" for i in range(1, 7)]
    assert [e.label for e in loaded.test] == ["passion flower", "pink primrose", "blackberry lily"]
    assert loaded.test[0].text.startswith("What type of flower is in the image?\nA. ")


def test_flowers_from_the_hub_train_on_both_of_their_smaller_parts(snapshot, root, picture):
    names = ["rose", "lotus", "globe-flower", "tree poppy", "azalea"]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    rows = [{"image": picture(i), "label": i % 5} for i in range(20)]
    snapshot("flowers", features, train=rows[:5], validation=rows[5:10], test=rows[10:])
    loaded = load_benchmark("flowers", root)
    assert [len(loaded.train), len(loaded.test)] == [10, 10]
    assert {e.label for e in loaded.test} == set(names)
    assert len({e.id for e in loaded.train}) == 10


def test_birds_as_their_owners_pack_them(root, draw):
    folder = root / "cub/CUB_200_2011"
    kinds = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]
    images = [f"{kinds[i % 3]}/Bird_{i}.jpg" for i in range(9)]
    for i, name in enumerate(images):
        draw(f"root/cub/CUB_200_2011/images/{name}", seed=i)
    (folder / "classes.txt").write_text("".join(f"{i} {kind}\n" for i, kind in enumerate(kinds, 1)))
    (folder / "images.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(images, 1)))
    (folder / "image_class_labels.txt").write_text("".join(f"{i + 1} {i % 3 + 1}\n" for i in range(9)))
    (folder / "train_test_split.txt").write_text("".join(f"{i + 1} {int(i < 6)}\n" for i in range(9)))
    loaded = load_benchmark("cub", root)
    assert [len(loaded.train), len(loaded.test)] == [6, 3]
    assert [e.label for e in loaded.test] == ["Black footed Albatross", "Laysan Albatross", "Sooty Albatross"]
    assert loaded.test[0].media[0].source.name == "Bird_6.jpg"
