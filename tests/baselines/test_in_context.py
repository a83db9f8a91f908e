"""Four examples before the query: balanced, never the same twice, with their images in order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from problems import examples_of
from savs.baselines.in_context import InContext, draw_balanced, interleave, with_marks
from savs.baselines.method import Problem
from savs.data.example import Example, Media
from savs.data.tasks import Task

TASK = Task(name="t", template="{q}", answers={"red": "Yes", "blue": "No"})


def colour_problem(picture, n_test=3):
    shots = tuple(Example(f"s{i}", f"Is it red ({i})?", (picture(i),), label=("red", "blue")[i % 2]) for i in range(8))
    test = tuple(Example(f"t{i}", "Is it red?", (picture(50 + i),), label="red") for i in range(n_test))
    return Problem(("blue", "red"), shots, test, TASK)


class Listening:
    """A backbone that notes what it is asked."""

    def generate(self, examples, **_):
        self.asked = list(examples)
        return ["Yes"] * len(examples)

    def answer_log_likelihoods(self, examples, answers, **_):
        self.asked = list(examples)
        return np.tile([-1.0, -2.0], (len(examples), 1))


def test_a_prompt_holds_questions_and_answers_then_the_query():
    first = Example("1", "One <image>?", (Media(b"1"),), label="red")
    second = Example("2", "Two?", (Media(b"2"), Media(b"3")), label="blue")
    query = Example("q", "Three?", (Media(b"4"),), label="red", choices=("red", "blue"), group="g")
    whole = interleave([first, second], query, TASK)
    assert whole.text == "One <image>?\nYes\n\n<image><image>Two?\nNo\n\n<image>Three?"
    assert [medium.source for medium in whole.media] == [b"1", b"2", b"3", b"4"]
    assert replace(whole, text=query.text, media=query.media) == query


def test_text_without_media_gets_no_mark():
    assert with_marks(Example("a", "what?")) == "what?"
    assert with_marks(Example("a", "what <image>?", (Media(b""),))) == "what <image>?"


@pytest.mark.parametrize(("n", "most", "least"), [(4, 2, 1), (3, 1, 1), (6, 2, 2), (2, 1, 0)])
def test_shots_are_drawn_evenly(n, most, least):
    shots = examples_of(["a"] * 9 + ["b"] * 5 + ["c"] * 3)
    seen = set()
    for seed in range(50):
        drawn = draw_balanced(shots, n, np.random.default_rng(seed))
        assert len({e.id for e in drawn}) == n
        counts = [sum(e.label == c for e in drawn) for c in "abc"]
        assert max(counts) == most and min(counts) == least
        seen.add(tuple(e.label for e in drawn))
    assert len(seen) > 3  # the order of the classes is drawn too


def test_a_rare_class_runs_out_without_being_repeated():
    drawn = draw_balanced(examples_of(["a"] * 9 + ["b"]), 4, np.random.default_rng(0))
    assert sorted(str(e.label) for e in drawn) == ["a", "a", "a", "b"]
    assert len({e.id for e in drawn}) == 4


@pytest.mark.parametrize("form", ["free", "choice"])
def test_each_query_has_shots_of_its_own_by_seed(picture, form):
    model, problem = Listening(), colour_problem(picture)
    predictions = InContext(model, form).predict(problem)
    assert [p.id for p in predictions] == ["t0", "t1", "t2"]
    first = model.asked
    assert all(len(example.media) == 5 and example.text.count("Is it red") == 5 for example in first)
    assert all(example.text.count("Yes") == example.text.count("No") == 2 for example in first)
    assert first[0].text != first[1].text
    InContext(model, form).predict(problem)
    assert model.asked == first
    InContext(model, form).predict(replace(problem, test=problem.test[::-1]))
    assert model.asked == first[::-1]
    InContext(model, form).predict(replace(problem, seed=1))
    assert model.asked != first


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "smolvlm"])
def test_a_real_model_reads_all_the_images(kind, backbone, picture):
    model, problem = backbone(kind), colour_problem(picture)
    method = InContext(model, "choice")
    assert method.obstacle(problem) is None
    probabilities = [p.probabilities["red"] for p in method.predict(problem)]
    other = tuple(replace(shot, media=(picture(90 + i),)) for i, shot in enumerate(problem.shots))
    moved = [p.probabilities["red"] for p in method.predict(replace(problem, shots=other))]
    assert all(0 < p < 1 for p in probabilities)
    assert all(abs(p - q) > 1e-6 for p, q in zip(probabilities, moved, strict=True))


def test_what_it_cannot_answer(backbone, picture):
    problem = colour_problem(picture)
    assert "4 labelled examples, and there are 3" in InContext(backbone("llava")).obstacle(
        replace(problem, shots=problem.shots[:3])
    )
    assert "takes text only" in InContext(backbone("llama")).obstacle(problem)
    words = tuple(replace(shot, text="word " * 250) for shot in problem.shots)
    tokens = InContext(backbone("llava")).obstacle(replace(problem, shots=words))
    assert "was made for 4096" in tokens and "tokens with its answer" in tokens
    gone = replace(problem.shots[0], media=(Media(Path("/no/such.png")),))
    assert "there is no file" in InContext(backbone("llava")).obstacle(
        replace(problem, shots=(gone, *problem.shots[1:4]))
    )
