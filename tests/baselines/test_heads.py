"""Rows that read head features: right where heads tell the classes apart, at chance where none does."""

from dataclasses import replace

import numpy as np
import pytest

from problems import accuracy, examples_of, features_of, problem_of
from savs.baselines.heads import SAVs, SparseLayers, TransferredHeads, layers_of
from savs.classify import PRESETS, SAVClassifier
from savs.features import HeadFeatures, HeadId, HeadLayout

PROBLEM = problem_of()
EXAMPLES = (*PROBLEM.shots, *PROBLEM.test)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_finds_the_heads_that_tell(preset):
    features = features_of(EXAMPLES, telling=[1, 6, 7])
    method = SAVs(features, SAVClassifier.from_preset(preset, k=3), preset)
    assert method.obstacle(PROBLEM) is None
    predictions = method.predict(PROBLEM)
    assert accuracy(predictions, PROBLEM.test) > 0.95
    assert set(predictions[0].votes) == {HeadId(0, 1), HeadId(1, 2), HeadId(1, 3)}
    blind = SAVs(features_of(EXAMPLES, telling=[]), SAVClassifier.from_preset(preset, k=3), preset)
    assert accuracy(blind.predict(PROBLEM), PROBLEM.test) < 0.7


def test_features_are_found_by_id_and_not_by_place():
    features = features_of(EXAMPLES, telling=[1, 6, 7])
    shuffled = features.take(np.random.default_rng(1).permutation(len(features)))
    assert SAVs(shuffled).predict(PROBLEM) == SAVs(features).predict(PROBLEM)


def test_what_it_cannot_answer():
    features = features_of(EXAMPLES, telling=[1])
    without = features.take(range(len(features) - 2))
    assert SAVs(without).obstacle(PROBLEM) == f"2 examples have no features, the first {PROBLEM.test[-2].id!r}"
    one_class = replace(PROBLEM, shots=PROBLEM.shots[:5])
    assert SAVs(features).obstacle(one_class) == "it needs shots of at least two classes"
    one_shot = replace(PROBLEM, shots=PROBLEM.shots[4:])
    assert SAVs(features).obstacle(one_shot) is None
    assert "class 'cat' has a single shot" in SAVs(features, SAVClassifier.from_preset("calm")).obstacle(one_shot)


def test_the_classifier_given_is_not_fitted():
    classifier = SAVClassifier(k=2)
    SAVs(features_of(EXAMPLES, telling=[1]), classifier).predict(PROBLEM)
    assert not hasattr(classifier, "classes_")


def test_transferred_heads_are_those_of_the_other_task():
    """Head 5 tells this task's classes and head 2 the other's: what was chosen there decides here."""
    other = examples_of(["in", "out"] * 10, "other")
    features = features_of(EXAMPLES, telling=[5])
    rule = SAVClassifier(k=1)
    helpful = TransferredHeads(features, features_of(other, telling=[5]), rule).predict(PROBLEM)
    useless = TransferredHeads(features, features_of(other, telling=[2]), rule).predict(PROBLEM)
    assert accuracy(helpful, PROBLEM.test) > 0.95
    assert set(helpful[0].votes) == {HeadId(1, 1)} and set(useless[0].votes) == {HeadId(0, 2)}
    assert accuracy(useless, PROBLEM.test) < 0.7
    assert helpful == SAVs(features, rule).predict(PROBLEM)


def test_heads_of_another_backbone_cannot_be_transferred():
    features = features_of(EXAMPLES, telling=[5])
    elsewhere = features_of(examples_of(["in", "out"] * 4), telling=[5], layout=HeadLayout.grid(2, 4, 8))
    assert "another backbone" in TransferredHeads(features, elsewhere).obstacle(PROBLEM)
    same_shape = replace(features_of(examples_of(["in", "out"] * 4), telling=[5]), fingerprint="other")
    assert "another backbone" in TransferredHeads(features, same_shape).obstacle(PROBLEM)
    unlabelled = replace(features, labels=(None,) * len(features))
    assert "fewer than two classes" in TransferredHeads(features, unlabelled).obstacle(PROBLEM)


def test_a_layer_is_its_heads_side_by_side():
    z = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    heads = [HeadId(0, 0), HeadId(0, 1), HeadId(0, 2), HeadId(4, 0), HeadId(4, 1)]
    layers = layers_of(z, heads)
    assert layers.shape == (2, 2, 9)
    np.testing.assert_array_equal(layers[:, 0], z[:, :3].reshape(2, 9))
    np.testing.assert_array_equal(layers[:, 1, :6], z[:, 3:].reshape(2, 6))
    assert not layers[:, 1, 6:].any()


def test_sparse_layers_use_what_lies_spread_over_a_layer():
    """Each head of layer 1 tells a little; together they tell all, and no head is named as a voter."""
    features = features_of(EXAMPLES, telling=[4, 5, 6, 7], distance=2.5)
    layered = SparseLayers(features, SAVClassifier(k=1)).predict(PROBLEM)
    single = SAVs(features, SAVClassifier(k=1)).predict(PROBLEM)
    assert accuracy(layered, PROBLEM.test) > 0.95 > accuracy(single, PROBLEM.test)
    assert layered[0].votes == {}


def test_features_may_hold_more_than_the_problem():
    more = (*examples_of(["cat", "dog"] * 3, "elsewhere"), *EXAMPLES)
    features = features_of(more, telling=[1, 6])
    rows = [features.ids.index(e.id) for e in EXAMPLES]
    narrow = HeadFeatures(
        features.z[rows], tuple(e.id for e in EXAMPLES), tuple(e.label for e in EXAMPLES), features.layout, "made"
    )
    assert SAVs(features).predict(PROBLEM) == SAVs(narrow).predict(PROBLEM)
