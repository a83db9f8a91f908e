import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.data.layouts import Layout, Lookup, Signs, Variant
from savs.data.readers import read_examples
from savs.data.tasks import GENERIC, METRICS, Fields, LabelRule, Task, builtin_tasks, load_task, sniff_task
from savs.errors import DataError

TASKS = {task.name: task for task in builtin_tasks()}
SHIPPED = {
    "general", "mhalubench", "vlguard", "blink", "vizwiz", "naturalbench_retrieval", "naturalbench_vqa", "sugarcrepe",
    "eurosat", "pets", "camerabench", "rewardbench_pair", "rewardbench_single",
}  # fmt: skip


def task(**changes):
    return Task(**{"name": "t", "template": "{q}", "fields": Fields(media=("image",), label="label"), **changes})


def test_the_tasks_that_are_promised_are_there():
    assert set(TASKS) >= SHIPPED
    assert GENERIC == TASKS["general"]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_survives_json_and_says_what_it_is(name):
    original = TASKS[name]
    back = Task.from_json(json.loads(json.dumps(original.to_json())))
    assert back == original
    assert back.template_hash == original.template_hash
    assert hash(back) == hash(original)
    assert original.description
    assert original.source
    assert original.metric in METRICS


def test_an_open_label_is_one_that_the_prompt_has_no_word_for():
    assert {name: t.open_label for name, t in TASKS.items() if t.open_label} == {"vizwiz": "answerable"}
    assert task(label_rule=LabelRule(map={"no": "no"}, otherwise="other", is_open=True)).open_label == "other"
    # Whether a prompt has a word for it shows in the prompt alone, which a column may hold.
    assert task(label_rule=LabelRule(map={"no": "no"}, otherwise="other")).open_label is None


@settings(deadline=None)
@given(
    st.builds(
        Task,
        name=st.text(min_size=1),
        template=st.text().map(lambda text: text.replace("{", "{{").replace("}", "}}") + "{column}"),
        labels=st.none() | st.lists(st.text(), min_size=1).map(tuple),
        fields=st.builds(Fields, media=st.lists(st.text()).map(tuple), label=st.none() | st.text()),
        defaults=st.dictionaries(st.text(), st.text()),
        label_rule=st.builds(LabelRule, map=st.just({}), otherwise=st.none()),
        layouts=st.lists(
            st.builds(
                Layout,
                signs=st.builds(Signs, st.lists(st.text()).map(tuple)),
                columns=st.dictionaries(st.text(), st.lists(st.text(), min_size=1).map(tuple)),
                lookups=st.dictionaries(
                    st.text(), st.builds(Lookup, st.text(), values=st.dictionaries(st.text(), st.text()))
                ),
                unfold=st.lists(st.builds(Variant, st.text(), st.dictionaries(st.text(), st.text()))).map(tuple),
            ),
            max_size=2,
        ).map(tuple),
        signs=st.builds(Signs, st.lists(st.text()).map(tuple)),
        min_media=st.integers(0, 5),
    )
)
def test_any_task_survives_json(original):
    assert Task.from_json(json.loads(json.dumps(original.to_json()))) == original


def test_the_hash_holds_what_decides_the_input_and_nothing_else():
    base = task()
    assert len(base.template_hash) == 12
    assert int(base.template_hash, 16) >= 0
    same = [
        replace(base, name="u"),
        replace(base, description="d"),
        replace(base, labels=("a",)),
        replace(base, metric="accuracy"),
    ]
    assert {other.template_hash for other in same} == {base.template_hash}
    others = [
        replace(base, template="{q} "),
        replace(base, fields=Fields(media=("photo",), label="label")),
        replace(base, defaults={"q": "?"}),
        replace(base, layouts=(Layout(unfold=(Variant("a"),)),)),
        replace(base, layouts=(Layout(lookups={"q": Lookup("x", values={"1": "one"})}),)),
    ]
    assert len({other.template_hash for other in [base, *others]}) == 6


def test_the_template_takes_columns_of_any_name_and_leaves_braces_in_the_data_alone():
    rendered = task(template="{{kept}} {Question Type}: {q} {n}").render({"Question Type": "a", "q": "{x} {}", "n": 3})
    assert rendered == "{kept} a: {x} {} 3"


def test_a_column_that_is_missing_or_no_text_is_named_with_what_there_is():
    with pytest.raises(DataError, match=r"has no column 'question'; it has Question, image; did you mean 'Question'\?"):
        task(template="{question}").render({"Question": "?", "image": "a"})
    with pytest.raises(DataError, match=r"column 'q' holds nothing \(null\); expected text"):
        task().render({"q": None})
    with pytest.raises(DataError, match=r"column 'q' holds a list; expected text"):
        task().render({"q": ["a"]})


@pytest.mark.parametrize("template", ["{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{a", "a}"])
def test_templates_are_plain_or_refused_when_loaded(template):
    with pytest.raises(DataError, match="template of task 't'"):
        task(template=template)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "f1"}, "has the metric 'f1'; expected one of accuracy, pairs"),
        ({"metric": "pairs"}, "fields name no group; add fields.group"),
        ({"label_rule": LabelRule(pattern="A")}, "must have exactly one group in parentheses"),
        ({"label_rule": LabelRule(pattern="(A")}, "is not a regular expression"),
        ({"signs": Signs(patterns={"q": "("})}, "is not a regular expression"),
        ({"labels": ("yes",), "answers": {"y": "Yes"}}, "speaks of the label 'y', which is not in its labels"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        task(**changes)


def test_a_task_file_of_the_user_loads(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntemplate = "{caption}"\nlabels = ["a", "b"]\n[fields]\nmedia = "photo"\nlabel = "y"\n'
    )
    mine = load_task(path)
    assert mine.fields.media == ("photo",)
    assert mine.labels == ("a", "b")
    assert load_task(str(path)) == mine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is not valid TOML"),
        ('name = "x"', "lacks 'template'"),
        ('name = "x"\ntemplate = "a"\ntemplat = "b"', "unknown key 'templat'; did you mean 'template'"),
        ('name = "x"\ntemplate = 3', r"template is 3 \(int\); expected text"),
        ('name = "x"\ntemplate = "a"\nlabels = 3', r"labels is 3 \(int\); expected a list"),
        ('name = "x"\ntemplate = "a"\nlabels = ["a", 1]', r"labels\[1\] is 1 \(int\); expected text"),
        ('name = "x"\ntemplate = "a"\nmin_media = true', "min_media is True .*expected a whole number"),
        ('name = "x"\ntemplate = "a"\nfields = "image"', "fields is 'image' .*expected a table"),
        ('name = "x"\ntemplate = "a"\nanswers = ["b"]', r"answers is \['b'\] .*expected a table"),
        ('name = "x"\ntemplate = "a"\n[fields]\nimages = "i"', "unknown key 'images'; .*media"),
    ],
)
def test_faults_in_a_task_file_are_named(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_task(path)
    assert "mine.toml" in str(caught.value)


def test_unknown_task_names_get_a_suggestion(tmp_path):
    with pytest.raises(DataError, match=r"there is no task 'vlgard'; did you mean 'vlguard'\?"):
        load_task("vlgard")
    with pytest.raises(DataError, match=r"expected one of blink, .*, or a \.toml file"):
        load_task("zzzz")
    with pytest.raises(DataError, match="there is no such task file"):
        load_task(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("text", "expected"), [("(A)", "A"), ("A", "A"), ("(D)", "D"), ("AB", None), ("", None), ("(A) yes", None)]
)
def test_letters_of_multiple_choice_are_normalised_by_declaration(text, expected):
    rule = TASKS["blink"].label_rule
    if expected is None:
        with pytest.raises(DataError, match="unexpected form"):
            rule.apply(text)
    else:
        assert rule.apply(text) == expected


def test_label_maps_have_a_class_for_everything_else_only_where_declared():
    assert LabelRule(map={"x": "a"}).apply("y") == "y"
    assert LabelRule(map={"x": "a"}, otherwise="b").apply("y") == "b"
    assert TASKS["vizwiz"].label_rule.apply("blue jeans") == "answerable"
    assert TASKS["vizwiz"].label_rule.apply("unanswerable") == "unanswerable"


def test_answers_stand_for_labels_and_labels_for_themselves():
    assert TASKS["vlguard"].answer("harmful") == "Yes"
    assert TASKS["eurosat"].answer("Forest") == "Forest"


def test_the_layout_of_the_how_to_page_works(tmp_path, draw, jsonl):
    page = (Path(__file__).parents[2] / "docs/how-to.md").read_text(encoding="utf-8")
    (tmp_path / "captions.toml").write_text(re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)[1])
    draw("1.png")
    path = jsonl(
        {"filename": "1.png", "right": "a cat", "wrong": "a dog"},
        {"image": "1.png", "caption": "a cow", "label": "no", "group": "7"},
    )
    examples = read_examples(path, task=tmp_path / "captions.toml")
    assert [(e.id, e.text[22:27], e.label, e.group) for e in examples] == [
        ("rows:1/right", "a cat", "yes", "1.png"), ("rows:1/wrong", "a dog", "no", "1.png"),
        ("rows:2", "a cow", "no", "7"),
    ]  # fmt: skip


def test_sniffing_takes_most_rows_at_their_word_and_falls_back_on_the_general_task():
    guard = {"image": "a.jpg", "instruction": "do it", "label": "harmful"}
    assert sniff_task([guard, guard, {"image": "b.jpg"}]).name == "vlguard"
    assert sniff_task([{"image": "a.jpg", "instruction": "unlabelled"}]).name == "vlguard"
    assert sniff_task([{**guard, "label": "spam", "question": "?"}]).name == "general"
    assert sniff_task([{"image": "a.jpg", "question": "Is it?", "label": "x"}]).name == "general"
    assert sniff_task([{"question": "Is it?"}]).name == "general"


def test_sniffing_takes_no_task_that_needs_a_file_or_is_one_of_several():
    assert sniff_task([{"image": "1.jpg", "id": "1", "label": "n01440764"}]).name == "general"
    assert sniff_task([{"image": "1.jpg", "label": "cat"}]).name == "general"
    assert sniff_task([{"word1": "pug_1", "word2": "2", "word3": "2", "word4": "1"}]).name == "pets"


def test_sniffing_refuses_columns_that_no_task_reads():
    with pytest.raises(DataError, match=r"no task reads these columns: img, prompt\. Expected image, question, video"):
        sniff_task([{"img": "a.jpg", "prompt": "?"}])
