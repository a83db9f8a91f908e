"""An image that comes again is not run again, and every answer is what its pixels give."""

import numpy as np
import pytest
import torch

from savs.backbones.batches import Levers
from savs.backbones.huggingface import load_backbone
from savs.backbones.image_features import ImageFeatures
from savs.data.example import Example, Media
from tiny_models import IMAGE_MODELS

TOLERANCE = 1e-5  # of the largest feature, in float32
KEEPS = Levers(image_bytes=2**24)


@pytest.fixture
def fresh(model_folder):
    return lambda kind: load_backbone(model_folder(kind), dtype="float32", device="cpu")


def distance(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def asked(pictures, wording):
    examples = [Example(f"{i}", wording.format(i), (media,)) for i, media in enumerate(pictures(5))]
    return [*examples, Example("two", f"<image> or <image>? {wording}", (examples[0].media[0], examples[3].media[0]))]


@pytest.mark.parametrize("kind", IMAGE_MODELS)
def test_kept_features_change_nothing(kind, fresh, pictures):
    model = fresh(kind)
    calls = [asked(pictures, "What is it, {}?"), asked(pictures, "Where {}? <image>")[:5]]
    plain = [model.head_activations(examples) for examples in calls]
    model.levers = KEEPS
    for examples, expected in zip([*calls, calls[0]], [*plain, plain[0]], strict=True):
        assert distance(model.head_activations(examples), expected) < TOLERANCE


def rows_through_the_tower(model, examples):
    seen = []
    handle = model.model.get_submodule("model.vision_tower").register_forward_pre_hook(
        lambda _module, args, kwargs: seen.append(len(kwargs.get("pixel_values", args[0] if args else ()))),
        with_kwargs=True,
    )
    try:
        model.head_activations(examples)
    finally:
        handle.remove()
    return sum(seen)


def test_an_image_goes_through_the_tower_once_in_all_calls(fresh, pictures):
    model = fresh("llava")
    first, later = asked(pictures, "What is it, {}?")[:5], asked(pictures, "Where {}? <image>")[:5]
    model.head_activations(first)  # the first time, the model is asked what it allows
    assert rows_through_the_tower(model, later) == 5
    assert model._passes.images.size == 0  # none are kept where nobody asks for it
    model.levers = KEEPS
    model.head_activations(first)
    assert rows_through_the_tower(model, later) == 0
    model.levers = Levers()
    model.head_activations(first[:1])
    assert model._passes.images.size == 0


def test_images_are_told_apart_by_content_and_not_by_their_file(fresh, picture, tmp_path):
    model = fresh("llava")
    model.levers = KEEPS
    path = tmp_path / "a.png"
    example = Example("a", "What is it?", (Media(path),))
    picture(0).source.save(path)
    first = model.head_activations([example])
    picture(1).source.save(path)
    second = model.head_activations([example])
    model.levers = Levers()
    assert distance(second, first) > 100 * TOLERANCE
    assert distance(second, model.head_activations([example])) < TOLERANCE


def test_the_least_lately_used_leave_first_and_the_limit_holds(fresh, pictures):
    model = fresh("llava")
    examples = asked(pictures, "What is it, {}?")[:5]
    model.levers = KEEPS
    model.head_activations(examples)
    one = model._passes.images.size // 5
    model.levers = Levers(image_bytes=2 * one)
    for example in (examples[0], examples[1], examples[0], examples[2]):
        model.head_activations([example])
        assert model._passes.images.size <= 2 * one
    assert rows_through_the_tower(model, examples[:1]) == 0
    assert rows_through_the_tower(model, examples[1:2]) == 1


def test_a_model_whose_features_do_not_stand_for_images_is_found_out(fresh, pictures, monkeypatch):
    model = fresh("llava")
    examples = asked(pictures, "What is it, {}?")
    expected = model.head_activations(examples)
    make = model._passes.images._makes

    def other(*arguments, **inputs):
        output = make(*arguments, **inputs)
        output.pooler_output = [features + 1 for features in output.pooler_output]
        return output

    monkeypatch.setattr(model._passes.images, "_makes", other)
    model.levers = KEEPS
    assert distance(model.head_activations(examples), expected) < TOLERANCE
    assert model._passes.images.obstacle == "it does not give the same from features of an image"


def test_a_model_that_takes_pixels_alone_says_so():
    class Base(torch.nn.Module):
        def forward(self, input_ids, pixel_values):
            """Takes no features."""

    assert ImageFeatures(Base()).obstacle == "a forward pass that takes images as pixels alone"
