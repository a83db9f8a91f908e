"""Packed questions train as if each stood alone, what they tell back too; a grown model computes what the short did.

What learns stays on the device of the run.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

decoder = pytest.importorskip("decoder")
import learn  # noqa: E402
import packing  # noqa: E402
import recall  # noqa: E402
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
    """As training reads them: packed."""
    model.model.language_model.set_attn_implementation(packing.ATTENTION)
    with torch.no_grad():
        return packing.read(model, batch, images)


def alone(model, pack, question, images):
    """The same question as the library itself reads it, behind its images and with nothing beside it."""
    model.model.language_model.set_attn_implementation("sdpa")
    ids = torch.tensor([pack.images + pack.questions[question]])
    embeds = model.get_input_embeddings()(ids)
    embeds = embeds.masked_scatter((ids == model.config.image_token_id).unsqueeze(-1), images)
    with torch.no_grad():
        return model.model.language_model(inputs_embeds=embeds).last_hidden_state[0]


@pytest.fixture(scope="module")
def packs(tokenizer):
    """Rows of different lengths, of one image and of two."""
    return [packing.pack(ASKED, 1, tokenizer), packing.pack(ASKED[1:], 2, tokenizer), packing.pack(ASKED, 1, tokenizer)]


def test_packed_questions_are_read_as_if_each_were_alone(packs, short):
    images = torch.randn(4, 16, decoder.HIDDEN, generator=torch.Generator().manual_seed(0)) * 0.1
    batch = packing.collate(packs)
    together, question, first = states(short, batch, images), 0, 0
    assert batch.kinds == ["shape", "exists", "count", "exists", "count", "shape", "exists", "count"]
    for pack, n_images in zip(packs, (1, 2, 1), strict=True):
        for i in range(len(pack.questions)):
            expected = alone(short, pack, i, images[first : first + n_images])[len(pack.images) :]
            torch.testing.assert_close(together[batch.owner == question], expected, atol=1e-5, rtol=1e-4)
            question += 1
        first += n_images


def test_a_question_that_saw_another_image_would_be_noticed(packs, short):
    images = torch.randn(4, 16, decoder.HIDDEN, generator=torch.Generator().manual_seed(0)) * 0.1
    batch = packing.collate(packs)
    moved = states(short, batch, images.flip(0))
    assert (moved - states(short, batch, images))[batch.owner == 0].abs().max() > 1e-2


def test_under_an_open_mask_they_would_see_each_other(packs, short):
    images = torch.randn(4, 16, decoder.HIDDEN, generator=torch.Generator().manual_seed(0)) * 0.1
    batch = packing.collate(packs)
    together = states(short, batch, images)
    short.model.language_model.set_attn_implementation("sdpa")
    with torch.no_grad():
        seeing = packing.read(short, batch, images)
    assert (seeing - together)[batch.owner == 1].abs().max() > 1e-2


def test_gradients_are_those_of_one_question_after_another(packs, short, tokenizer):
    images = torch.randn(4, 16, decoder.HIDDEN, generator=torch.Generator().manual_seed(0)) * 0.1
    short.model.language_model.set_attn_implementation(packing.ATTENTION)
    weight = short.model.language_model.layers[0].self_attn.q_proj.weight

    def gradient(packs, images):
        batch = packing.collate(packs)
        loss, _ = packing.answer_loss(short, batch, images)
        return torch.autograd.grad(loss, weight)[0] * (batch.target >= 0).sum()

    apart = [
        gradient([packing.pack([asked], n, tokenizer)], shown)
        for asked, n, shown in (
            *((asked, 1, images[:1]) for asked in ASKED),
            *((asked, 2, images[1:3]) for asked in ASKED[1:]),
            *((asked, 1, images[3:]) for asked in ASKED),
        )
    ]
    torch.testing.assert_close(gradient(packs, images), torch.stack(apart).sum(0), atol=1e-4, rtol=1e-3)


def test_the_image_is_told_back_from_the_last_token_of_each_prompt(tokenizer, packs):
    torch.manual_seed(1)
    model = decoder.build_model(tokenizer, layers=3).eval()
    features = np.random.default_rng(0).normal(3, 2, (200, 16, 8)).astype(np.float16)
    told = recall.Recall(model, features)
    images = torch.randn(4, 16, decoder.HIDDEN) * 0.1
    about = [(7,), (7,), (7,), (8, 9), (8, 9), (150,), (150,), (150,)]
    batch = packing.collate(packs)
    states(model, batch, images)
    loss = told.loss(batch, about)

    errors = []
    for pack, shown, number in ((packs[0], images[:1], 7), (packs[2], images[3:], 150)):
        for i in range(len(ASKED)):
            alone(model, pack, i, shown)  # leaves its states where they are kept
            at = len(pack.images) + pack.questions[i].index(tokenizer.convert_tokens_to_ids(decoder.ASSISTANT))
            pooled = features[[number]].astype(np.float32).mean(1)
            wanted = (torch.tensor(pooled) - told.mean) / told.scale
            errors.append((told.linear(told._states[[at]]) - wanted).square().mean())
    torch.testing.assert_close(loss, torch.stack(errors).mean(), atol=1e-5, rtol=1e-4)

    states(model, batch, images)
    assert told.loss(batch, [(7, 8)] * len(about)) == 0
    assert not torch.isclose(told.loss(batch, [tuple(number + 1 for number in each) for each in about]), loss)


def test_telling_back_reads_the_same_states_before_and_after_growing(tokenizer):
    torch.manual_seed(1)
    model = decoder.build_model(tokenizer, layers=decoder.SHORT).eval()
    features = np.zeros((50, 16, 8), np.float16)
    ids = torch.randint(10, 90, (1, 9))
    kept = []
    for each in (model, decoder.grow(model, tokenizer).eval()):
        told = recall.Recall(each, features)
        with torch.no_grad():
            each(input_ids=ids)
        kept.append(told._states)
    torch.testing.assert_close(*kept, atol=1e-5, rtol=1e-4)
    assert kept[0].abs().max() > 1e-2


def test_targets_are_the_answers(tokenizer):
    packed = packing.pack(ASKED[:1], 1, tokenizer)
    asked = [t for t in packed.targets[0] if t >= 0]
    assert tokenizer.decode(asked) == "star <end>"


def test_a_grown_model_computes_the_same(tokenizer, short):
    grown = decoder.grow(short, tokenizer).eval()
    short.model.language_model.set_attn_implementation("sdpa")
    ids = torch.randint(10, 90, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(grown(input_ids=ids).logits, short(input_ids=ids).logits, atol=1e-5, rtol=1e-4)
    assert len(grown.model.language_model.layers) == decoder.LAYERS


def test_unseen_words_fall_into_pieces_not_into_nothing(tokenizer):
    assert tokenizer.unk_token_id not in tokenizer.encode("Blicket wug, zavo!".lower(), add_special_tokens=False)


@pytest.mark.parametrize("sight", ["symbols", "projector"])
def test_a_step_stays_on_the_device(tokenizer, packs, sight):
    """All but what depends on values, of which torch's `meta`, a second device that every machine has, knows none."""
    with torch.device("meta"):
        model, symbols = decoder.grow(decoder.build_model(tokenizer, layers=1), tokenizer), decoder.Symbols()
        model.model.language_model.set_attn_implementation(packing.ATTENTION)
        features = np.zeros((50, 16, 256), np.float16)
        told, batch = recall.Recall(model, features), packing.collate(packs)
        if sight == "symbols":
            learner, words = symbols, torch.ones(4, 16, 5)
            images = symbols(model.get_input_embeddings().weight, words, torch.zeros(4, 16, 2), noise=0.3)
        else:
            learner = model.model.multi_modal_projector
            images = learner(torch.as_tensor(features[:4].astype(np.float32)))
        loss = functional.cross_entropy(model.lm_head(packing.read(model, batch, images)), batch.target)
        (loss + told.linear(told._states).square().mean()).backward()
        movers = learn.optimizers(
            learn.Phase("trial", steps=1, lessons=()),
            model.model.language_model,
            [*learner.parameters(), *told.parameters()],
        )
        for mover, _ in movers.values():
            mover.step()
    weights = [p for module in (model, symbols, told) for p in module.parameters()]
    made = [batch.ids, batch.position, batch.target, batch.owner, batch.back]
    made += [t for lot in batch.lots for t in (lot.asks, lot.reads, lot.mask)]
    made += [weight.grad for weight in weights if weight.grad is not None]
    made += [t for mover, _ in movers.values() for state in mover.state.values() for t in state.values() if t.ndim]
    assert {t.device.type for t in (*weights, *made)} == {"meta"}
