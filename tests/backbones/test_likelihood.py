"""Answers are scored by the tokens that the model is given, whatever is written around them."""

import json
import shutil

import numpy as np
import pytest
import torch
from tokenizers.normalizers import Replace
from tokenizers.processors import TemplateProcessing

from savs.backbones.huggingface import load_backbone
from savs.backbones.steering import first_token_losses
from savs.data.example import Example
from savs.errors import BackboneError
from tiny_models import paligemma

TEMPLATE = "{{ messages[0]['content'] }} ASSISTANT:"
ANSWERS = ["x", "y", "Maybe", "no more"]


class Writing:
    """A processor that writes something around every text, and no special tokens."""

    def __init__(self, processor, before="", behind=""):
        self.processor, self.before, self.behind = processor, before, behind

    def __getattr__(self, name):
        return getattr(self.processor, name)

    def __call__(self, text, **options):
        text = [f"{self.before}{one}{self.behind}" for one in text]
        return self.processor(text=text, **(options | {"add_special_tokens": False}))


def log_probabilities(model, prompt, tokens):
    """Of tokens behind the inputs of one prompt, by hand."""
    ids = torch.cat([prompt["input_ids"], torch.tensor([tokens])], dim=1)
    with torch.inference_mode():
        logits = model.model(**(prompt | {"input_ids": ids, "attention_mask": torch.ones_like(ids)})).logits[0]
    first = prompt["input_ids"].shape[1]
    return [float(logits[first + i - 1].log_softmax(-1)[token]) for i, token in enumerate(tokens)]


@pytest.fixture(params=["an end by the tokenizer alone", "a newline by the processor", "both"])
def odd(request, model_folder):
    """A model whose tokenizer ends a text as XLM-R's does, or whose processor writes on as PaliGemma's does."""
    model = load_backbone(model_folder("llava"), dtype="float32", device="cpu")
    if request.param != "a newline by the processor":
        ends = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
        model._tokenizer.backend_tokenizer.post_processor = ends
    behind = "" if request.param == "an end by the tokenizer alone" else "\n"
    model._encoder._processor = Writing(model.processor, "<s>", behind)
    return model


def test_what_stands_around_an_answer_is_not_scored(odd, picture):
    examples = [Example(str(i), "word " * (4 * i + 1) + "?", (picture(i),)) for i in range(2)]
    scores = odd.answer_log_likelihoods(examples, ANSWERS)
    every = np.zeros((1, odd.layout.n_heads), dtype=bool)
    vectors = np.zeros((odd.layout.n_heads, odd.layout.head_dim), dtype=np.float32)
    for row, example in enumerate(examples):
        prompt = odd._inputs([example])
        for column, answer in enumerate(ANSWERS):
            tokens = odd._tokenizer(answer, add_special_tokens=False)["input_ids"]
            by_hand = log_probabilities(odd, prompt, tokens)
            assert scores[row, column] == pytest.approx(np.mean(by_hand), abs=1e-5)
            losses = first_token_losses(odd, example, answer, vectors, every)
            assert losses == pytest.approx([-by_hand[0]], abs=1e-5)
    assert len(set(scores[0].round(4))) == len(ANSWERS)


def step_by_step(model, prompt, tokens, kind):
    """Log-probabilities of tokens as the model writes them, one after the other, each of a kind."""
    found, ids, kinds = [], prompt["input_ids"], prompt["token_type_ids"]
    for token in tokens:
        inputs = prompt | {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": kinds}
        with torch.inference_mode():
            found.append(float(model.model(**inputs).logits[0, -1].log_softmax(-1)[token]))
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        kinds = torch.cat([kinds, torch.tensor([[kind]])], dim=1)
    return found


def test_a_prompt_that_is_read_in_both_directions_does_not_see_its_answer(tmp_path, picture):
    model = load_backbone(paligemma(tmp_path / "paligemma"), dtype="float32", device="cpu")
    examples = [Example(str(i), "is it red? " * (i + 1), (picture(i),)) for i in range(2)]
    scores = model.answer_log_likelihoods(examples, ["Yes", "Maybe so"])
    for row, example in enumerate(examples):
        prompt = model._inputs([example])
        for column, answer in enumerate(("Yes", "Maybe so")):
            tokens = model._tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
            written, seen = (np.mean(step_by_step(model, prompt, tokens, kind)) for kind in (1, 0))
            assert scores[row, column] == pytest.approx(written, abs=1e-5)
            assert abs(written - seen) > 1e-4  # else this could not tell the two apart
    assert len(model.generate(examples, max_new_tokens=2)) == 2  # what its processor gives for training is left out


def test_an_answer_that_the_processor_rewrites_is_refused(model_folder):
    model = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    model._encoder._processor = Writing(model.processor, behind="!" * 20)
    with pytest.raises(BackboneError, match="processor of llama does not write answers as its tokenizer does"):
        model.answer_log_likelihoods([Example("a", "x")], ["Maybe"])


@pytest.fixture
def merging(model_folder, tmp_path):
    """A model whose tokenizer writes a space and an x as one token."""
    folder = shutil.copytree(model_folder("gpt2"), tmp_path / "merging")
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["Ġx"] = 390
    tokenizer["model"]["merges"] = [["Ġ", "x"]]
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    return load_backbone(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize("answer", ["x", "xy"])
def test_an_answer_may_take_the_space_at_the_end_of_its_prompt(answer, merging):
    example = Example("a", "Which?")
    tokens = merging._tokenizer(f" {answer}")["input_ids"]
    assert tokens[0] == 390
    merging.processor.chat_template = TEMPLATE
    by_hand = log_probabilities(merging, merging._inputs([example]), tokens)
    merging.processor.chat_template = f"{TEMPLATE} "
    scores = merging.answer_log_likelihoods([example], [answer, "no"])
    assert scores[0, 0] == pytest.approx(np.mean(by_hand), abs=1e-5)
    apart = log_probabilities(merging, merging._inputs([example]), merging._tokenizer("no")["input_ids"])
    assert scores[0, 1] == pytest.approx(np.mean(apart), abs=1e-5)  # it leaves the prompt its space
    none = np.zeros((1, merging.layout.n_heads), dtype=bool)
    vectors = np.zeros((merging.layout.n_heads, merging.layout.head_dim), dtype=np.float32)
    assert first_token_losses(merging, example, answer, vectors, none) == pytest.approx([-by_hand[0]], abs=1e-5)


def test_an_answer_without_a_token_is_refused(merging):
    merging._tokenizer.backend_tokenizer.normalizer = Replace(" ~", "")
    with pytest.raises(BackboneError, match="'~' without a token of its own; give the class another word"):
        merging.answer_log_likelihoods([Example("a", "Which?")], ["~"])
