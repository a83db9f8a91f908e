"""Every benchmark is read from a user's own rows, and every image classification from class folders."""

import csv
import json

import pytest

from savs.data.benchmark_specs import benchmark_columns, benchmarks, spec_of
from savs.data.benchmarks import load_benchmark
from savs.errors import DataError

pytest.importorskip("datasets")

CLASSIFICATIONS = {
    "pets": ["great_pyrenees", "pug"],
    "flowers": ["rose", "lotus"],
    "cub": ["017.Cardinal", "018.Spotted_Catbird"],
    "eurosat": ["Forest", "River"],
    "imagenet": ["tench, Tinca tinca", "goldfish"],
}
CAPTION = "Does this image show '{}'?"
#: Two rows of each benchmark in the columns of its task, one of either class; `{}` stands for a number of their own.
ROWS = {
    "blink": [{"question": "Which? (A) one (B) two", "image_1": "{}.png", "label": label} for label in "AB"],
    "camerabench": [{"image": "{}.mp4", "question": "Does it pan?", "label": label} for label in ("Yes", "No")],
    "mhalubench": [
        {"image_path": "{}.png", "claim": "A hat", "label": label} for label in ("hallucination", "non-hallucination")
    ],
    "naturalbench_retrieval": [
        {"image": "{}.png", "question": CAPTION.format("{}"), "question_id": "{}", "group": "{}", "label": label}
        for label in ("Yes", "No")
    ],
    "naturalbench_vqa": [
        {
            "Index": "{}", "Image_0": "{}.png", "Image_1": "{}.png", "Question_0": "Is it {}?", "Question_1": "Or {}?",
            "Image_0_Question_0": "Yes", "Image_1_Question_0": "No", "Image_0_Question_1": "No",
            "Image_1_Question_1": "Yes", "Question Type": "yes_no",
        }
    ] * 2,
    "rewardbench": [
        {"Text": "Who?", "Image": "{}.png", "Output1": "I", "Output2": "you", "label": label}
        for label in ("Output1", "Output2")
    ],
    "sugarcrepe": [
        {"image": "{}.png", "question": CAPTION.format("{}"), "split": "add_att", "question_id": "{}", "label": label}
        for label in ("Yes", "No")
    ],
    "vizwiz": [
        {"image": "{}.png", "question": "What?", "question_id": "{}", "label": label}
        for label in ("unanswerable", "soap")
    ],
    "vlguard": [
        {"image": "{}.png", "instruction": "Who is it?", "label": label} for label in ("harmful", "unharmful")
    ],
    **{
        name: [{"image": "{}.png", "label": label} for label in labels] for name, labels in CLASSIFICATIONS.items()
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "classes"), CLASSIFICATIONS.items())
def test_image_classifications_load_from_class_folders(name, classes, root, draw):
    for number, part in enumerate(["train", "test"] * 2):
        for i, label in enumerate(classes):
            draw(f"root/{name}/{part}/{label}/{number // 2}.jpg", seed=2 * number + i)
    loaded = load_benchmark(name, root)
    assert [len(loaded.train), len(loaded.test), loaded.left_out] == [4, 4, 0]
    assert loaded.leaks == (), "files of one name are not one image"
    assert all(example.label in example.choices for example in loaded.test)
    assert {example.media[0].source.parts[-3] for example in loaded.test} == {"test"}


def numbered(row, number):
    return {column: value.format(number, number) for column, value in row.items()}


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
            return
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
@pytest.mark.parametrize("name", [spec.name for spec in benchmarks()])
def test_every_benchmark_is_read_from_a_users_own_rows(name, suffix, root, draw, film):
    rows = []
    for number in range(10):
        if name == "camerabench":
            film(f"root/{name}/{number}.mp4", [10 * number, 200])
        else:
            draw(f"root/{name}/{number}.png", seed=number)
        rows.append(numbered(ROWS[name][number % 2], number))
    column = next(column for column in benchmark_columns() if spec_of(column).name == name)
    write(root / name / f"train.{suffix}", rows[:4])
    write(root / name / f"test.{suffix}", rows[4:])
    parted = load_benchmark(column, root)
    each = len(parted.train) // 4
    ((_, only),) = parted.by_part()
    assert [len(only.train), len(only.test)] == [4 * each, 6 * each]
    assert len(parted.classes) == 2
    for file in root.glob(f"{name}/t*"):
        file.unlink()
    write(root / name / f"all.{suffix}", rows)
    whole = load_benchmark(column, root)
    assert len(whole.train) + len(whole.test) == 10 * each
    assert {example.label for example in whole.test} == {example.label for example in parted.test}
    (root / name / f"all.{suffix}").rename(root / name / f"mine.{suffix}")


def test_what_is_called_otherwise_is_not_guessed_at(root):
    (root / "vlguard").mkdir()
    (root / "vlguard/mine.csv").write_text("image,instruction,label\n")
    expected = (
        r"looked for train\.json\* with test\.json\*; or train\.\?sv with test\.\?sv; or all\.json\*; or all\.\?sv"
    )
    with pytest.raises(DataError, match=expected):
        load_benchmark("vlguard", root)
    with pytest.raises(DataError, match=r"all\.\?sv; or train with test\."):
        load_benchmark("pets", root)


def test_retrieval_rows_keep_the_groups_that_they_name(root, draw):
    rows = []
    for number in range(8):
        draw(f"root/naturalbench_retrieval/{number}.png", seed=number)
        question = {"question": CAPTION.format(number), "question_id": number + 1, "group": "ab"[number % 2]}
        rows.append({"image": f"{number}.png", **question, "label": ("Yes", "No")[number // 4]})
    write(root / "naturalbench_retrieval/all.jsonl", rows)
    loaded = load_benchmark("naturalbench_ret_group", root)
    assert {example.group for example in (*loaded.train, *loaded.test)} == {"a", "b"}
