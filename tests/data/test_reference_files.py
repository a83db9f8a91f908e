"""The files of the reference code load as they are: their names, their fields, and paths of other machines."""

import json

import pytest

from savs.data.benchmarks import load_benchmark

pytest.importorskip("datasets")

#: Of each benchmark: the ending of the reference's files, the columns of their rows, where two of their rows find
#: their image on another machine and here, and the labels of these rows.
REFERENCE = {
    "mhalubench": (
        "json", ("image_path", "claim"), ("hallucination", "non-hallucination"),
        {"/datasets/coco2014_2024/train2014/COCO_{}.jpg": "coco/train2014/COCO_{}.jpg",
         "/home/them/Emu/dataset/textvqa/train_images/{}.jpg": "textvqa/train_images/{}.jpg"},
    ),
    "vlguard": (
        "json", ("image", "instruction"), ("harmful", "unharmful"),
        {"/home/them/data/vlguard/{part}/HOD/{}.jpg": "vlguard/{part}/HOD/{}.jpg",
         "/home/them/data/vlguard/{part}/bad_ads/{}.png": "vlguard/{part}/bad_ads/{}.png"},
    ),
    "eurosat": (
        "json", ("image", "question", "answer"), ("Forest", "River"),
        {"/datasets/eurosat_2024/EuroSAT/Forest/{}.jpg": "eurosat/EuroSAT_RGB/Forest/{}.jpg",
         "/datasets/eurosat_2024/EuroSAT/River/{}.jpg": "eurosat/EuroSAT_RGB/River/{}.jpg"},
    ),
    "pets": (
        "json", ("image", "question", "answer"), ("Birman", "english"),
        {"/datasets/pets_2024/oxford-iiit-pet/images/Birman_{}.jpg": "pets/images/Birman_{}.jpg",
         "/datasets/pets_2024/oxford-iiit-pet/images/english_{}.jpg": "pets/images/english_{}.jpg"},
    ),
    "sugarcrepe": (
        "jsonl", ("image", "question", "split", "question_id"), ("Yes", "No"),
        {"/datasets/coco2017_2024/val2017/{}.jpg": "coco/val2017/{}.jpg",
         "/datasets/coco2017_2024/val2017/9{}.jpg": "sugarcrepe/val2017/9{}.jpg"},
    ),
    "vizwiz": (
        "jsonl", ("image", "question", "question_id"), ("unanswerable", "answerable"),
        {"data/vizwiz/{part}/VizWiz_{}.jpg": "vizwiz/{part}/VizWiz_{}.jpg",
         "data/vizwiz/{part}/VizWiz_9{}.jpg": "vizwiz/{part}/VizWiz_9{}.jpg"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCE)
def test_files_of_the_reference_load_beside_the_images_that_their_owners_pack(name, root, draw):
    ending, columns, labels, places = REFERENCE[name]
    cells = {"question": "What animal?\nA. x B. y", "answer": "A", "question_id": 11, "split": "add_att"}
    for number, part in enumerate(["train", "test"]):
        rows = []
        for i, (there, here) in enumerate(places.items()):
            draw("root/" + here.format(number, part=part), seed=2 * number + i)
            row = {column: cells.get(column, "It is.") for column in columns}
            rows.append({**row, columns[0]: there.format(number, part=part), "label": labels[i]})
        written = "\n".join(map(json.dumps, rows)) if ending == "jsonl" else json.dumps(rows)
        (root / name).mkdir(exist_ok=True)
        (root / f"{name}/{part}.{ending}").write_text(written)
    loaded = load_benchmark(name, root)
    assert [e.label for e in loaded.train] == [e.label for e in loaded.test] == list(labels)
    expected = [root / here.format(1, part="test") for here in places.values()]
    assert [e.media[0].source.resolve() for e in loaded.test] == [path.resolve() for path in expected]


def test_camerabench_of_the_reference_in_its_own_folders(root, film):
    for number, (part, name) in enumerate((p, n) for p in ("train", "test") for n in ("has_pan_left", "has_tilt_up")):
        rows = []
        for i, label in enumerate(("Yes", "No")):
            film(f"root/camerabench/videos/{2 * number + i}.mp4", [10 * number + i, 200])
            clip = f"/data3/them/videos/{2 * number + i}.mp4"
            rows.append({"image": clip, "question": "Does it pan?", "question_id": 0, "label": label})
        path = root / f"camerabench/camerabench_{part}set/{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(map(json.dumps, rows)))
    loaded = load_benchmark("camerabench", root)
    assert loaded.parts == ("has_pan_left", "has_tilt_up")
    assert [len(part.train) for _, part in loaded.by_part()] == [2, 2]
    assert {e.media[0].source.stem for e in loaded.test} == {"4", "5", "6", "7"}


def test_rewardbench_of_the_reference_has_one_file_a_category(root, draw):
    for number, (part, name) in enumerate((p, n) for p in ("train", "test") for n in ("safety", "vqa")):
        rows = []
        for i, label in enumerate(("Output1", "Output2")):
            draw(f"root/rewardbench/images/pairs/{number}{i}.png", seed=2 * number + i)
            rows.append(
                {
                    "Category": name, "ID": f"pairs_{number}{i}", "Text": "Who?",
                    "Image": f"images/pairs/{number}{i}.png", "Output1": "I", "Output2": "you", "label": label,
                }
            )  # fmt: skip
        path = root / f"rewardbench/mm_rwbench_{part}set/{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(rows))
    loaded = load_benchmark("rewardbench", root)
    assert [(e.id, e.split) for e in loaded.train] == [
        ("pairs_00", "safety"), ("pairs_01", "safety"), ("pairs_10", "vqa"), ("pairs_11", "vqa"),
    ]  # fmt: skip
    assert [len(loaded.test), loaded.parts] == [4, ()]
