"""The model's own answer: how it is matched, and that likelihoods are what they are said to be."""

import numpy as np
import pytest
import torch

from savs.backbones.cost import measured
from savs.baselines.method import Problem
from savs.baselines.zero_shot import (
    UNMATCHED,
    ZeroShot,
    closed_choice,
    free_answer,
    match_answer,
)
from savs.data.example import Example
from savs.data.tasks import LabelRule, Task, load_task
from tiny_models import MODELS

PETS = ("cat", "dog", "guinea pig")
SAFETY = Task(name="t", template="{q}", answers={"harmful": "Yes", "harmless": "No"})


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("cat", "cat"),
        (" Cat. ", "cat"),
        ('"DOG"!', "dog"),
        ("Guinea   pig", "guinea pig"),
        ("dog, a small one", "dog"),
        ("cat\nand more", "cat"),
        ("guinea pigs", UNMATCHED),
        ("a cat", UNMATCHED),
        ("catfish", UNMATCHED),
        ("", UNMATCHED),
        ("?!", UNMATCHED),
        ("bird", UNMATCHED),
        ("A", UNMATCHED),
    ],
)
def test_words(answer, label):
    assert match_answer(answer, Example("a", "x"), PETS) == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("A", "dog"),
        ("(B)", "guinea pig"),
        ("B.", "guinea pig"),
        ("B) guinea pig", "guinea pig"),
        ("C: cat", "cat"),
        ("D", UNMATCHED),
        ("A dog", UNMATCHED),
        ("A\nThe image shows one.", "dog"),
        ("B - a guinea pig", "guinea pig"),
        ("A-level", UNMATCHED),
        ("a", UNMATCHED),
        ("cat", "cat"),
    ],
)
def test_option_letters_stand_for_the_examples_choices(answer, label):
    assert match_answer(answer, Example("a", "x", choices=("dog", "guinea pig", "cat")), PETS) == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [("A", "A"), ("A - yes", "A"), ("b.", "B"), ("(B)", "B"), ("B. something", "B"), ("C", UNMATCHED)],
)
def test_option_letters_that_are_the_classes(answer, label):
    assert match_answer(answer, Example("a", "x"), ("A", "B")) == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [("Yes", "harmful"), ("no.", "harmless"), ("Yes, it is", "harmful"), ("harmful", "harmful"), ("Nope", UNMATCHED)],
)
def test_words_that_stand_for_a_label(answer, label):
    assert match_answer(answer, Example("a", "x"), ("harmful", "harmless"), SAFETY) == label


BLINK = Example("a", "x", choices=("the first image", "the second image", "a cat"))


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("the second image", "B"),
        ("The second image, I think.", "B"),
        ("A cat", "C"),
        ("(A) the second image", "A"),  # a letter comes first
        ("A dog", UNMATCHED),  # an article is no letter
        ("the second", UNMATCHED),
        ("It is the second image", UNMATCHED),
        ("the second images", UNMATCHED),
    ],
)
def test_the_text_of_an_option_stands_for_its_letter(answer, label):
    assert match_answer(answer, BLINK, ("A", "B", "C", "D"), load_task("blink")) == label


def test_the_numbers_of_classes_in_a_file_are_no_words():
    task = Task(name="t", template="{q}", label_rule=LabelRule(map={"0": "no", "1": "yes"}))
    assert match_answer("1 cat", Example("a", "x"), ("no", "yes"), task) == UNMATCHED
    assert match_answer("Yes, 1 cat", Example("a", "x"), ("no", "yes"), task) == "yes"


def test_options_of_one_text_tell_nothing():
    assert match_answer("a cat", Example("a", "x", choices=("a cat", "a cat")), ("A", "B")) == UNMATCHED
    assert match_answer("a bird", Example("a", "x", choices=("a cat", "a cat", "a bird")), ("A", "B")) == UNMATCHED


@pytest.mark.parametrize(
    ("answer", "label"), [("Yes", "A"), ("no, it is not", "B"), ("B", "B"), ("Nothing", UNMATCHED), ("", UNMATCHED)]
)
def test_the_label_map_says_what_an_answer_stands_for(answer, label):
    task = load_task("naturalbench_vqa")
    assert match_answer(answer, Example("a", "x"), ("A", "B"), task) == label
    assert match_answer("Yes", Example("a", "x"), ("A", "B")) == UNMATCHED


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Pepsi", "answerable"),
        ("no", "answerable"),
        ("unanswerable.", "unanswerable"),
        ("Unanswerable, it is too dark", "unanswerable"),
        ("The question is unanswerable", UNMATCHED),  # no answer to it, nor the word that was asked for
        ("", UNMATCHED),
        ("?!", UNMATCHED),
    ],
)
def test_an_answer_to_an_answerable_question(answer, label):
    classes = ("answerable", "unanswerable")
    assert match_answer(answer, Example("a", "x"), classes, load_task("vizwiz")) == label
    closed = Task(name="t", template="{q}", answers={"answerable": "Yes", "unanswerable": "No"})
    assert match_answer("Pepsi", Example("a", "x"), classes, closed) == UNMATCHED


def test_an_answer_that_begins_with_two_classes_is_neither():
    assert match_answer("New York City it is", Example("a", "x"), ("New York", "New York City")) == UNMATCHED


@pytest.mark.parametrize("kind", ["llama", "gpt2", "llava", "qwen2_vl"])
def test_likelihood_by_hand(kind, backbone, picture):
    """One prompt and one answer, token by token, through the whole model with its head."""
    model = backbone(kind)
    example = Example("a", "Is it red?", (picture(0, (48, 32)),) if model.takes_images else ())
    prompt = model._inputs([example])
    # A prompt that ends in a space or newline takes the answer as it is; any other is parted from it by a space.
    answer = "Maybe" if kind != "gpt2" else " Maybe"
    tokens = model._tokenizer(answer, add_special_tokens=False)["input_ids"]
    assert len(tokens) > 3
    whole = dict(prompt)
    whole["input_ids"] = torch.cat([prompt["input_ids"], torch.tensor([tokens])], dim=1)
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    if "mm_token_type_ids" in whole:
        padding = torch.zeros(1, len(tokens), dtype=whole["mm_token_type_ids"].dtype)
        whole["mm_token_type_ids"] = torch.cat([whole["mm_token_type_ids"], padding], dim=1)
    with torch.inference_mode():
        logits = model.model(**whole).logits[0].double()
    begin = prompt["input_ids"].shape[1]
    by_hand = [
        float(logits[begin + i - 1, token] - torch.logsumexp(logits[begin + i - 1], 0))
        for i, token in enumerate(tokens)
    ]
    scores = model.answer_log_likelihoods([example], ["Maybe", "No"])
    assert scores.shape == (1, 2)
    assert scores[0, 0] == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert abs(scores[0, 1] - scores[0, 0]) > 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_only_what_is_offered_is_run_and_it_scores_the_same(kind, backbone, picture):
    model = backbone(kind)
    media = [(picture(i, (32 + i, 40)),) if model.takes_images and i % 2 else () for i in range(10)]
    examples = [Example(str(i), "word " * (7 * i % 4) + "?", media[i]) for i in range(10)]
    answers = [f"{word} number {i}" for i, word in enumerate(("cat", "a long one", "dog", "owl", "ox", "bee"))]
    offered = np.random.default_rng(0).permuted(np.tile([True, True, False, False, False, False], (10, 1)), axis=1)
    for which in (None, offered):  # what may share a batch is asked once
        model.answer_log_likelihoods(examples, answers, offered=which)
    with measured(model) as all_of_them:
        everything = model.answer_log_likelihoods(examples, answers)
    with measured(model) as some:
        only = model.answer_log_likelihoods(examples, answers, offered=offered)
    assert (all_of_them.forwards, some.forwards) == (60, 20)
    np.testing.assert_allclose(only[offered], everything[offered], atol=1e-5)
    assert (only[~offered] == -np.inf).all()


def test_answers_of_one_token_share_a_pass(backbone):
    model = backbone("llama")
    examples = [Example(str(i), "word " * i + "?") for i in range(5)]
    offered = np.ones((5, 3), dtype=bool)
    offered[1, :2] = offered[2] = False
    with measured(model) as cost:
        scores = model.answer_log_likelihoods(examples, ["x", "y", "two tokens"], offered=offered)
    assert cost.forwards == 3 + 4  # prompts with a short answer, and the long answers
    assert (scores[2] == -np.inf).all()
    np.testing.assert_allclose(
        scores[0], model.answer_log_likelihoods(examples[:1], ["x", "y", "two tokens"])[0], atol=1e-5
    )


@pytest.mark.parametrize("kind", MODELS)
def test_likelihood_does_not_depend_on_the_batch(kind, backbone, picture):
    model = backbone(kind)
    media = [(picture(i, (32 + i, 40)),) if model.takes_images and i % 2 else () for i in range(10)]
    examples = [Example(str(i), "word " * (7 * i % 4) + "?", media[i]) for i in range(10)]
    answers = ["cat", "a much longer answer", "dog"]
    together = model.answer_log_likelihoods(examples, answers)
    alone = np.concatenate([model.answer_log_likelihoods([example], answers) for example in examples])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.std(axis=0).min() > 1e-4
    assert (together < 0).all()


class Answering:
    """A backbone that answers as it is told."""

    def __init__(self, answers=(), scores=()):
        self.answers, self.scores, self.tokens = answers, np.array(scores), 1

    def generate(self, examples, **_):
        return list(self.answers)

    def answer_log_likelihoods(self, examples, answers, *, offered, summed, **_):
        self.asked = list(answers)
        return np.where(offered, self.scores * (self.tokens if summed else 1), -np.inf)


def test_free_answers_that_match_nothing_are_reported():
    predictions = free_answer(Answering(["cat!", "a bird"]), [Example("1", "x"), Example("2", "x")], PETS)
    assert [(p.id, p.label) for p in predictions] == [("1", "cat"), ("2", UNMATCHED)]
    assert predictions[0].probabilities == {"cat": 1.0, "dog": 0.0, "guinea pig": 0.0}
    assert sum(predictions[1].probabilities.values()) == 0.0


def test_closed_choice_takes_the_likeliest_word_that_is_offered():
    model = Answering(scores=[[-1.0, -2.0, -0.5], [-1.0, -2.0, -0.5], [-1.0, -2.0, -0.5]])
    examples = [Example("all", "x"), Example("two", "x", choices=("dog", "cat")), Example("none", "x", choices=("ox",))]
    everything, two, none = closed_choice(model, examples, PETS)
    assert model.asked == list(PETS)
    assert [p.label for p in (everything, two, none)] == ["guinea pig", "cat", "guinea pig"]
    weights = np.exp([-1.0, -2.0, -0.5])
    np.testing.assert_allclose(list(everything.probabilities.values()), weights / weights.sum())
    assert two.probabilities["guinea pig"] == 0.0
    assert sum(two.probabilities.values()) == pytest.approx(1.0)


def test_closed_choice_runs_what_each_example_offers(backbone):
    many = tuple(f"kind number {i}" for i in range(40))
    examples = [Example(str(i), "Which?", choices=(many[i], many[i + 1], many[3 * i])) for i in range(2, 6)]
    with measured(backbone("llama")) as cost:
        predictions = closed_choice(backbone("llama"), examples, many)
    assert cost.forwards == 4 * 3
    assert all(p.label in e.choices for p, e in zip(predictions, examples, strict=True))
    assert all(sum(p > 0 for p in prediction.probabilities.values()) == 3 for prediction in predictions)


def test_closed_choice_asks_for_the_words_of_the_labels():
    model = Answering(scores=[[-2.0, -1.0]])
    (prediction,) = closed_choice(model, [Example("a", "x")], ("harmful", "harmless"), task=SAFETY)
    assert model.asked == ["Yes", "No"]
    assert prediction.label == "harmless"


@pytest.mark.parametrize(("score", "label"), [(-0.5, "unanswerable"), (-0.8, "answerable"), (0.0, "unanswerable")])
def test_a_class_without_a_word_gets_what_the_others_leave(score, label):
    model = Answering(scores=[[-0.01, score]])  # however likely the word that the prompt does not offer
    (prediction,) = closed_choice(model, [Example("a", "x")], ("answerable", "unanswerable"), task=load_task("vizwiz"))
    assert prediction.label == label
    assert prediction.probabilities["unanswerable"] == pytest.approx(np.exp(score), abs=1e-6)
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("of_tokens", "label"), [((0.2, 0.99, 0.99), "answerable"), ((0.9, 0.99, 0.99), "unanswerable")]
)
def test_what_a_long_word_leaves_is_not_what_its_mean_token_leaves(of_tokens, label):
    model = Answering(scores=[[0.0, np.log(of_tokens).mean()]])
    model.tokens = len(of_tokens)
    assert np.exp(model.scores[0, 1]) > 0.5  # by which it would always be unanswerable
    (prediction,) = closed_choice(model, [Example("a", "x")], ("answerable", "unanswerable"), task=load_task("vizwiz"))
    assert prediction.label == label
    assert prediction.probabilities["unanswerable"] == pytest.approx(np.prod(of_tokens), abs=1e-6)


def test_words_that_all_have_their_own_compete_by_mean_token():
    model = Answering(scores=[[-1.0, -0.5, -0.8]])
    model.tokens = 3
    (prediction,) = closed_choice(model, [Example("a", "x")], PETS)
    weights = np.exp([-1.0, -0.5, -0.8])
    np.testing.assert_allclose(list(prediction.probabilities.values()), weights / weights.sum())


@pytest.mark.parametrize("scores", [[0.0, -0.5, -0.5], [0.0, 0.0, 0.0], [0.0, -900.0, -900.0]])
def test_words_may_leave_nothing_or_everything(scores):
    classes = ("answerable", "unanswerable", "dark")
    (prediction,) = closed_choice(Answering(scores=[scores]), [Example("a", "x")], classes, task=load_task("vizwiz"))
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
    assert prediction.probabilities["answerable"] == pytest.approx(float(scores[1] < -1), abs=1e-6)


@pytest.mark.parametrize("kind", ["llama", "llava"])
def test_summed_is_the_mean_times_the_tokens(kind, backbone, picture):
    model = backbone(kind)
    examples = [Example("a", "What?", (picture(0),) if model.takes_images else ()), Example("b", "And this?")]
    answers = ["x", "a cat", "Maybe"]
    mean, total = (model.answer_log_likelihoods(examples, answers, summed=summed) for summed in (False, True))
    np.testing.assert_allclose(total, mean * [1, 5, 5], rtol=1e-5)


def test_only_the_words_of_the_prompt_are_run(backbone):
    examples = [Example("a", "What is this?"), Example("b", "And this?")]
    with measured(backbone("llama")) as cost:
        closed_choice(backbone("llama"), examples, ("answerable", "unanswerable"), task=load_task("vizwiz"))
    assert cost.forwards == 2


def test_the_methods_are_the_functions(backbone, picture):
    model = backbone("llava")
    examples = tuple(Example(str(i), f"Is it red {i}?", (picture(i),), label="harmful") for i in range(3))
    problem = Problem(("harmful", "harmless"), (), examples, SAFETY)
    assert ZeroShot(model).predict(problem) == free_answer(model, examples, problem.classes, task=SAFETY)
    assert ZeroShot(model, "choice").predict(problem) == closed_choice(model, examples, problem.classes, task=SAFETY)


def test_a_model_of_text_does_not_see(backbone, picture):
    seen = Problem(PETS, (), (Example("a", "x", (picture(0),)),))
    read = Problem(PETS, (), (Example("a", "x"),))
    for method in (ZeroShot(backbone("llama")), ZeroShot(backbone("llama"), "choice")):
        assert method.obstacle(seen).endswith("takes text only, and the examples have images")
        assert method.obstacle(read) is None
    assert ZeroShot(backbone("llava")).obstacle(seen) is None
