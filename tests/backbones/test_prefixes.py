"""What prompts share is run once, and every answer is what the whole prompt gives."""

import numpy as np
import pytest
import torch
from transformers import MistralConfig, Qwen2Config, T5Config

from savs.backbones.attention import AttentionMap, LeftOut
from savs.backbones.batches import Levers
from savs.backbones.cost import measured
from savs.backbones.huggingface import load_backbone
from savs.backbones.prefixes import common_length, obstacle
from savs.data.example import Example, Media
from savs.features import HeadId
from tiny_models import MODELS

TOLERANCE = 1e-5  # of the largest feature, in float32
ASKED = [
    f"Look closely at this: {rest}"
    for rest in ("is it a cat?", "what is shown here, and where does it come from?", "no?", "a" * 40)
]
SIZES = [(32, 32), (60, 20), (24, 48), (64, 64), (40, 33)]


def examples_of(takes_images, picture):
    """Four questions about each of five images of many sizes and about a pair of them, in no order; or text alone."""
    if not takes_images:
        return [Example(f"{i}", text + "?" * i) for i, text in enumerate(ASKED * 2)]
    images = [picture(i, size) for i, size in enumerate(SIZES)]
    asked = [Example(f"{i}/{j}", text, (image,)) for i, image in enumerate(images) for j, text in enumerate(ASKED)]
    asked += [
        Example(f"two/{j}", f"A <image> and B <image> {text}", (images[0], images[1])) for j, text in enumerate(ASKED)
    ]
    return [asked[i] for i in np.random.default_rng(0).permutation(len(asked))]


def distance(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.fixture
def fresh(model_folder):
    return lambda kind: load_backbone(model_folder(kind), dtype="float32", device="cpu")


@pytest.mark.parametrize("kind", MODELS)
def test_shared_beginnings_change_nothing(kind, fresh, picture):
    model = fresh(kind)
    examples = examples_of(model.takes_images, picture)
    alone = model.head_activations(examples, batch_size=1)
    assert not model._passes._sharing_is_tried
    assert distance(np.roll(alone, 1, axis=0), alone) > 0.01
    for size in (None, 3, 7, 16):
        assert distance(model.head_activations(examples, batch_size=size), alone) < TOLERANCE, size
    assert model._passes._sharing_is_tried
    assert model.sharing_obstacle == ""
    few = [HeadId(1, 3), HeadId(0, 2)]
    columns = [model.layout.heads.index(head) for head in few]
    assert distance(model.head_activations(examples, heads=few), alone[:, columns]) < TOLERANCE


def test_an_image_goes_through_the_tower_once_however_many_ask(backbone, picture, monkeypatch):
    model = backbone("llava")
    examples = examples_of(True, picture)
    seen = []
    handle = model.model.get_submodule("model.vision_tower").register_forward_pre_hook(
        lambda _module, args, kwargs: seen.append(len(kwargs.get("pixel_values", args[0] if args else ()))),
        with_kwargs=True,
    )
    counts = []
    try:
        for share in (True, False):
            monkeypatch.setattr(model, "levers", Levers(share_prefixes=share))
            model.head_activations(examples, batch_size=len(examples))  # the first time, the model may be asked more
            seen.clear()
            model.head_activations(examples, batch_size=len(examples))
            counts.append(sum(seen))
    finally:
        handle.remove()
    assert counts == [5 + 2, 4 * (5 + 2)]


def test_the_switch_and_the_first_question_run_every_prompt_whole(fresh, picture):
    model = fresh("llava")
    model.levers = Levers(share_prefixes=False)
    examples = examples_of(True, picture)
    model.head_activations(examples, batch_size=4)  # the first time, the model is asked whether it can be padded
    with measured(model) as cost:
        model.head_activations(examples, batch_size=4)
    assert cost.forwards == len(examples)
    assert not model._passes._sharing_is_tried


def test_equal_images_are_known_by_content_in_memory_and_by_path_on_disk(backbone, picture, tmp_path):
    model = backbone("llava")
    path = tmp_path / "a.png"
    picture(0).source.save(path)
    same = [picture(0), picture(0), Media(path), Media(path), Media(path.read_bytes()), Media(path.read_bytes())]
    examples = [Example(f"{i}", f"Look: {'?' * (i + 1)}", (media,)) for i, media in enumerate(same)]
    opened = []
    encode = type(model._encoder).encode
    model._encoder.encode = lambda given, prompts, **options: (
        opened.append(len(given)),
        encode(model._encoder, given, prompts, **options),
    )[1]
    try:
        model.head_activations(examples, batch_size=6)
    finally:
        del model._encoder.encode
    assert opened == [3]


def test_a_model_that_goes_on_wrongly_is_found_out_and_runs_whole(fresh, picture, monkeypatch, caplog):
    model = fresh("llava")
    examples = examples_of(True, picture)
    alone = model.head_activations(examples, batch_size=1)
    forward = type(model._base).forward

    def forgetful(self, *arguments, position_ids=None, **inputs):
        """Counts the tail's positions from zero."""
        return forward(self, *arguments, **inputs, position_ids=None if position_ids is None else position_ids * 0)

    monkeypatch.setattr(type(model._base), "forward", forgetful)
    with caplog.at_level("INFO", logger="savs"):
        assert distance(model.head_activations(examples), alone) < TOLERANCE
    assert "does not give the same" in model.sharing_obstacle
    assert "llava runs every prompt whole: it does not give the same" in caplog.text


def test_a_model_that_cannot_go_on_says_so_and_runs_whole(fresh, picture, monkeypatch):
    model = fresh("llava")
    examples = examples_of(True, picture)
    alone = model.head_activations(examples, batch_size=1)
    forward = type(model._base).forward

    def refusing(self, *arguments, past_key_values=None, **inputs):
        if past_key_values is not None:
            raise NotImplementedError("another kind of cache")
        return forward(self, *arguments, **inputs)

    monkeypatch.setattr(type(model._base), "forward", refusing)
    assert distance(model.head_activations(examples), alone) < TOLERANCE
    assert model.sharing_obstacle == "NotImplementedError: another kind of cache"


def test_memory_that_runs_out_in_a_shared_batch_loses_nothing(fresh, picture, monkeypatch):
    model = fresh("llava")
    examples = examples_of(True, picture)
    alone = model.head_activations(examples, batch_size=1)
    forward = type(model._base).forward

    def limited(self, *arguments, **inputs):
        if len(inputs["input_ids"]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, *arguments, **inputs)

    monkeypatch.setattr(type(model._base), "forward", limited)
    assert distance(model.head_activations(examples, batch_size=16), alone) < TOLERANCE
    assert model.sharing_obstacle == ""


class Base(torch.nn.Module):
    def forward(self, input_ids, attention_mask, position_ids, past_key_values):
        """Takes all that is needed."""


class Stateful(torch.nn.Module):
    def forward(self, input_ids, attention_mask, state):
        """Takes no keys and values."""


@pytest.mark.parametrize(
    ("base", "config", "left_out", "reason"),
    [
        (Base(), Qwen2Config(), (), ""),
        (Base(), T5Config(), (), "an encoder-decoder"),
        (Base(), Qwen2Config(), (LeftOut(3, "x", "linear_attention"),), "linear_attention in layer 3"),
        (Base(), Qwen2Config(layer_types=["full_attention", "sliding_attention"] * 16), (), "sliding_attention layers"),
        (Base(), MistralConfig(sliding_window=16), (), "a sliding window"),
        (Stateful(), Qwen2Config(), (), "a forward pass without past_key_values"),
    ],
)
def test_what_speaks_against_it_is_said(base, config, left_out, reason):
    found = obstacle(base, config, AttentionMap((), left_out))
    assert found.startswith(reason) if reason else found == ""


def test_every_row_keeps_a_token_of_its_own():
    assert common_length([(1, 2, 3)]) == 2
    assert common_length([(1, 2, 3), (1, 2, 3)]) == 2
    assert common_length([(1, 2, 3), (1, 2)]) == 1
    assert common_length([(4, 2), (1, 2, 3), (1, 2)]) == 0
    assert common_length([(7, 8, 9, 1), (7, 8, 9, 2), (7, 8, 3)]) == 2
