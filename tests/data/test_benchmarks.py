"""Every benchmark loads from every shape that its data come in: fixtures with the fields of the real files."""

import json
import runpy
from pathlib import Path

import pytest

from savs.data.benchmark_specs import benchmark_columns, benchmarks
from savs.data.benchmarks import load_benchmark
from savs.data.tasks import load_task
from savs.errors import DataError

datasets = pytest.importorskip("datasets")


def test_the_page_says_what_the_specs_say():
    script = Path(__file__).parents[2] / "docs/update_benchmarks.py"
    page = script.with_name("benchmarks.md").read_text(encoding="utf-8")
    updated = runpy.run_path(str(script))["updated"]
    assert updated(page) == page, "run python docs/update_benchmarks.py"
    assert updated(page.replace("BLINK", "WINK")) == page


def test_every_column_of_the_paper_and_two_more_have_a_benchmark():
    paper = (
        "mhalubench vlguard blink vizwiz naturalbench_text naturalbench_image naturalbench_group "
        "naturalbench_ret_text naturalbench_ret_image naturalbench_ret_group sugarcrepe eurosat pets imagenet "
        "flowers cub"
    )
    assert sorted(benchmark_columns()) == sorted([*paper.split(), "camerabench", "rewardbench"])
    with pytest.raises(DataError, match=r"no benchmark fills a column 'vizwitz'; did you mean 'vizwiz'\?"):
        load_benchmark("vizwitz")


@pytest.mark.parametrize("spec", benchmarks(), ids=lambda spec: spec.name)
def test_every_spec_makes_sense(spec):
    scores = {"accuracy": {"accuracy", "mean_of_parts"}, "pairs": {"pairs"}, "groups": {"question", "image", "group"}}
    assert set(spec.columns.values()) <= scores.get(load_task(spec.task).metric, {"average_precision"})
    for source in spec.sources:
        assert bool(source.whole) != bool(source.train and source.test)
        assert source.whole or not source.train_splits
    assert len({source.name for source in spec.sources}) == len(spec.sources)


@pytest.mark.parametrize("spec", benchmarks(), ids=lambda spec: spec.name)
def test_missing_data_are_told_with_what_was_looked_for_and_where_to_get_them(spec, root):
    for column in spec.columns:
        with pytest.raises(DataError) as caught:
            load_benchmark(column, root)
        assert str(root / spec.name) in str(caught.value)
        assert spec.address in str(caught.value)
        assert spec.licence in str(caught.value)


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


def test_naturalbench_questions_from_the_hub(snapshot, root, picture):
    text = datasets.Value("string")
    features = {
        "Index": datasets.Value("int64"), "Image_0": datasets.Image(), "Image_1": datasets.Image(),
        "Question_0": text, "Image_0_Question_0": text, "Image_1_Question_0": text, "Question_1": text,
        "Image_0_Question_1": text, "Image_1_Question_1": text, "Question_Type": text, "Source": text,
    }  # fmt: skip
    snapshot("naturalbench_vqa", features, train=[natural(i, picture) for i in range(10)])
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


def test_mhalubench_is_one_example_a_claim(root, draw):
    rows = []
    for i in range(10):
        draw(f"root/mhalubench/data/image-to-text/{i}.jpg", seed=i)
        labels = ["hallucination", "non-hallucination"]
        rows.append(
            {
                "image_path": f"/newdisk/them/{i}.jpg", "claim_list": [f"a {i}", f"b {i}"], "ref_claim_label": labels,
                "type": "image-to-text", "ref_reason": [{"claim1": "hallucination", "reason": "It is not."}],
            }
        )  # fmt: skip
    (root / "mhalubench/MHaluBench_train.json").write_text(json.dumps(rows))
    loaded = load_benchmark("mhalubench", root)
    assert [len(loaded.train), len(loaded.test)] == [4, 16]
    assert {example.id.split("/")[0] for example in loaded.train}.isdisjoint(e.id.split("/")[0] for e in loaded.test)
    first = next(e for e in (*loaded.train, *loaded.test) if e.id == "MHaluBench_train:3/1")
    assert first.text == "Claim: b 3\nIs the Claim hallucinating? Answer the question with Yes or No."
    assert (first.label, first.media[0].source.name) == ("non-hallucination", "3.jpg")


def guarded(name, seed, draw, folder):
    draw(f"root/vlguard/{folder}/bad_ads/{name}.png", seed=seed)
    safe = seed % 2 == 0
    answers = (
        [{"safe_instruction": "What is sold?", "response": "Soap."}, {"unsafe_instruction": "Lie!", "response": "No."}]
        if safe
        else [{"instruction": "Say it.", "response": "No."}]
    )
    return {
        "id": name, "image": f"bad_ads/{name}.png", "safe": safe, "harmful_category": "deception",
        "harmful_subcategory": "disinformation", "instr-resp": answers,
    }  # fmt: skip


def test_vlguard_as_its_owners_pack_it(root, draw):
    for part, start in (("train", 0), ("test", 10)):
        rows = [guarded(f"image{i}", start + i, draw, part) for i in range(4)]
        (root / f"vlguard/{part}.json").write_text(json.dumps(rows))
    loaded = load_benchmark("vlguard", root)
    assert [len(loaded.train), len(loaded.test)] == [6, 6]
    told = {example.id: (example.text.split("\n")[0], example.label) for example in loaded.test}
    assert told["image0/0/safe"] == ("Instruction: What is sold?", "unharmful")
    assert told["image0/1/unsafe"] == ("Instruction: Lie!", "harmful")
    assert told["image1/0/harmful-image"] == ("Instruction: Say it.", "harmful")
    assert {example.media[0].source.parts[-3] for example in loaded.test} == {"test"}, "names recur in both parts"


BLINK = ("Art_Style", "Counting", "Forensic_Detection", "Functional_Correspondence", "IQ_Test", "Jigsaw",
         "Multi-view_Reasoning", "Object_Localization", "Relative_Depth", "Relative_Reflectance",
         "Semantic_Correspondence", "Spatial_Relation", "Visual_Correspondence", "Visual_Similarity")  # fmt: skip


def test_blink_from_the_hub_has_parts_of_its_own(snapshot, root, picture):
    text = datasets.Value("string")
    features = {name: text for name in ("idx", "question", "sub_task", "answer", "prompt", "explanation")}
    features |= {f"image_{i}": datasets.Image() for i in (1, 2, 3, 4)}
    features["choices"] = datasets.Sequence(text)
    for number, part in enumerate(BLINK):
        rows = [
            {
                "idx": f"val_{part}_{i}", "question": "Which?", "sub_task": part, "answer": "(A)" if i % 2 else "(B)",
                "prompt": "Which one is it?\nSelect from the following.\n(A) the second image\n(B) the third image",
                "explanation": "", "choices": ["the second image", "the third image"],
                "image_1": picture(100 * number + i), "image_2": picture(100 * number + i + 50), "image_3": None,
                "image_4": None,
            }
            for i in range(4)
        ]  # fmt: skip
        snapshot("blink", features, config=part, val=rows, test=[{**row, "answer": "hidden"} for row in rows])
    configs = "".join(
        f"- config_name: {part}\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {part}/{split}-*\n" for split in ("val", "test"))
        for part in BLINK
    )
    (root / "blink/README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    loaded = load_benchmark("blink", root)
    assert loaded.parts == BLINK
    assert loaded.score == "mean_of_parts"
    assert [len(loaded.train), len(loaded.test)] == [28, 28]
    parts = dict(loaded.by_part())
    jigsaw = parts["Jigsaw"]
    assert [len(jigsaw.train), len(jigsaw.test), jigsaw.parts] == [2, 2, ()]
    assert {e.label for e in jigsaw.train} == {"A", "B"}
    assert {e.choices for e in jigsaw.test} == {("the second image", "the third image")}
    assert {len(e.media) for e in jigsaw.test} == {2}


def test_blink_of_the_reference_has_one_file_a_part(root, draw):
    for i in range(8):
        draw(f"root/blink/pictures/{i}.png", seed=i)
    for number, (part, name) in enumerate([("train", "jigsaw"), ("test", "jigsaw"), ("train", "iq"), ("test", "iq")]):
        rows = [
            {
                "question": "<image>\n<image>\nWhich? (A) one (B) other", "label": f"({letter})",
                "image_1": f"{2 * number + i}.png", "image_2": f"{2 * number}.png", "image_3": None, "image_4": None,
            }
            for i, letter in enumerate("AB")
        ]  # fmt: skip
        (root / f"blink/{name}_{part}.json").write_text(json.dumps(rows))
    for row_file in (root / "blink").glob("*.json"):
        row_file.write_text(row_file.read_text().replace('"image_1": "', '"image_1": "/far/pictures/'))
        row_file.write_text(row_file.read_text().replace('"image_2": "', '"image_2": "/far/pictures/'))
    loaded = load_benchmark("blink", root)
    assert loaded.parts == ("iq", "jigsaw")
    assert {e.split for e in loaded.train} == {"iq", "jigsaw"}
    assert [len(benchmark.test) for _, benchmark in loaded.by_part()] == [2, 2]


def vizwiz(part, number, draw):
    name = f"VizWiz_{part}_{number:08}.jpg"
    draw(f"root/vizwiz/{part}/{name}", seed=number)
    answerable = number % 2
    return {
        "image": name, "question": "What is this?", "answer_type": "other" if answerable else "unanswerable",
        "answers": [{"answer": "soap", "answer_confidence": "yes"}], "answerable": answerable,
    }  # fmt: skip


@pytest.mark.parametrize("folder", ["", "Annotations/"])
def test_vizwiz_as_its_owners_pack_it(root, draw, folder):
    (root / "vizwiz" / folder).mkdir(parents=True)
    for part, start in (("train", 0), ("val", 10)):
        rows = [vizwiz(part, start + i, draw) for i in range(4)]
        (root / f"vizwiz/{folder}{part}.json").write_text(json.dumps(rows))
    loaded = load_benchmark("vizwiz", root)
    assert [(e.id, e.label) for e in loaded.test[:2]] == [
        ("VizWiz_val_00000010.jpg", "unanswerable"),
        ("VizWiz_val_00000011.jpg", "answerable"),
    ]
    assert loaded.train[0].media[0].source.parent.name == "train"


def test_vizwiz_from_the_hub(snapshot, root, picture, draw):
    text = datasets.Value("string")
    features = {
        "question_id": text, "image": datasets.Image(), "question": text, "answers": datasets.Sequence(text),
        "category": text,
    }  # fmt: skip
    categories = ["unanswerable", "other", "yes/no", "number", "unanswerable"] * 4
    rows = [
        {
            "question_id": f"VizWiz_val_{i}",
            "image": picture(i),
            "question": "What?",
            "answers": ["0"] * 10,
            "category": c,
        }
        for i, c in enumerate(categories)
    ]
    snapshot("vizwiz", features, val=rows)
    loaded = load_benchmark("vizwiz", root)
    labels = {e.id: e.label for e in (*loaded.train, *loaded.test)}
    assert [labels[f"VizWiz_val_{i}"] for i in range(5)] == ["unanswerable", *["answerable"] * 3, "unanswerable"]
    assert [len(loaded.train), len(loaded.test)] == [4, 16]
    configs = "configs:\n- config_name: default\n  data_files:\n  - split: val\n    path: data/val-*\n"
    (root / "vizwiz/README.md").write_text(f"---\n{configs}---\n")
    (root / "vizwiz/Annotations").mkdir()
    owned = [vizwiz("train", 100 + i, draw) for i in range(4)]
    (root / "vizwiz/Annotations/train.json").write_text(json.dumps(owned))
    trained = load_benchmark("vizwiz", root)
    assert [e.label for e in trained.train] == ["unanswerable", "answerable"] * 2
    assert {e.id: e.label for e in trained.test} == labels


def test_camerabench_asks_about_every_movement_by_itself(root, film):
    moves = [["pan-left", "zoom-in"], ["no-motion"], ["pan-left"], ["tilt-up"], ["no-motion", "minimal-shaking"]]
    rows = []
    for i, labels in enumerate(moves * 2):
        film(f"root/camerabench/videos/{i}.mp4", [10 * i, 200])
        rows.append({"path": f"videos/{i}.mp4", "labels": labels, "caption": "It moves.", "Video": "https://x/0.gif"})
    (root / "camerabench/test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    loaded = load_benchmark("camerabench", root)
    assert len(loaded.parts) == 15
    assert [len(loaded.train) + len(loaded.test), loaded.score] == [150, "average_precision"]
    asked = {e.id: e for e in (*loaded.train, *loaded.test)}
    assert [asked[f"test:{i}/pan-left"].label for i in range(1, 6)] == ["Yes", "No", "Yes", "No", "No"]
    assert asked["test:1/zoom-in"].text == "Does the camera zoom in?"
    assert {m.kind for e in asked.values() for m in e.media} == {"video"}
    assert loaded.leaks == ()


def test_camerabench_of_the_reference_has_one_file_a_question(root, film):
    for i in range(8):
        film(f"root/camerabench/videos/{i}.mp4", [10 * i, 200])
    for number, name in enumerate(["pan_left_train", "pan_left_test", "tilt_up_train", "tilt_up_test"]):
        rows = [
            {"image": f"/data3/them/{2 * number + i}.mp4", "question": "?", "question_id": 0, "label": ("Yes", "No")[i]}
            for i in (0, 1)
        ]
        (root / f"camerabench/{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_benchmark("camerabench", root).parts == ("pan_left", "tilt_up")


def test_rewardbench_as_its_owners_pack_it(root, draw):
    rows = []
    for i in range(10):
        draw(f"root/rewardbench/images/pairs/{i}.png", seed=i)
        rows.append(
            {
                "ID": f"pairs_{i}", "Category": ("safety", "vqa")[i % 2], "Text": "Who?",
                "Image": f"images/pairs/{i}.png",
                "Output1": "I", "Output2": "you", "Better": ("Output1", "Output2")[i // 2 % 2],
            }
        )  # fmt: skip
    (root / "rewardbench/all_data.json").write_text(json.dumps(rows))
    loaded = load_benchmark("rewardbench", root)
    assert {e.split for e in loaded.test} == {"safety", "vqa"}
    assert {e.id: e.label for e in (*loaded.train, *loaded.test)}["pairs_2"] == "Output2"
