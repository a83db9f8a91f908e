"""Every method can be made by name, and one that lacks what it needs says so instead of answering."""

from types import SimpleNamespace

import pytest

from problems import features_of, problem_of
from savs.backbones.base import BackboneSpec
from savs.backbones.tuning import Tuning
from savs.baselines.chat_client import ChatClient, Endpoint
from savs.baselines.image_text import Towers
from savs.baselines.method import Method, Unavailable
from savs.baselines.registry import METHODS, Resources, build
from savs.baselines.task_vectors import Search
from savs.errors import BackboneError, SavsError

PROBLEM = problem_of()


@pytest.mark.parametrize("name", METHODS)
def test_without_resources_a_method_says_what_it_lacks(name):
    (method,) = build([name], Resources())
    assert isinstance(method, Method)
    assert method.name == name
    if name == "majority":
        assert method.obstacle(PROBLEM) is None
        return
    reason = method.obstacle(PROBLEM)
    assert reason.startswith("it needs")
    with pytest.raises(BackboneError, match=reason[:12]):
        method.predict(PROBLEM)


def test_methods_come_in_the_order_asked_for():
    features = features_of((*PROBLEM.shots, *PROBLEM.test), telling=[1])
    methods = build(["hec", "majority", "sav"], Resources(features=features))
    assert [method.name for method in methods] == ["hec", "majority", "sav"]
    assert [len(method.predict(PROBLEM)) for method in methods] == [len(PROBLEM.test)] * 3


def test_a_method_is_called_what_it_was_asked_for():
    features = features_of((*PROBLEM.shots, *PROBLEM.test), telling=[1])
    everything = Resources(
        backbone=SimpleNamespace(spec=BackboneSpec("m", "1", "float32", "none")),
        features=features,
        elsewhere=features,
        dual_encoders={"clip": Towers(None), "siglip": Towers(None)},
        endpoint=ChatClient(Endpoint("https://host/v1", "m")),
    )
    methods = build(METHODS, everything)
    assert [method.name for method in methods] == list(METHODS)
    assert not any(isinstance(method, Unavailable) for method in methods)


def test_a_small_model_gets_short_searches():
    resources = Resources(tuning=Tuning(epochs=7))
    assert resources.sized_for("some/model-7b") == resources
    small = resources.sized_for("demo")
    assert small.search.prompts < Search().prompts
    assert small.tuning.learning_rate > Tuning().learning_rate


def test_a_name_that_is_none_is_answered_with_the_nearest():
    with pytest.raises(SavsError, match="'majoritty'; did you mean 'majority'"):
        build(["majoritty"], Resources())


def test_the_majority_is_that_of_the_shots():
    problem = problem_of(classes=("cat", "dog"))
    uneven = type(problem)(problem.classes, problem.shots[3:], problem.test)
    (method,) = build(["majority"], Resources())
    predictions = method.predict(uneven)
    assert {p.label for p in predictions} == {"dog"}
    assert predictions[0].probabilities == pytest.approx({"cat": 2 / 7, "dog": 5 / 7})
    assert {p.label for p in method.predict(problem)} == {"cat"}
    assert method.obstacle(type(problem)(problem.classes, (), problem.test)) == "it needs shots to count"
