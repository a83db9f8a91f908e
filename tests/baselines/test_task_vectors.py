"""Task vectors: the search finds the heads that lower the loss, and the answers are those of the replaced heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from problems import examples_of
from savs.baselines.in_context import interleave
from savs.baselines.method import Problem
from savs.baselines.task_vectors import (
    Adam,
    Search,
    TaskVectors,
    choose_heads,
    mean_activations,
    reinforce_gradient,
)
from savs.data.example import Example
from savs.data.tasks import Task

TASK = Task(name="t", template="{q}", answers={"red": "Yes", "blue": "No"})
TINY = Search(prompts=3, shots=2, steps=2, samples=3, final_sets=2, judged_on=2)


def test_the_gradient_is_that_of_the_policy_loss():
    rng = np.random.default_rng(0)
    logits, gates, reward = rng.normal(size=4), rng.random((6, 4)) < 0.5, rng.normal(size=6)
    parameter = torch.tensor(logits, requires_grad=True)
    advantage = torch.tensor((reward - reward.mean()) / reward.std())
    log_p = torch.distributions.Bernoulli(logits=parameter).log_prob(torch.tensor(gates, dtype=torch.float64)).sum(1)
    (-(advantage * log_p).mean()).backward()
    np.testing.assert_allclose(reinforce_gradient(logits, gates, reward), parameter.grad.numpy(), atol=1e-12)


def test_equal_rewards_teach_nothing():
    assert not reinforce_gradient(np.zeros(3), np.eye(3, dtype=bool), np.full(3, 0.7)).any()


def test_adam_is_adam():
    rng = np.random.default_rng(0)
    parameter = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    theirs, ours, values = torch.optim.Adam([parameter], lr=0.1), Adam(0.1), np.zeros(3)
    for _ in range(5):
        gradient = rng.normal(size=3)
        parameter.grad = torch.tensor(gradient)
        theirs.step()
        values = values - ours.step(gradient)
        np.testing.assert_allclose(values, parameter.detach().numpy(), atol=1e-10)


def test_the_search_finds_the_heads_that_help():
    """Two of twelve heads lower the loss and one raises it; a search that learns the wrong way fails this."""
    worth = np.zeros(12)
    worth[[2, 7]], worth[5] = 2.0, -2.0
    rng = np.random.default_rng(0)

    def losses(example, gates):
        return -(gates @ worth) + rng.normal(scale=0.1, size=len(gates))

    search = Search(steps=80, samples=16)
    gates = choose_heads(losses, examples_of("ab" * 5), n_heads=12, search=search, seed=0)
    assert gates[2] and gates[7] and not gates[5]
    worst = choose_heads(lambda e, g: -losses(e, g), examples_of("ab" * 5), n_heads=12, search=search, seed=0)
    assert worst[5] and not worst[2] and not worst[7]


def test_the_paper_s_sizes_are_the_defaults():
    search = Search()
    assert (search.prompts, search.shots, search.samples, search.final_sets) == (100, 4, 32, 10)
    assert (search.learning_rate, search.initial_logit) == (0.1, -1.0)


@pytest.fixture
def problem(picture):
    shots = tuple(Example(f"s{i}", f"Red {i}?", (picture(i),), label=("red", "blue")[i % 2]) for i in range(6))
    test = tuple(Example(f"t{i}", "Red?", (picture(50 + i),), label="red") for i in range(3))
    return Problem(("blue", "red"), shots, test, TASK)


def test_means_are_taken_at_the_end_of_many_shot_prompts(problem):
    class Reading:
        def head_activations(self, examples, **_):
            self.asked = list(examples)
            return np.stack([np.full((2, 3), i, dtype=np.float32) for i in range(len(examples))])

    model = Reading()
    means = mean_activations(model, problem, replace(TINY, prompts=5))
    np.testing.assert_array_equal(means, np.full((2, 3), 2.0))
    shots = {shot.text: shot for shot in problem.shots}
    for asked in model.asked:
        parts = [line for line in asked.text.replace("<image>", "").split("\n") if line]
        assert len(parts) == 5  # two shots with answers, and a query without
        first, second, query = (shots[parts[i]] for i in (0, 2, 4))
        assert len({first.id, second.id, query.id}) == 3
        assert asked == interleave([first, second], query, TASK)
    assert len({asked.text for asked in model.asked}) > 1


@pytest.mark.parametrize("form", ["free", "choice"])
def test_a_real_model_answers_from_the_vectors(form, backbone, problem):
    model = backbone("llava")
    method = TaskVectors(model, form, TINY)
    assert method.obstacle(problem) is None
    before = model.head_activations(problem.test), model.answer_log_likelihoods(problem.test, ["Yes", "No"])
    predictions = method.predict(problem)
    assert [p.id for p in predictions] == ["t0", "t1", "t2"]
    assert predictions == method.predict(problem)
    np.testing.assert_array_equal(model.head_activations(problem.test), before[0])
    np.testing.assert_array_equal(model.answer_log_likelihoods(problem.test, ["Yes", "No"]), before[1])
    if form == "choice":
        shares = np.exp(before[1]) / np.exp(before[1]).sum(axis=1, keepdims=True)
        assert np.abs([p.probabilities["red"] for p in predictions] - shares[:, 0]).max() > 1e-4


def test_what_it_cannot_answer(backbone, problem):
    assert "this backbone is none" in TaskVectors(object()).obstacle(problem)
    few = replace(problem, shots=problem.shots[:4])
    assert "5 labelled examples, and there are 4" in TaskVectors(backbone("llava")).obstacle(few)
