"""Replaced heads: the model answers as if they had put out the given vectors, and is itself again afterwards."""

import numpy as np
import pytest
import torch

from savs.backbones import steering
from savs.backbones.steering import first_token_losses, steered
from savs.data.example import Example
from savs.errors import BackboneError

KINDS = ["llama", "gpt2", "llava", "qwen2_vl"]


@pytest.fixture
def asked(backbone, picture):
    def ask(kind):
        model = backbone(kind)
        media = [(picture(i, (32 + 8 * i, 40)),) if model.takes_images else () for i in range(3)]
        return model, [Example(str(i), "word " * (5 * i + 1) + "?", media[i]) for i in range(3)]

    return ask


def of_all(model, value):
    return np.full((model.layout.n_heads, model.layout.head_dim), value, dtype=np.float32)


def some(model, *heads):
    gates = np.zeros(model.layout.n_heads, dtype=bool)
    gates[list(heads)] = True
    return gates


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_replaced_changes_nothing(kind, asked):
    model, examples = asked(kind)
    before = model.answer_log_likelihoods(examples, ["cat", "a dog"]), model.generate(examples, max_new_tokens=5)
    with steered(model, of_all(model, 3.0), some(model)):
        np.testing.assert_array_equal(model.answer_log_likelihoods(examples, ["cat", "a dog"]), before[0])
        assert model.generate(examples, max_new_tokens=5) == before[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_replaced_by_its_own_output_changes_nothing(kind, asked):
    """The reading and the writing agree on where heads are: which layer, which columns, which token."""
    model, examples = asked(kind)
    before = model.answer_log_likelihoods(examples, ["cat", "a dog"])
    z = model.head_activations(examples)
    every = np.ones(model.layout.n_heads, dtype=bool)
    for row, example in enumerate(examples):
        with steered(model, z[row], every):
            after = model.answer_log_likelihoods([example], ["cat", "a dog"])
        np.testing.assert_allclose(after[0], before[row], atol=1e-5)
        with steered(model, np.roll(z[row], 1, axis=0), every):  # each head gets its neighbour's: that shows
            moved = model.answer_log_likelihoods([example], ["cat", "a dog"])
        assert np.abs(moved[0] - before[row]).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_afterwards_the_model_is_itself(kind, asked):
    model, examples = asked(kind)
    before = model.answer_log_likelihoods(examples, ["cat"]), model.head_activations(examples)
    with pytest.raises(ZeroDivisionError), steered(model, of_all(model, 3.0), some(model, 1)):
        changed = model.answer_log_likelihoods(examples, ["cat"])
        raise ZeroDivisionError
    assert np.abs(changed - before[0]).max() > 1e-4
    np.testing.assert_array_equal(model.answer_log_likelihoods(examples, ["cat"]), before[0])
    np.testing.assert_array_equal(model.head_activations(examples), before[1])


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_prompts_last_token_is_written(kind, asked):
    """What `generate` writes first is what likelihoods say comes first, under the same replacement."""
    model, examples = asked(kind)
    vectors = np.random.default_rng(0).normal(size=of_all(model, 0).shape).astype(np.float32)
    gates = some(model, 0, 3, 5, 8)
    for example in examples:
        inputs = model._inputs([example])
        with steered(model, vectors, gates), torch.inference_mode():
            last = torch.tensor([inputs["input_ids"].shape[1] - 1])
            with model.edited(last):
                logits = model.model(**inputs, use_cache=False).logits[0]
            plain = model.model(**inputs, use_cache=False).logits[0]
            first = model.model.generate(**inputs, do_sample=False, max_new_tokens=1)
            with model.edited(torch.tensor([-1])):
                token = model.model.generate(**inputs, do_sample=False, max_new_tokens=1)[0, -1]
        assert int(token) == int(logits[-1].argmax())
        torch.testing.assert_close(logits[:-1], plain[:-1])
        assert float((logits[-1] - plain[-1]).abs().max()) > 1e-4
        assert int(first[0, -1]) == int(plain[-1].argmax())


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_many_gates_are_those_of_each(kind, asked):
    model, examples = asked(kind)
    vectors = np.random.default_rng(0).normal(size=of_all(model, 0).shape).astype(np.float32)
    gates = np.random.default_rng(1).random((5, model.layout.n_heads)) < 0.3
    losses = first_token_losses(model, examples[1], "x", vectors, gates, batch_size=2)
    for row in range(5):
        with steered(model, vectors, gates[row]):
            alone = model.answer_log_likelihoods([examples[1]], ["x"])
        # An answer of one token; where the tokenizer makes a space of its own, the first token is the space.
        if len(model._tokenizer(" x", add_special_tokens=False)["input_ids"]) == 1 or kind != "gpt2":
            assert losses[row] == pytest.approx(-float(alone[0, 0]), abs=1e-5)
    assert losses.std() > 1e-4


def test_gates_that_do_not_fit_are_tried_in_halves(asked, monkeypatch):
    model, examples = asked("llama")
    gates = np.random.default_rng(1).random((5, model.layout.n_heads)) < 0.3
    expected = first_token_losses(model, examples[1], "x", of_all(model, 3.0), gates)
    logits, most, tried = steering.answer_logits, [2], []

    def limited(backbone, rows, answers):
        tried.append(len(rows))
        if len(rows) > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits(backbone, rows, answers)

    monkeypatch.setattr(steering, "answer_logits", limited)
    losses = first_token_losses(model, examples[1], "x", of_all(model, 3.0), gates)
    np.testing.assert_allclose(losses, expected, atol=1e-5)
    assert tried == [5, 2, 3, 1, 2]
    most[0] = 0
    with pytest.raises(BackboneError, match="example '1' alone does not fit"):
        first_token_losses(model, examples[1], "x", of_all(model, 3.0), gates)
