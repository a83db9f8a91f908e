"""A batch gives what each example alone gives, and the check that says so can tell when it does not."""

import numpy as np
import pytest
import torch

from savs.backbones.capture import capture_heads
from savs.data.example import Example
from tiny_models import IMAGE_MODELS, MODELS

TOLERANCE = 1e-5  # of the largest feature, in float32


def mixed(takes_images, picture):
    """Prompts of many lengths; images of many sizes, none, one, two, in front and in between."""
    texts = ["Is it?", "What is shown here, and where does it come from?", "a" * 40, "Yes or no: " * 6, "?", "Tell me."]
    examples = [Example(f"text {i}", text) for i, text in enumerate(texts)]
    if takes_images:
        sizes = [(32, 32), (60, 20), (24, 48), (64, 64), (40, 33), (16, 30)]
        image = [picture(i, size) for i, size in enumerate(sizes)]
        examples += [Example(f"one {i}", text, (image[i],)) for i, text in enumerate(texts)]
        examples += [Example(f"two {i}", text, (image[i], image[i - 1])) for i, text in enumerate(texts[:3])]
        examples += [
            Example("between", "Is <image> brighter than <image>?", (image[0], image[1])),
            Example("behind", "A long text that comes before it <image>", (image[3],)),
        ]
    return examples


def distance(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize("kind", MODELS)
def test_batches_equal_single_examples(kind, backbone, picture):
    model = backbone(kind)
    examples = mixed(model.takes_images, picture)
    alone = model.head_activations(examples, batch_size=1)
    assert alone.dtype == np.float32
    assert alone.shape == (len(examples), 12, 8)
    assert distance(np.roll(alone, 1, axis=0), alone) > 0.01  # the examples differ, so that agreement means something
    for size in (2, 4, 8):
        batched = model.head_activations(examples, batch_size=size)
        assert distance(batched, alone) < TOLERANCE, size
    order = np.random.default_rng(0).permutation(len(examples))
    shuffled = model.head_activations([examples[i] for i in order], batch_size=4)
    assert distance(shuffled, alone[order]) < TOLERANCE


@pytest.mark.parametrize("kind", MODELS)
def test_reading_the_last_column_of_a_padded_row_is_noticed(kind, backbone):
    model = backbone(kind)
    examples = mixed(False, None)
    alone = model.head_activations(examples, batch_size=1)
    inputs = model._inputs(examples)
    right, wrong = inputs["attention_mask"].sum(dim=1) - 1, torch.full((len(examples),), -1)
    assert distance(run(model, inputs, right), alone) < TOLERANCE
    assert distance(run(model, inputs, wrong), alone) > 10_000 * TOLERANCE


@pytest.mark.parametrize("kind", MODELS)
def test_wrong_positions_are_noticed(kind, backbone):
    """Position ids that stretch apart, and left padding that counts as text: each is far from the truth."""
    model = backbone(kind)
    examples = mixed(False, None)
    alone = model.head_activations(examples, batch_size=1)
    inputs = model._inputs(examples)
    last = inputs["attention_mask"].sum(dim=1) - 1
    positions = torch.arange(inputs["input_ids"].shape[1]).expand_as(inputs["input_ids"])
    assert distance(run(model, {**inputs, "position_ids": positions}, last), alone) < TOLERANCE
    assert distance(run(model, {**inputs, "position_ids": 3 * positions}, last), alone) > 10_000 * TOLERANCE

    left = model._inputs(examples, padding_side="left")
    seen_as_text = {**left, "attention_mask": torch.ones_like(left["attention_mask"])}
    end = torch.full((len(examples),), left["input_ids"].shape[1] - 1)
    assert distance(run(model, seen_as_text, end), alone) > 10_000 * TOLERANCE


@pytest.mark.parametrize("kind", IMAGE_MODELS)
def test_wrong_positions_are_noticed_behind_an_image(kind, backbone, picture):
    model = backbone(kind)
    example = Example("a", "What is it, and where?", (picture(0, (48, 32)),))
    alone = model.head_activations([example])
    inputs = model._inputs([example])
    last = inputs["attention_mask"].sum(dim=1) - 1
    assert distance(run(model, inputs, last), alone) < TOLERANCE
    stretched = 3 * torch.arange(inputs["input_ids"].shape[1])[None]
    assert distance(run(model, {**inputs, "position_ids": stretched}, last), alone) > 10_000 * TOLERANCE


def run(model, inputs, positions):
    """One forward pass of the whole model, not of the package's own path through it."""
    with torch.inference_mode(), capture_heads(model.sources, positions) as captured:
        model.model(**inputs, use_cache=False)
    return captured.stacked(model.layout.head_dim).numpy()
