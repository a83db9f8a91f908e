"""A right reading of heads gets its certificate; a wrong one fails the check that it should."""

import dataclasses
import json

import numpy as np
import pytest

from savs.backbones.base import BackboneSpec
from savs.backbones.huggingface import load_backbone
from savs.doctor import certify
from savs.doctor.certificate import BATCH_SIZES
from savs.doctor.inputs import image_examples, text_examples
from tiny_models import IMAGE_MODELS, TEXT_MODELS


def verdicts(certificate):
    return {check.name: check.verdict for check in certificate.checks}


@pytest.fixture
def fresh(model_folder):
    """A backbone of one's own, to be damaged."""
    return lambda kind="llava", **options: load_backbone(
        model_folder(kind), **{"dtype": "float32", "device": "cpu", **options}
    )


@pytest.mark.parametrize("kind", TEXT_MODELS)
def test_text_models_are_trusted(kind, backbone):
    found = certify(backbone(kind), batch_sizes=())
    assert found.trusted
    assert verdicts(found) == dict.fromkeys(("heads", "text", "prompt matters", "projection", "repeats"), "ok")
    assert found.heads == {0: (4, 8), 1: (4, 8), 2: (4, 8)}
    assert found.speeds == ()


@pytest.mark.parametrize("kind", IMAGE_MODELS)
def test_vision_language_models_are_trusted(kind, backbone):
    found = certify(backbone(kind), batch_sizes=())
    assert found.trusted
    assert set(verdicts(found).values()) == {"ok"}
    assert {"text", "one image", "two images", "image matters", "processor"} < set(verdicts(found))


def test_speed_and_memory_at_each_batch_size(backbone):
    told = []
    found = certify(backbone("llama"), progress=lambda done, total: told.append((done, total)))
    assert [speed.batch_size for speed in found.speeds] == list(BATCH_SIZES)
    assert all(speed.per_second > 0 for speed in found.speeds)
    assert told == [(i, 7) for i in range(1, 8)]


def test_bfloat16_gets_its_own_tolerance(fresh):
    found = certify(fresh("llama", dtype="bfloat16"), batch_sizes=())
    assert found.trusted
    text = next(check for check in found.checks if check.name == "text")
    assert text.limit == 0.1 and text.value > 1e-4


def test_a_batch_that_is_read_at_the_wrong_position_fails(fresh):
    model = fresh("llama")
    read = model.head_activations

    def misread(examples, *, batch_size=None):
        too_early = [dataclasses.replace(example, text=example.text[:-4]) for example in examples]
        return read(examples if batch_size == 1 else too_early, batch_size=batch_size)

    model.head_activations = misread
    found = certify(model, batch_sizes=BATCH_SIZES)
    assert not found.trusted
    assert verdicts(found)["text"] == "fail"
    assert found.speeds == ()  # how fast a wrong reading is says nothing


def test_heads_in_another_order_fail_at_the_projection(fresh):
    model = fresh("qwen2_vl")
    read = model.head_activations
    model.head_activations = lambda *arguments, **options: np.roll(read(*arguments, **options), 1, axis=1)
    assert {name for name, verdict in verdicts(certify(model, batch_sizes=())).items() if verdict == "fail"} == {
        "projection"
    }


def test_a_model_that_does_not_look_fails(fresh):
    model = fresh()
    read = model.head_activations
    grey = image_examples(1)[0].media
    model.head_activations = lambda examples, **options: read(
        [dataclasses.replace(example, media=grey[:1] * len(example.media)) for example in examples], **options
    )
    assert verdicts(certify(model, batch_sizes=()))["image matters"] == "fail"


def test_a_model_that_does_not_read_fails(fresh):
    model = fresh("llama")
    read = model.head_activations
    model.head_activations = lambda examples, **options: read(
        [dataclasses.replace(example, text="always this") for example in examples], **options
    )
    assert verdicts(certify(model, batch_sizes=()))["prompt matters"] == "fail"


def test_a_quantised_model_may_round_to_eight_bits_and_no_further(fresh):
    model = fresh("llama")
    model.spec = dataclasses.replace(model.spec, quantised="bitsandbytes")
    read = model.head_activations
    for noise, verdict in ((0.02, "ok"), (0.3, "fail")):  # of activations rounded by the batch; of a wrong reading
        model.head_activations = lambda examples, *, batch_size=None, _noise=noise: (
            read(examples, batch_size=batch_size) * np.float32(1 + (_noise if batch_size != 1 else 0))
        )
        assert verdicts(certify(model, batch_sizes=()))["text"] == verdict
    model.head_activations = lambda *arguments, **options: np.roll(read(*arguments, **options), 1, axis=1)
    assert verdicts(certify(model, batch_sizes=()))["projection"] == "fail"


def test_another_image_processor_than_the_recorded_one_fails(fresh):
    model = fresh()
    model.spec = dataclasses.replace(model.spec, image_processor="SiglipImageProcessorFast")
    check = next(check for check in certify(model, batch_sizes=()).checks if check.name == "processor")
    assert check.verdict == "fail"
    assert check.found == "SiglipImageProcessorPil prepares images; recorded is SiglipImageProcessorFast"


def test_noise_from_run_to_run_warns_and_chaos_fails(fresh):
    model = fresh("llama")
    read, rng = model.head_activations, np.random.default_rng(0)
    for size, verdict in ((1e-6, "warn"), (1.0, "fail")):
        model.head_activations = lambda *arguments, _size=size, **options: (
            read(*arguments, **options) * np.float32(1 + _size * rng.random())
        )
        assert verdicts(certify(model, batch_sizes=()))["repeats"] == verdict


def test_whatever_a_strange_model_raises_is_a_finding(fresh):
    model = fresh("llama")

    def broken(*arguments, **options):
        raise TypeError("forward() missing 'proteins'\nand more")

    model.head_activations = broken
    found = certify(model, batch_sizes=())
    assert not found.trusted
    assert next(check.found for check in found.checks if check.name == "text") == (
        "TypeError: forward() missing 'proteins'"
    )


def test_a_model_that_must_have_an_image_is_only_warned_of(fresh):
    model = fresh()
    read = model.head_activations

    def only_images(examples, **options):
        if not all(example.media for example in examples):
            raise TypeError("missing pixel_values")
        return read(examples, **options)

    model.head_activations = only_images
    found = certify(model, batch_sizes=())
    assert found.trusted
    assert verdicts(found)["text"] == "warn"


def test_layers_left_out_and_heads_named_by_hand_are_told(fresh):
    pattern = r"model\.language_model\.layers\.\d+\.self_attn\.o_proj"
    found = certify(fresh(attention_modules=pattern), batch_sizes=())
    assert found.checks[0].found == "12 in 3 layers, named by hand"
    assert found.left_out == {}
    assert found.where == "model.language_model.layers.N.self_attn.o_proj"


def test_it_is_json(backbone):
    found = certify(backbone("llama"), batch_sizes=(2,))
    read = json.loads(json.dumps(found.to_json()))
    assert read["trusted"] is True
    assert BackboneSpec.from_json(read["spec"]) == found.spec
    assert {check["name"] for check in read["checks"]} == set(verdicts(found))


def test_the_built_in_inputs_differ_in_length_and_are_balanced():
    for examples in (text_examples(), image_examples(), image_examples(images=2)):
        assert len({example.id for example in examples}) == len(examples) == 32
        labels = [example.label for example in examples]
        assert {labels.count(label) for label in set(labels)} == {8}
        assert {labels[:16].count(label) for label in set(labels)} == {4}
        assert len({len(example.text) for example in examples[:4]}) > 2
    assert len({media.source.size for example in image_examples() for media in example.media}) == 4
