"""Packed questions train as if each stood alone, and a grown model computes what the short one did."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

decoder = pytest.importorskip("decoder")
from asking import Question  # noqa: E402

ASKED = [
    Question("shape", "what is the red thing?", "star"),
    Question("exists", "is there a blue ring?", "no"),
    Question("count", "how many stars are there?", "two"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return decoder.build_tokenizer([q.text + " " + q.answer for q in ASKED] * 4, vocabulary=300)


@pytest.fixture(scope="module")
def short(tokenizer):
    torch.manual_seed(0)
    return decoder.build_model(tokenizer, layers=2).eval()


def states(model, batch, images):
    embeds = model.get_input_embeddings()(batch.ids)
    embeds = embeds.masked_scatter((batch.ids == model.config.image_token_id).unsqueeze(-1), images)
    mask = torch.zeros(batch.mask.shape).masked_fill(~batch.mask, torch.finfo(torch.float32).min)
    with torch.no_grad():
        out = model.model.language_model(inputs_embeds=embeds, attention_mask=mask, position_ids=batch.position)
    return out.last_hidden_state[0]


def test_packed_questions_do_not_see_each_other(tokenizer, short):
    images = torch.randn(1, 16, decoder.HIDDEN) * 0.1
    packed = decoder.collate([decoder.pack(ASKED, 1, tokenizer)])
    together = states(short, packed, images)
    for i, asked in enumerate(ASKED, start=1):
        alone = states(short, decoder.collate([decoder.pack([asked], 1, tokenizer)]), images)
        mine = packed.owner[0] == i
        torch.testing.assert_close(together[mine], alone[17:], atol=1e-5, rtol=1e-4)


def test_without_the_mask_they_would(tokenizer, short):
    images = torch.randn(1, 16, decoder.HIDDEN) * 0.1
    packed = decoder.collate([decoder.pack(ASKED, 1, tokenizer)])
    open_mask = torch.ones_like(packed.mask).tril()
    seeing = states(short, decoder.Batch(packed.ids, packed.position, packed.target, packed.owner, open_mask), images)
    mine = packed.owner[0] == 3
    assert (seeing[mine] - states(short, packed, images)[mine]).abs().max() > 1e-2


def test_targets_are_the_answers(tokenizer):
    packed = decoder.pack(ASKED[:1], 1, tokenizer)
    asked = [t for t in packed.target if t >= 0]
    assert tokenizer.decode(asked) == "star <end>"


def test_a_grown_model_computes_the_same(tokenizer, short):
    grown = decoder.grow(short, tokenizer).eval()
    ids = torch.randint(10, 90, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(grown(input_ids=ids).logits, short(input_ids=ids).logits, atol=1e-5, rtol=1e-4)
    assert len(grown.model.language_model.layers) == decoder.LAYERS


def test_unseen_words_fall_into_pieces_not_into_nothing(tokenizer):
    assert tokenizer.unk_token_id not in tokenizer.encode("Blicket wug, zavo!".lower(), add_special_tokens=False)
