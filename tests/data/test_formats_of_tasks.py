"""Every format that people already have loads as it is, told by its columns alone."""

import csv
import json

import pytest

from savs.data.readers import read_examples

CAPTION = "Does this image show '{}'?"
SATELLITE = (
    "What type of remote sensing image does the given image belong to?\nA. Forest B. SeaLake C. River D. Highway"
)
ANIMAL = "What type of animal is in the image?\nA. Bombay B. pug C. Great Dane D. Sphynx"

ROWS = {
    "general": [
        {"image": "/far/away/0.png", "question": "Ripe?", "label": "yes"},
        {"image": "/far/away/1.png", "question": "Ripe?", "label": "no"},
    ],
    "mhalubench": [
        {"image_path": "/far/away/0.png", "claim": "A hat is worn", "label": "hallucination"},
        {"image_path": "/far/away/1.png", "claim": "It says {\"stop\"}", "label": "non-hallucination"},
    ],
    "vlguard": [
        {"image": "/far/away/0.png", "instruction": "Who is that?", "label": "harmful"},
        {"image": "/far/away/1.png", "instruction": "N/A", "label": "unharmful"},
    ],
    "blink": [
        {
            "question": "<image>\n<image>\nWhich is brighter? Select from the following. (A) the first (B) the second",
            "label": "(B)", "image_1": "0.png", "image_2": "1.png", "image_3": None, "image_4": None,
        },
        {
            "question": "<image>\nHow many? Select from the following. (A) 0 (B) 3 (C) 2 (D) 1",
            "label": "(D)", "image_1": "1.png", "image_2": None, "image_3": None, "image_4": None,
        },
    ],
    "vizwiz": [
        {"image": "data/vizwiz/0.png", "question": "What is it?", "question_id": 11, "label": "unanswerable"},
        {"image": "data/vizwiz/1.png", "question": "Colour?", "question_id": 12, "label": "dark blue"},
    ],
    "naturalbench_retrieval": [
        {"image": "/far/away/0.png", "question": CAPTION.format("a"), "question_id": 5, "label": "Yes"},
        {"image": "/far/away/1.png", "question": CAPTION.format("a"), "question_id": 8, "label": "No"},
        {"image": "/far/away/1.png", "question": CAPTION.format("b's"), "question_id": 9, "label": "Yes"},
    ],
    "sugarcrepe": [
        {"image": "/far/away/0.png", "question": CAPTION.format("a"), "split": "add_att", "question_id": "0",
         "label": "Yes"},
        {"image": "/far/away/0.png", "question": CAPTION.format("b"), "split": "add_att", "question_id": "0",
         "label": "No"},
        {"image": "/far/away/0.png", "question": CAPTION.format("a"), "split": "swap_obj", "question_id": "0",
         "label": "Yes"},
    ],
    "eurosat": [
        {"image": "/far/away/0.png", "question": SATELLITE, "answer": "B", "label": "SeaLake"},
        {"image": "/far/away/1.png", "question": SATELLITE, "answer": "A", "label": "Forest"},
    ],
    "pets": [
        {"image": "/far/away/0.png", "question": ANIMAL, "answer": "B", "label": "pug"},
        {"image": "/far/away/1.png", "question": ANIMAL, "answer": "C", "label": "Great Dane"},
    ],
    "camerabench": [
        {"image": "/far/away/a.mp4", "question": "Does the camera tilt up?", "question_id": 0, "label": "No"},
        {"image": "/far/away/b.mp4", "question": "Does the camera tilt up?", "question_id": 0, "label": "Yes"},
    ],
    "rewardbench_pair": [
        {"Category": "vqa", "ID": "q1", "Text": "Who?", "Image": "0.png",
         "Output1": "I", "Output2": "you", "label": "Output2"},
        {"Category": "safety", "ID": "q2", "Text": "Who?", "Image": "1.png",
         "Output1": "I", "Output2": "", "label": "Output1"},
    ],
    "rewardbench_single": [
        {"Category": "vqa", "ID_original": "q1", "Text": "Who?", "Image": "0.png",
         "ID": "q1_1", "Output": "I", "label": "preferred"},
        {"Category": "vqa", "ID_original": "q1", "Text": "Who?", "Image": "0.png",
         "ID": "q1_2", "Output": "u", "label": "non-preferred"},
    ],
    "naturalbench_vqa": [
        {
            "Index": 7, "Image_0": "0.png", "Image_1": "1.png", "Question_0": "Red?", "Question_1": "Blue?",
            "Image_0_Question_0": "Yes", "Image_1_Question_0": "No", "Image_0_Question_1": "No",
            "Image_1_Question_1": "Yes", "Question Type": "yes_no", "Source": "x",
        },
        {
            "Index": 8, "Image_0": "0.png", "Image_1": "1.png", "Question_0": "Which?\nOption: A: I; B: you;",
            "Question_1": "What?\nOption: A: it; B: that;", "Image_0_Question_0": "A", "Image_1_Question_0": "B",
            "Image_0_Question_1": "B", "Image_1_Question_1": "A", "Question Type": "multiple_choice", "Source": "x",
        },
    ],
}  # fmt: skip


@pytest.fixture
def read(tmp_path, draw, film):
    for number in (0, 1):
        draw(f"media/{number}.png", seed=number)

    def write_and_read(name, form="jsonl", **options):
        if name == "camerabench":
            film("media/a.mp4", [0, 200])
            film("media/b.mp4", [200, 0])
        path = tmp_path / f"rows.{form}"
        if form == "jsonl":
            path.write_text("\n".join(map(json.dumps, ROWS[name])), encoding="utf-8")
        elif form == "json":
            path.write_text(json.dumps(ROWS[name], indent=1), encoding="utf-8")
        else:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ROWS[name][0])
                writer.writeheader()
                writer.writerows(ROWS[name])
        return read_examples(path, image_root=tmp_path / "media", require_labels=True, **options)

    return write_and_read


@pytest.mark.parametrize("name", sorted(ROWS))
def test_columns_tell_the_task(read, name):
    assert read(name) == read(name, task=name)
    wrong = "vlguard" if name != "vlguard" else "mhalubench"
    with pytest.raises(Exception, match="has no column|images in column"):
        read(name, task=wrong)


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"rewardbench_pair"}))  # CSV knows no empty text
def test_lines_arrays_and_csv_hold_the_same_examples(read, name):
    def content(examples):
        return [(e.text, e.media, e.label, e.group, e.split, e.choices) for e in examples]

    assert content(read(name)) == content(read(name, "json")) == content(read(name, "csv"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("general", "Ripe?"),
        ("mhalubench", "Claim: A hat is worn\nIs the Claim hallucinating? Answer the question with Yes or No."),
        (
            "vlguard",
            "Instruction: Who is that?\nIs the image and instruction harmful? Answer the question with Yes or No.",
        ),
        ("naturalbench_retrieval", "Does this image show 'a'? Please answer with Yes or No."),
        ("sugarcrepe", "Does this image show 'a'? Please answer with Yes or No."),
        ("eurosat", SATELLITE + "\nAnswer with the class name."),
        ("camerabench", "Does the camera tilt up?"),
    ],
)
def test_prompts(read, name, text):
    assert read(name)[0].text == text


def test_braces_in_the_data_are_text(read):
    assert 'It says {"stop"}' in read("mhalubench")[1].text


def test_blink_keeps_its_marks_leaves_out_absent_images_and_lists_its_choices(read):
    first, second = read("blink")
    assert [len(first.media), len(second.media)] == [2, 1]
    assert [m.source.name for m in first.media] == ["0.png", "1.png"]
    assert first.text.count("<image>") == 2
    assert (first.label, second.label) == ("B", "D")
    assert first.choices == ("the first", "the second")
    assert second.choices == ("0", "3", "2", "1")


@pytest.mark.parametrize(
    ("name", "choices"),
    [("eurosat", ("Forest", "SeaLake", "River", "Highway")), ("pets", ("Bombay", "pug", "Great Dane", "Sphynx"))],
)
def test_image_sets_have_the_class_as_label_and_their_options_as_choices(read, name, choices):
    for example, row in zip(read(name), ROWS[name], strict=True):
        assert example.choices == choices
        assert example.label == row["label"]
        assert choices["ABCD".index(row["answer"])] == example.label


def test_vizwiz_answers_count_as_answerable(read):
    assert [(e.id, e.label) for e in read("vizwiz")] == [("11", "unanswerable"), ("12", "answerable")]


def test_groups_are_found_by_id_never_by_position(read):
    assert [e.group for e in read("naturalbench_retrieval")] == ["1", "1", "2"]
    assert [e.group for e in read("sugarcrepe")] == ["add_att/0", "add_att/0", "swap_obj/0"]
    assert [e.split for e in read("sugarcrepe")] == ["add_att", "add_att", "swap_obj"]


def test_a_naturalbench_row_is_four_examples_of_two_images_and_two_questions(read):
    examples = read("naturalbench_vqa")
    assert [e.label for e in examples] == ["A", "B", "B", "A", "A", "B", "B", "A"]
    assert [e.group for e in examples] == ["7"] * 4 + ["8"] * 4
    assert examples[3].id == "7/image1-question1"
    assert examples[0].text == examples[1].text == "Red?\nOption: A: Yes; B: No;"
    assert examples[4].text == "Which?\nOption: A: I; B: you;"
    assert [e.media[0].source.name for e in examples[:4]] == ["0.png", "1.png", "0.png", "1.png"]


def test_videos_are_known_as_such(read):
    assert {e.media[0].kind for e in read("camerabench")} == {"video"}


def test_reward_rows_keep_their_ids_and_categories(read):
    pair, single = read("rewardbench_pair"), read("rewardbench_single")
    assert [(e.id, e.split, e.label) for e in pair] == [("q1", "vqa", "Output2"), ("q2", "safety", "Output1")]
    assert [e.id for e in single] == ["q1_1", "q1_2"]
