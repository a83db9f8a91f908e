"""What learns is all on the device of the run: a second device takes every tensor, and refuses to mix with the first.

The second device is torch's `meta`, which computes shapes alone and is there on every machine. What depends on values
(which tokens are answers, which questions are of one image) it cannot do, so that those few lines stay out.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
tower = pytest.importorskip("tower")
import decoder  # noqa: E402
import learn  # noqa: E402
import packing  # noqa: E402
import recall  # noqa: E402
from asking import Question  # noqa: E402
from images import ATTRIBUTES, CELLS, SIDE  # noqa: E402

ASKED = [Question("shape", "what is the red thing?", "star"), Question("exists", "is there a ring?", "no")]
OTHER = "meta"
N = 4


@pytest.fixture(scope="module")
def tokenizer():
    return decoder.build_tokenizer([q.text + " " + q.answer for q in ASKED] * 4, vocabulary=300)


@pytest.fixture(autouse=True)
def on_the_other_device():
    with torch.device(OTHER):
        yield


def devices(*modules):
    """Where the weights of some modules are, and their gradients."""
    weights = [p for module in modules for p in module.parameters()]
    return {t.device.type for p in weights for t in (p, p.grad) if t is not None}


def tower_step(images):
    eye, heads = tower.build_tower(), tower.TowerHeads({name: ["a", "b"] for name in ("group", "subgroup", "name")})
    labels = np.zeros((N, len(ATTRIBUTES), CELLS), int), np.zeros((N, 2, CELLS), np.float32), np.zeros((N, 3), int)
    loss = heads.loss(tower.see(eye, images), *(torch.as_tensor(each) for each in labels))
    loss.backward()
    torch.optim.AdamW([*eye.parameters(), *heads.parameters()]).step()
    return devices(eye, heads)


def test_a_step_of_the_tower_stays_on_the_device():
    assert tower_step(tower.pixels_to_input(np.zeros((N, SIDE, SIDE, 3), np.uint8))) == {OTHER}


def test_an_image_left_behind_would_be_noticed():
    with pytest.raises(RuntimeError, match="device"):
        tower_step(torch.zeros(N, 3, SIDE, SIDE, device="cpu"))


@pytest.mark.parametrize("sight", ["symbols", "projector"])
def test_a_step_of_the_decoder_stays_on_the_device(tokenizer, sight):
    phase = learn.Phase("trial", steps=1, lessons=((1.0, "all"),), recall=0.2)
    model = decoder.grow(decoder.build_model(tokenizer, layers=1), tokenizer)
    language, projector, symbols = model.model.language_model, model.model.multi_modal_projector, decoder.Symbols()
    language.set_attn_implementation(packing.ATTENTION)
    told = recall.Recall(model, np.zeros((50, CELLS, tower.WIDTH), np.float16))
    batch = packing.collate([packing.pack(ASKED, 1, tokenizer), packing.pack(ASKED, 2, tokenizer)])
    numbers = [batch.ids, batch.position, batch.target, batch.owner, batch.back]
    numbers += [t for lot in batch.lots for t in (lot.asks, lot.reads, lot.mask)]  # which `meta` looks up from anywhere
    assert {t.device.type for t in numbers} == {OTHER}
    if sight == "symbols":
        words, offsets = torch.ones(3, CELLS, 5), torch.zeros(3, CELLS, 2)
        seen = symbols(model.get_input_embeddings().weight, words, offsets, noise=0.3)
    else:
        seen = projector(torch.as_tensor(np.zeros((3, CELLS, tower.WIDTH), np.float32)))
    loss = functional.cross_entropy(model.lm_head(packing.read(model, batch, seen)), batch.target)
    (loss + told.linear(told._states).square().mean()).backward()
    assert devices(model, symbols, told) == {OTHER}
    learner = symbols if sight == "symbols" else projector
    for mover, _ in learn.optimizers(phase, language, [*learner.parameters(), *told.parameters()]).values():
        mover.step()
        assert {t.device.type for state in mover.state.values() for t in state.values() if t.ndim} == {OTHER}
