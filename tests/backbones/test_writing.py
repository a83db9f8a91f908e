"""What a model writes is all of its answer, none of its prompt, and what it writes after that prompt alone."""

import json

import numpy as np
import pytest
import torch

from benchmarks.families.certify import build
from benchmarks.families.processors import processor_for
from benchmarks.families.shrink import shrunk
from savs.backbones.huggingface import load_backbone
from savs.backbones.likelihood import answer_logits, first_logits
from savs.data.example import Example
from savs.errors import BackboneError


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A tiny model of a type as `load_backbone` opens it, which tells the numbers of the tokens that it writes.

    Of most of them its tokenizer has no text.
    """

    def of_type(model_type):
        config = shrunk(model_type)
        processor_for(config).save_pretrained(tmp_path)  # which tells the configuration its image token
        torch.manual_seed(0)
        build(config, model_type).save_pretrained(tmp_path)
        model = load_backbone(tmp_path, dtype="float32", device="cpu")
        monkeypatch.setattr(model._tokenizer, "batch_decode", lambda rows, **_: [str(row.tolist()) for row in rows])
        return model

    return of_type


@pytest.fixture
def examples(picture):
    """Two prompts of unlike lengths, each with a picture."""
    return [Example(str(i), "is it red? " * (i + 1), (picture(i, (64, 64)),)) for i in range(2)]


def by_hand(model, example, n_tokens):
    """The most likely next token, one after another, from whole passes."""
    inputs = model._inputs([example])
    name = "decoder_input_ids" if model.model.config.is_encoder_decoder else "input_ids"
    start = ids = inputs[name]
    for _ in range(n_tokens):
        more = {"attention_mask": torch.ones_like(ids)} if name == "input_ids" else {}
        with torch.inference_mode():
            logits = model.model(**(inputs | {name: ids} | more)).logits[0, -1]
        ids = torch.cat([ids, logits.argmax()[None, None]], dim=1)
    return str(ids[0, start.shape[1] :].tolist())


@pytest.mark.parametrize("model_type", ["t5gemma2", "llava"])
def test_the_answer_is_what_the_model_holds_likeliest(model_type, opened, examples):
    model = opened(model_type)  # the first an encoder-decoder, which gives no prompt back
    expected = [by_hand(model, example, 3) for example in examples]
    assert model.generate(examples, max_new_tokens=3) == expected
    assert len(set(expected)) == 2


def test_a_prompt_that_the_model_cuts_cuts_nothing_off_the_answer(opened, examples):
    model = opened("blip")  # takes the last token off
    assert [len(json.loads(answer)) for answer in model.generate(examples, max_new_tokens=3)] == [3, 3]


@pytest.mark.parametrize(
    ("model_type", "shares"), [("kosmos-2", False), ("instructblip", False), ("blip", False), ("llava", True)]
)
def test_prompts_share_a_batch_where_they_do_not_change_each_other(model_type, shares, opened, examples):
    model = opened(model_type)
    alone = [model.generate([example], max_new_tokens=4)[0] for example in examples]
    assert model.generate(examples, max_new_tokens=4) == alone
    assert model.generate(examples, max_new_tokens=4) == alone  # what was found out is kept
    assert model._writer._mixing.padding_is_harmless is shares


def test_a_model_that_goes_wrong_where_it_writes_on_is_found_out(opened):
    model = opened("git")
    texts = [Example(str(i), "is it red? " * (i + 1)) for i in range(2)]
    alone = [model.generate([text], max_new_tokens=3)[0] for text in texts]
    assert model.generate(texts, max_new_tokens=3) == alone
    assert model._writer._mixing.padding_is_harmless is False


def test_scores_are_those_of_each_row_alone(opened, picture):
    model = opened("emu3")  # whose processor pads small images to large ones
    examples = [Example(str(i), "is it?", (picture(i, (32, 32 + 16 * (i % 2))),)) for i in range(4)]
    alone = [model.answer_log_likelihoods([example], ["yes", "it may be so"]) for example in examples]
    np.testing.assert_allclose(
        model.answer_log_likelihoods(examples, ["yes", "it may be so"]), np.concatenate(alone), atol=1e-4
    )


def test_no_other_part_of_a_model_sees_the_answer_that_is_scored(opened, examples):
    model = opened("instructblip")  # whose images are read with the prompt in mind
    with torch.inference_mode():
        before, whole = first_logits(model, examples[:1]), answer_logits(model, examples[:1], ["Maybe so it is"])[0]
    np.testing.assert_allclose(whole[0], before[0], atol=1e-4 * float(before.abs().max()))


def test_what_a_model_does_not_take_is_refused_in_words(opened):
    model, text = opened("blip"), [Example("only", "is it red?")]
    for answer in (lambda: model.generate(text), lambda: model.answer_log_likelihoods(text, ["yes", "maybe"])):
        with pytest.raises(BackboneError, match=r"does not take text alone: .*pixel_values.* \(example 'only'\)"):
            answer()
