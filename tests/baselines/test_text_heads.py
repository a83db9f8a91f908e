"""Heads that know classes by name: they find the name that is near, and mix with heads that know shots."""

from dataclasses import replace

import numpy as np
import pytest

from problems import LAYOUT, accuracy, examples_of, features_of, problem_of
from savs.baselines.text_heads import (
    KEPT,
    TextHeads,
    VisionAndTextHeads,
    best_text_heads,
    best_weight,
    held_out_probabilities,
    name_probabilities,
)
from savs.data.tasks import Task
from savs.features import HeadLayout

PROBLEM = problem_of()
EXAMPLES = (*PROBLEM.shots, *PROBLEM.test)
WIDE = HeadLayout.grid(6, 8, 8)  # more heads than are kept, so that choosing them matters
FEW = range(10)


class Reading:
    """A backbone whose heads `telling` answer a class's name as they answer its examples; the others know nothing."""

    def __init__(self, classes, telling, layout=WIDE):
        self.classes, self.telling, self.layout, self.asked = list(classes), list(telling), layout, []

    def head_activations(self, examples, **_):
        self.asked += [example.text for example in examples]
        z = np.random.default_rng(7).normal(size=(len(examples), self.layout.n_heads, self.layout.head_dim))
        for row, example in enumerate(examples):
            (named,) = [i for i, word in enumerate(self.classes) if f" {word}." in example.text]
            z[row, self.telling] = 0.1
            z[row, self.telling, named] = 6.0
        return z.astype(np.float32)


def test_probabilities_are_those_of_the_paper_s_distance():
    rng = np.random.default_rng(0)
    z, names = rng.normal(size=(5, 3, 4)), rng.normal(size=(2, 3, 4))
    x = z / np.linalg.norm(z, axis=-1, keepdims=True)
    t = names / np.linalg.norm(names, axis=-1, keepdims=True)
    logits = -0.5 * ((x[:, None] - t[None]) ** 2).sum(-1).transpose(0, 2, 1)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(name_probabilities(z, names), expected)


def test_text_heads_need_no_shots_and_take_their_heads_from_elsewhere():
    other = examples_of(["in", "out"] * 10, "other")
    elsewhere = features_of(other, telling=FEW, layout=WIDE)
    features = features_of(EXAMPLES, telling=FEW, layout=WIDE)
    model = Reading(["in", "out"], FEW)

    class Both(Reading):
        def head_activations(self, examples, **_):
            self.classes = ["in", "out"] if any("in" in e.text.split()[-1] for e in examples) else ["cat", "dog", "owl"]
            return super().head_activations(examples)

    method = TextHeads(Both([], FEW), features, elsewhere)
    without_shots = replace(PROBLEM, shots=())
    assert method.obstacle(without_shots) is None
    assert accuracy(method.predict(without_shots), PROBLEM.test) > 0.95
    # Chosen where nothing tells the classes apart, the heads are any, and most of them know nothing.
    blind = TextHeads(Both([], FEW), features, features_of(other, telling=[], layout=WIDE))
    mean = np.mean([p.probabilities[e.label] for p, e in zip(blind.predict(PROBLEM), PROBLEM.test, strict=True)])
    told = np.mean([p.probabilities[e.label] for p, e in zip(method.predict(PROBLEM), PROBLEM.test, strict=True)])
    assert told > mean + 0.02
    assert model.asked == []


def test_classes_are_named_in_the_words_of_their_answers():
    task = Task(name="t", template="{q}", answers={"cat": "feline", "dog": "canine", "owl": "bird"})
    model = Reading(["feline", "canine", "bird"], FEW)
    method = VisionAndTextHeads(model, features_of(EXAMPLES, telling=FEW, layout=WIDE))
    assert accuracy(method.predict(replace(PROBLEM, task=task)), PROBLEM.test) > 0.95
    assert model.asked == ["This is feline.", "This is canine.", "This is bird."]


def test_the_mixture_goes_with_whichever_knows():
    """Where names mean nothing the shots decide; where the shots mean nothing the names do."""
    nameless = VisionAndTextHeads(Reading(PROBLEM.classes, []), features_of(EXAMPLES, telling=FEW, layout=WIDE))
    assert accuracy(nameless.predict(PROBLEM), PROBLEM.test) > 0.95
    by_name = VisionAndTextHeads(
        Reading(PROBLEM.classes, range(WIDE.n_heads)), features_of(EXAMPLES, telling=range(WIDE.n_heads), layout=WIDE)
    )
    wrong = tuple(replace(e, label=PROBLEM.classes[i % 3]) for i, e in enumerate(PROBLEM.shots))
    assert accuracy(by_name.predict(PROBLEM), PROBLEM.test) == 1.0
    assert nameless.obstacle(replace(PROBLEM, shots=wrong[:1])) is not None


def test_the_weight_is_that_which_is_right_most_often():
    targets = np.array([0, 1, 0, 1])
    knows, wrong = np.eye(2)[targets], 1 - np.eye(2)[targets]
    unsure = np.full((4, 2), 0.5)
    assert best_weight(knows, wrong, targets) == pytest.approx(0.6)
    assert best_weight(wrong, knows, targets) == pytest.approx(0.4)
    assert best_weight(knows, unsure, targets) == pytest.approx(0.5)


def test_shots_are_held_out_where_the_weight_is_chosen():
    """Features of pure noise: fitted on them `hec` would be sure of its shots, held out it is at chance."""
    noise = features_of(EXAMPLES, telling=[], layout=WIDE)
    labels = np.array([e.label for e in EXAMPLES])
    shares = held_out_probabilities(noise.z, labels)
    classes = np.unique(labels)
    assert (classes[shares.argmax(axis=1)] == labels).mean() < 0.6
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_of_equal_heads_the_first_are_kept():
    kept = best_text_heads(np.full((4, 30, 2), 0.5), np.array([0, 1, 0, 1]))
    assert kept.tolist() == list(range(KEPT))


def test_only_what_is_offered_competes():
    features = features_of(EXAMPLES, telling=FEW, layout=WIDE)
    method = VisionAndTextHeads(Reading(PROBLEM.classes, FEW), features)
    offered = tuple(replace(e, choices=("cat", "dog")) for e in PROBLEM.test)
    predictions = method.predict(replace(PROBLEM, test=offered))
    assert {p.label for p in predictions} == {"cat", "dog"}
    assert all(p.probabilities["owl"] == 0 for p in predictions)


def test_what_they_cannot_answer():
    features = features_of(EXAMPLES, telling=FEW, layout=WIDE)
    model = Reading(PROBLEM.classes, FEW)
    other = features_of(examples_of(["in", "out"] * 4), telling=FEW, layout=LAYOUT)
    assert "another backbone" in TextHeads(model, features, other).obstacle(PROBLEM)
    assert "single shot" in VisionAndTextHeads(model, features).obstacle(replace(PROBLEM, shots=PROBLEM.shots[4:]))
    two = tuple(shot for shot in PROBLEM.shots if shot.label != "owl")
    assert "every class" in VisionAndTextHeads(model, features).obstacle(replace(PROBLEM, shots=two))
