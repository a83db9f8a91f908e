"""What transformers calls image-text-to-text and has no last prompt position is refused in one sentence."""

import json
from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING

from savs.backbones.families import families
from savs.backbones.loading import load_config
from savs.backbones.prompts import render_prompt
from savs.errors import BackboneError


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [("pi0", "robot actions"), ("evolla", "proteins"), ("diffusion_gemma", "random canvas")],
)
def test_types_that_do_not_answer_are_refused_with_the_reason(model_type, reason, tmp_path):
    CONFIG_MAPPING[model_type]().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=f"{model_type!r}.*{reason}") as caught:
        load_config(str(tmp_path), revision=None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model_type", ["qwen2_audio", "phi4_multimodal", "llama"])
def test_types_that_answer_are_not_refused(model_type, tmp_path):
    CONFIG_MAPPING[model_type]().save_pretrained(tmp_path)
    assert load_config(str(tmp_path), revision=None).model_type == model_type


class LlavaProcessor:
    chat_template = None
    image_token = "<image>"


class Blip2Processor(LlavaProcessor):
    """Puts its image tokens in front of the text by itself."""


def test_a_processor_that_marks_images_itself_gets_no_marks():
    content = [{"type": "image"}, {"type": "text", "text": "What?"}]
    assert render_prompt(content, LlavaProcessor()) == "<image>What?"
    assert render_prompt(content, Blip2Processor()) == "What?"


def test_what_savs_models_lists_has_passed_the_support_matrix():
    matrix = json.loads((Path(__file__).parents[2] / "docs" / "models.json").read_text(encoding="utf-8"))
    kinds = {"text": "token rows", "images": "one image", "video": "two images"}  # a video is given as its frames
    for family in families():
        record = matrix[family.model_type]
        assert not record["problem"], family.name
        assert {record["inputs"][kinds[kind]] for kind in family.takes} == {"ok"}, family.name


def test_the_heads_listed_for_the_embedded_model_are_its_own():
    from savs.backbones.huggingface import load_backbone

    listed = families()[0]
    assert load_backbone(listed.hub_id).layout.shape == (listed.layers, listed.heads)
