import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.embedded.__main__ import main
from benchmarks.embedded.features import Features, backbones_of, pixels, pooled_tower, random_decoder, random_weights
from benchmarks.embedded.measure import aims, measure
from benchmarks.embedded.methods import (
    CHOICE,
    CHOICE_WORDS,
    CONTROLS,
    FREE,
    FREE_WORDS,
    METHODS,
    SAVS,
    few_shot_answers,
    zero_shot_answers,
)
from benchmarks.embedded.page import MARKS, _wins_and_losses, insert_into_card, summary_table
from benchmarks.embedded.tasks import BenchTask
from savs.data.example import Example, Media
from savs.data.tasks import Fields, Task
from savs.demo.tasks import DemoTask
from savs.errors import DataError


def plain(n: int) -> BenchTask:
    """A task of two classes in turn, its test examples text only."""
    task = Task(name="claims", template="what?", labels=("a", "b"))
    test = tuple(Example(f"t{i}", "what?", label="ab"[i % 2]) for i in range(n))
    return BenchTask(DemoTask(task.name, "what it is", task, test, test))


def answers_of(task: BenchTask, **right: float) -> dict[str, np.ndarray]:
    """Answers of each row in two draws, of which the first share is right."""
    truth = np.array([str(example.label) for example in task.data.test])
    wrong = np.where(truth == "a", "b", "a")
    rows = {name: 0.5 for name in (FREE, CHOICE, *(method.name for method in METHODS))} | right
    first = {name: np.arange(len(truth)) < share * len(truth) for name, share in rows.items()}
    return {name: np.stack([np.where(mask, truth, wrong)] * 2) for name, mask in first.items()}


def test_savs_are_held_against_the_best_of_the_others():
    task = plain(40)
    result = measure(
        task, answers_of(task, **{SAVS: 0.8, CHOICE: 0.6, CONTROLS[1]: 0.95}), shots=3, seed=0, n_resamples=100
    )
    assert result.chance == result.majority == 0.5
    assert result.accuracy[SAVS].value == pytest.approx(0.8)
    assert result.zero_shot.other == CHOICE
    assert result.zero_shot.by.value == pytest.approx(0.2)
    assert result.zero_shot.verdict == "above"
    assert result.control.other == CONTROLS[1]
    assert result.control.by.value == pytest.approx(-0.15)
    assert "below the best control on claims" in _wins_and_losses([result])
    assert "zero-shot answer on no task" in _wins_and_losses([result])
    worse = measure(task, answers_of(task, **{SAVS: 0.5, CHOICE: 1.0}), shots=3, seed=0, n_resamples=100)
    assert worse.zero_shot.verdict == "below"


def test_the_answer_in_known_words_counts_for_the_best_but_not_as_given():
    task = plain(40)
    rows = answers_of(task, **{SAVS: 0.6, FREE_WORDS: 0.9, CHOICE_WORDS: 0.5})
    result = measure(task, rows, shots=3, seed=0, n_resamples=100)
    assert result.zero_shot.other == FREE_WORDS
    assert result.zero_shot_as_given.by.value == pytest.approx(0.1)


def test_groups_score_questions_images_and_all_four():
    pictures = [Media(Image.new("RGB", (2, 2), colour)) for colour in ("red", "blue")]
    test = tuple(
        Example(f"{g}{i}{q}", f"caption {q}", (pictures[i],), "a" if i == q else "b", group=f"g{g}")
        for g, i, q in itertools.product(range(2), range(2), range(2))
    )
    task = Task(name="m", template="{c}", labels=("a", "b"), fields=Fields(group=("g",)), metric="groups")
    bench = BenchTask(DemoTask("m", "", task, test, test))
    truth = np.array([[str(example.label) for example in test]])
    answers = {name: truth.copy() for name in answers_of(bench)}
    answers[SAVS] = truth.copy()
    answers[SAVS][0, 0] = "b"  # one of the first group's four
    result = measure(bench, answers, shots=1, seed=0, n_resamples=20)
    assert {kind: scores[SAVS].value for kind, scores in result.whole.items()} == {
        "question": 0.75,
        "image": 0.75,
        "group": 0.5,
    }
    assert {scores[FREE].value for scores in result.whole.values()} == {1.0}


def test_aims_are_met_and_missed():
    task = plain(100)
    told = measure(
        task, answers_of(task, **{SAVS: 0.9, CHOICE: 0.6, CHOICE_WORDS: 0.7}), shots=3, seed=0, n_resamples=100
    )
    digits = replace(told, name="digits", words_known=False)
    claims = replace(
        measure(task, answers_of(task, **{SAVS: 0.5, CHOICE: 0.9}), shots=3, seed=0, n_resamples=100), name="claims"
    )
    gain, of_digits, off_chance, level = aims([digits, claims])
    assert gain.met
    assert "+30.0" in gain.found
    assert "+20.0" in gain.found
    assert of_digits.met
    assert not off_chance.met
    assert not level.met
    lower = replace(digits, accuracy={SAVS: replace(digits.accuracy[SAVS], value=0.87)})
    assert [aim.met for aim in aims([lower])] == [True, False]


def test_savs_find_the_head_that_knows_and_random_heads_mostly_do_not():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 30)
    z = rng.normal(size=(60, 200, 4)).astype(np.float32)
    # Twenty of two hundred heads tell the classes apart.
    z[:, :20] += np.where(labels == "b", 2, -2)[:, None, None]
    flat = rng.normal(size=(60, 5)).astype(np.float32) + 50
    flat[labels == "b", 0] += 3
    kinds = {method.features for method in METHODS}
    features = {kind: Features(z, z) if kind in ("heads", "random decoder", "random weights") else Features(flat, flat)
                for kind in kinds}  # fmt: skip
    draws = [[*range(10), *range(30, 40)], [*range(10, 20), *range(40, 50)]]
    answers = few_shot_answers(features, labels, draws)
    right = {name: (given == labels).mean() for name, given in answers.items()}
    assert set(right) == {method.name for method in METHODS}
    assert right[SAVS] > 0.97
    assert right["20 random heads"] < right[SAVS]
    assert (answers["20 random heads"][0] != answers["20 random heads"][1]).any()
    # Without centring, the mean of fifty would leave every cosine near one.
    assert right["class means, raw pixels"] > 0.8


class Talker:
    """A backbone that always says yes, and holds `yes` and the label `b` for likeliest."""

    def generate(self, examples, **_options):
        return ["Yes."] * len(examples)

    def answer_log_likelihoods(self, examples, answers, **_options):
        return np.array([[float(answer in ("yes", "b")) for answer in answers]] * len(examples))


def test_known_words_are_rows_of_their_own():
    task = plain(4)
    assert set(zero_shot_answers(Talker(), task)) == {FREE, CHOICE}
    told = replace(task, data=replace(task.data, task=replace(task.data.task, answers={"a": "yes", "b": "no"})))
    answers = {name: set(given.ravel()) for name, given in zero_shot_answers(Talker(), told).items()}
    assert answers == {FREE: {"<unmatched>"}, FREE_WORDS: {"a"}, CHOICE: {"b"}, CHOICE_WORDS: {"a"}}


def test_controls_draw_anew_what_they_say_and_nothing_else(backbone):
    trained = backbone("llava")
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    decoder, everything = random_decoder(trained, 1), random_weights(trained, 1)
    for name, value in decoder.model.state_dict().items():
        is_matrix = value.ndim > 1
        kept = "vision_tower" in name or "projector" in name
        if kept or is_matrix:
            assert torch.equal(value, before[name]) == kept, name
        if is_matrix:
            assert not torch.equal(everything.model.state_dict()[name], before[name]), name
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())
    again = random_weights(trained, 1).model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in everything.model.state_dict().items())
    assert len({other.spec.fingerprint() for other in backbones_of(trained, 1).values()}) == 3


def test_images_are_pooled_one_after_the_other(backbone, picture):
    trained = backbone("llava")
    examples = [Example("0", "", (picture(0), picture(1))), Example("1", "", (picture(1), picture(0)))]
    pooled = pooled_tower(trained, examples, with_max=True)
    width = pooled.shape[1] // 2
    assert np.allclose(pooled[0, :width], pooled[1, width:], atol=1e-6)
    assert not np.allclose(pooled[0, :width], pooled[0, width:], atol=1e-3)
    assert np.array_equal(pooled[:, : width // 2], pooled_tower(trained, examples, with_max=False)[:, : width // 2])
    assert pixels(examples).shape == (2, 2 * 64 * 64 * 3)


def test_the_card_keeps_what_is_not_between_the_marks(tmp_path):
    card = tmp_path / "README.md"
    card.write_text(f"# Card\n\n{MARKS[0]}\nold\n{MARKS[1]}\n\nend\n", encoding="utf-8")
    insert_into_card(card, "new")
    insert_into_card(card, "newer")
    assert card.read_text(encoding="utf-8") == f"# Card\n\n{MARKS[0]}\nnewer\n{MARKS[1]}\n\nend\n"
    card.write_text("# Card\n", encoding="utf-8")
    insert_into_card(card, "new")
    assert card.read_text(encoding="utf-8") == f"# Card\n\n{MARKS[0]}\nnew\n{MARKS[1]}\n"
    card.write_text(MARKS[0], encoding="utf-8")
    with pytest.raises(DataError, match="found 1 and 0"):
        insert_into_card(card, "new")


def test_the_best_of_a_row_is_bold():
    task = plain(40)
    table = summary_table([measure(task, answers_of(task, **{SAVS: 0.9}), shots=3, seed=0, n_resamples=100)])
    bold = [cell for cell in table.splitlines()[-1].split("|") if "**" in cell]
    assert len(bold) == 1
    assert "**90.0**" in bold[0]


@pytest.mark.slow
def test_one_command_writes_the_same_page_twice(model_folder, tmp_path, monkeypatch):
    command = ["--model", str(model_folder("llava")), "--tasks", "claims", "matching"]
    command += "--max-test 8 --shots 2 --draws 2 --out . --card card.md".split()
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert main(command) == 0
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"card.md", "embedded.json", "embedded.md", "embedded.png", "embedded.svg"}
    found = json.loads(written[0]["embedded.json"])
    assert [task["name"] for task in found["tasks"]] == ["claims", "matching"]
    assert set(found["tasks"][1]["whole"]) == {"question", "image", "group"}
    assert b"| claims | 50.0 |" in written[0]["card.md"]


def test_a_wrong_folder_is_told_and_not_raised(tmp_path, capsys):
    assert main(["--model", str(tmp_path / "nowhere"), "--tasks", "claims", "--out", str(tmp_path)]) == 1
    assert "error:" in capsys.readouterr().err
