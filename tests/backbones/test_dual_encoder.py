"""Dual encoders load as from the Hub, encode one at a time as together, and refuse what they are not."""

import numpy as np
import pytest
import torch

from savs.backbones.dual_encoder import load_dual_encoder
from savs.errors import BackboneError
from tiny_dual_encoders import COLOURS, build, colour

TEXTS = ["a photo of a red.", "it is blue", "a", "this thing is a photo of a green thing . is it white ?" * 3]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def encoder(request, tmp_path_factory):
    return load_dual_encoder(build(request.param, tmp_path_factory.mktemp(request.param)), device="cpu")


def test_vectors_have_length_one_and_depend_on_no_batch(encoder):
    images = [colour(name, size=(30 + 9 * i, 40)) for i, name in enumerate(COLOURS)]
    for encode, things in ((encoder.encode_images, images), (encoder.encode_texts, TEXTS)):
        together = encode(things)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(together, np.concatenate([encode([thing]) for thing in things]), atol=1e-5)
        assert np.ptp(together, axis=0).max() > 1e-3
    assert encoder.scale == pytest.approx(float(np.exp(encoder._model.logit_scale.item())))


def test_the_logits_are_the_models_own(encoder):
    images, texts = [colour("red"), colour("blue")], TEXTS[:2]
    pixels = encoder._image_processor(images=images, return_tensors="pt")
    padding = "max_length" if encoder.family == "siglip" else True
    tokens = encoder._tokenizer(texts, padding=padding, truncation=True, max_length=16, return_tensors="pt")
    if encoder.family == "siglip":
        tokens = {"input_ids": tokens["input_ids"]}
    with torch.inference_mode():
        theirs = encoder._model(**tokens, **pixels).logits_per_image.numpy()
    ours = encoder.scale * encoder.encode_images(images) @ encoder.encode_texts(texts).T
    if encoder.family == "siglip":
        ours = ours + encoder._model.logit_bias.item()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_it_knows_what_it_is(encoder):
    assert encoder.family in ("clip", "siglip")
    assert encoder.spec.image_processor.endswith("Pil")
    assert len(encoder.spec.revision) == 16


def test_a_generative_model_is_no_dual_encoder(model_folder, tmp_path):
    with pytest.raises(BackboneError, match="is of type 'llava'; expected a dual encoder: clip"):
        load_dual_encoder(model_folder("llava"))
    with pytest.raises(BackboneError, match="no model folder"):
        load_dual_encoder(tmp_path / "nothing")
    folder = build("clip", tmp_path / "clip")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="cannot load the dual encoder clip"):
        load_dual_encoder(folder)
