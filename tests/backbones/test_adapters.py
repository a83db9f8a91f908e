"""LoRA: it learns what it is taught, and leaves the backbone as it was, bit for bit."""

import numpy as np
import pytest
import torch

pytest.importorskip("peft")

from savs.backbones import adapters
from savs.backbones.adapters import adapted, answer_loss, attention_linears
from savs.backbones.tuning import Tuning
from savs.data.example import Example
from savs.errors import BackboneError

KINDS = ["llama", "gpt2", "llava", "qwen2_vl"]
QUICK = Tuning(rank=4, epochs=1, learning_rate=1e-2, batch_size=4)


@pytest.fixture
def taught(backbone, picture):
    def teach(kind):
        model = backbone(kind)
        media = [(picture(i),) if model.takes_images else () for i in range(6)]
        examples = [Example(str(i), f"{'odd' if i % 2 else 'even'} {i}?", media[i]) for i in range(6)]
        return model, examples, ["No" if i % 2 else "Yes" for i in range(6)]

    return teach


@pytest.mark.parametrize("kind", KINDS)
def test_the_backbone_is_itself_again(kind, taught):
    model, examples, answers = taught(kind)
    modules, state = dict(model.model.named_modules()), set(vars(model.model))
    before = model.head_activations(examples), model.answer_log_likelihoods(examples, ["Yes", "No"])
    with adapted(model, examples, answers, tuning=QUICK):
        during = model.head_activations(examples), model.answer_log_likelihoods(examples, ["Yes", "No"])
    assert np.abs(during[0] - before[0]).max() > 1e-4 and np.abs(during[1] - before[1]).max() > 1e-4
    np.testing.assert_array_equal(model.head_activations(examples), before[0])
    np.testing.assert_array_equal(model.answer_log_likelihoods(examples, ["Yes", "No"]), before[1])
    after = dict(model.model.named_modules())
    assert list(after) == list(modules) and all(after[name] is modules[name] for name in modules)
    assert not any(weight.requires_grad for weight in model.model.parameters())
    assert not model.model.training
    assert set(vars(model.model)) - state <= {"_hf_peft_config_loaded"}


def test_it_is_itself_again_after_an_error_too(taught):
    model, examples, answers = taught("llava")
    before = model.head_activations(examples)
    with pytest.raises(ZeroDivisionError), adapted(model, examples, answers, tuning=QUICK):
        raise ZeroDivisionError
    np.testing.assert_array_equal(model.head_activations(examples), before)


@pytest.mark.parametrize("kind", ["llama", "llava"])
def test_it_learns_what_it_is_taught(kind, taught):
    model, examples, answers = taught(kind)
    rows, right = np.arange(6), np.array([1 if a == "No" else 0 for a in answers])
    with adapted(model, examples, answers, tuning=Tuning(rank=8, epochs=25, learning_rate=2e-2, batch_size=6)) as loss:
        scores = model.answer_log_likelihoods(examples, ["Yes", "No"])
    assert loss[-1] < loss[0] - 0.3
    assert (scores[rows, right] > scores[rows, 1 - right]).all()


def test_equal_seeds_give_equal_adapters(taught):
    model, examples, answers = taught("llava")
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(losses))  # nobody else's randomness plays a part
        with adapted(model, examples, answers, tuning=QUICK, seed=seed) as loss:
            losses.append((loss, model.answer_log_likelihoods(examples, ["Yes"])))
    np.testing.assert_array_equal(losses[0][1], losses[1][1])
    assert np.abs(losses[0][1] - losses[2][1]).max() > 1e-6


def test_the_loss_is_that_of_the_answer_alone(taught):
    model, examples, _ = taught("llama")
    with torch.inference_mode():
        loss = float(answer_loss(model, examples[:2], ["No", "No"]))
    with_end = f"No{model._tokenizer.eos_token}"
    tokens = len(model._tokenizer(with_end, add_special_tokens=False)["input_ids"])
    assert tokens == 3
    by_likelihood = -model.answer_log_likelihoods(examples[:2], [with_end]).mean()
    assert loss == pytest.approx(by_likelihood, abs=1e-5)


@pytest.mark.parametrize("kind", ["llama", "llava"])
def test_a_step_that_does_not_fit_is_taken_in_halves(kind, taught, monkeypatch):
    model, examples, answers = taught(kind)
    answers[2] = "a longer answer"  # each example counts alike, however long its answer
    with adapted(model, examples, answers, tuning=QUICK) as whole:
        expected = model.answer_log_likelihoods(examples, ["Yes", "No"])
    loss_of, tried = adapters.answer_loss, []

    def limited(backbone, examples, answers):
        tried.append(len(examples))
        loss = loss_of(backbone, examples, answers)
        if len(examples) > 1:  # on the way back, when some of the gradients are there
            loss.register_hook(lambda _: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
        return loss

    monkeypatch.setattr(adapters, "answer_loss", limited)
    with adapted(model, examples, answers, tuning=QUICK) as halved:
        np.testing.assert_allclose(model.answer_log_likelihoods(examples, ["Yes", "No"]), expected, atol=1e-4)
    assert halved == pytest.approx(whole, abs=1e-5)
    assert tried == [4, 2, 1, 1, 2, 1, 1, 2, 1, 1]


def test_one_example_that_cannot_be_learned_from_is_named(taught, monkeypatch):
    model, examples, answers = taught("llama")

    def fails(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(adapters, "answer_loss", fails)
    with pytest.raises(BackboneError, match="alone does not fit in the memory of cpu"):
        with adapted(model, examples, answers, tuning=QUICK):
            pass


def test_the_attention_of_the_text_decoder_is_adapted(backbone):
    assert len(attention_linears(backbone("llava"))) == 3 * 4
    assert all("language_model" in name for name in attention_linears(backbone("llava")))
    assert len(attention_linears(backbone("gpt2"))) == 3 * 2
