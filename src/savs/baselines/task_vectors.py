"""Multimodal task vectors (MTV, arXiv 2406.15334): what many-shot prompts leave in some heads, put into a bare prompt.

Knows how the heads are chosen. Knows no metric and no file; how a model reads and is written to is the backbone's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones.base import Backbone, Progress
from savs.baselines.in_context import cannot_interleave, draw_balanced, interleave
from savs.baselines.method import Problem
from savs.baselines.zero_shot import Form, answer_in
from savs.data.example import Example
from savs.features import FloatArray
from savs.prediction import Prediction

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Search:
    """How long the heads are looked for. The defaults are the paper's, but for the steps, which it does not tell.

    Attributes:
        prompts: many-shot prompts behind the mean of each head.
        shots: labelled examples in each of them.
        steps: of gradient ascent on the gates.
        samples: gate sets drawn in a step.
        learning_rate: of Adam.
        initial_logit: of every gate.
        final_sets: gate sets drawn at the end, of which the best is kept.
        judged_on: training examples that these are judged on.
    """

    prompts: int = 100
    shots: int = 4
    steps: int = 100
    samples: int = 32
    learning_rate: float = 0.1
    initial_logit: float = -1.0
    final_sets: int = 10
    judged_on: int = 20


#: The loss of an example under each of several gate sets: `[n_sets, n_heads]` -> `[n_sets]`.
Losses = Callable[[Example, Bools], Float]

#: For a model of a few million weights on a few cores.
SMALL = Search(prompts=20, steps=20, samples=8, judged_on=8)


@dataclass(frozen=True)
class TaskVectors:
    """MTV: heads' means over many-shot prompts replace those heads' outputs at the last token of the bare prompt.

    Which heads, is learned by REINFORCE over one Bernoulli gate a head: the reward of a gate set is the
    log-probability that it gives to the first token of a training example's answer.

    Attributes:
        backbone: the frozen model.
        form: how it answers: `free`, written and matched to a label, or `choice`, the likeliest label.
        search: how long the heads are looked for.
    """

    backbone: Backbone
    form: Form = "free"
    search: Search = field(default_factory=Search)

    @property
    def name(self) -> str:
        """Of the row: one for each form."""
        return f"mtv-{self.form}"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        model = getattr(self.backbone, "model", None)
        if model is None:
            return "it writes into the heads of a transformers model, and this backbone is none"
        if getattr(model.config, "is_encoder_decoder", False):
            return "it replaces heads at the prompt's last token, which an encoder-decoder reads elsewhere"
        # A query of the training set comes on top of its shots.
        return cannot_interleave(self.backbone, problem, self.search.shots + 1)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Find means and heads on the shots, then answer the test examples with them in place."""
        from savs.backbones.steering import first_token_losses, steered

        backbone: Any = self.backbone
        means = mean_activations(self.backbone, problem, self.search)
        gates = choose_heads(
            lambda example, gates: first_token_losses(
                backbone, example, problem.task.answer(str(example.label)), means, gates
            ),
            problem.shots,
            n_heads=len(means),
            search=self.search,
            seed=problem.seed,
        )
        with steered(backbone, means, gates):
            return answer_in(self.form, backbone, problem, progress=progress)


def mean_activations(backbone: Backbone, problem: Problem, search: Search) -> FloatArray:
    """Each head's mean output at the end of prompts of labelled examples and a query: `[n_heads, head_dim]`."""
    rng = np.random.default_rng([problem.seed, 0])
    prompts = []
    for _ in range(search.prompts):
        *shots, query = draw_balanced(problem.shots, search.shots + 1, rng)
        prompts.append(interleave(shots, query, problem.task))
    return np.asarray(backbone.head_activations(prompts).mean(axis=0, dtype=np.float64), dtype=np.float32)


def choose_heads(losses: Losses, shots: Sequence[Example], *, n_heads: int, search: Search, seed: int) -> Bools:
    """The heads to replace, `[n_heads]`: learned by REINFORCE, then the best of a few draws on training loss."""
    rng = np.random.default_rng([seed, 1])
    logits = np.full(n_heads, search.initial_logit)
    adam = Adam(search.learning_rate)
    for _ in range(search.steps):
        gates = rng.random((search.samples, n_heads)) < sigmoid(logits)
        reward = -losses(shots[int(rng.integers(len(shots)))], gates)
        logits = logits - adam.step(reinforce_gradient(logits, gates, reward))
    drawn = rng.random((search.final_sets, n_heads)) < sigmoid(logits)
    judges = [shots[i] for i in rng.permutation(len(shots))[: search.judged_on]]
    total = np.sum([losses(example, drawn) for example in judges], axis=0)
    return np.asarray(drawn[int(total.argmin())])


def reinforce_gradient(logits: Float, gates: Bools, reward: Float) -> Float:
    """Gradient of `-mean(advantage * log p(gates))` with the rewards standardised (Williams 1992): `[n_heads]`.

    Args:
        logits: `[n_heads]` of the Bernoulli gates, for which `d log p / d logit = gate - sigmoid(logit)`.
        gates: `[n_samples, n_heads]`, drawn.
        reward: `[n_samples]`.
    """
    centred, spread = reward - reward.mean(), float(reward.std())
    rounding = 1e-9 * float(np.abs(reward).max())  # equal rewards differ by that from their mean, and teach nothing
    advantage = centred / spread if spread > rounding else np.zeros_like(reward)
    return np.asarray(-(advantage[:, None] * (gates - sigmoid(logits))).mean(axis=0))


class Adam:
    """The update rule of Kingma and Ba (arXiv 1412.6980), with its usual decays."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._steps = 0
        self._mean: Float = np.zeros(())
        self._square: Float = np.zeros(())

    def step(self, gradient: Float) -> Float:
        """What to subtract from the parameters."""
        self._steps += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient**2
        mean = self._mean / (1 - 0.9**self._steps)
        square = self._square / (1 - 0.999**self._steps)
        return np.asarray(self.learning_rate * mean / (np.sqrt(square) + 1e-8))


def sigmoid(x: Float) -> Float:
    """`1 / (1 + exp(-x))`."""
    return np.asarray(1 / (1 + np.exp(-x)))
