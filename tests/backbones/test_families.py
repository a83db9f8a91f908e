"""What transformers calls image-text-to-text and has no last prompt position is refused in one sentence."""

import copy
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import transformers
from transformers import CONFIG_MAPPING

from savs.backbones.families import families
from savs.backbones.loading import load_config
from savs.backbones.processors import load_processor, without_video
from savs.backbones.prompts import render_prompt, takes_one_image
from savs.errors import BackboneError
from tiny_models import _tokenizer


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        ("diffusion_gemma", "random canvas"),
        ("evolla", "proteins"),
        ("fuyu", "Pillow"),
        ("instructblipvideo", "videos whole"),
        ("pi0", "robot actions"),
        ("pp_formulanet", "no prompt"),
        ("udop", "words of a page"),
    ],
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
        assert "text" in family.takes or record["inputs"]["text"] != "ok", family.name
        assert all(f"needs {library}" in family.note for library in record["needs"]), family.name


def test_the_heads_listed_for_the_embedded_model_are_its_own():
    from savs.backbones.huggingface import load_backbone

    listed = families()[0]
    assert load_backbone(listed.hub_id).layout.shape == (listed.layers, listed.heads)


class BlipProcessor:
    """Has no token for an image at all."""

    chat_template = None


class GotOcr2Processor(LlavaProcessor):
    """Several images are the pages of one document to it."""


def test_where_a_prompt_cannot_say_where_images_stand_one_is_taken():
    assert not takes_one_image(LlavaProcessor())
    assert all(takes_one_image(kind()) for kind in (Blip2Processor, BlipProcessor, GotOcr2Processor))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is here")
def test_a_processor_for_torchvision_alone_says_what_it_needs(tmp_path):
    config = CONFIG_MAPPING["cohere2_vision"]()
    config.save_pretrained(tmp_path)
    _tokenizer().save_pretrained(tmp_path)
    settings = {"image_processor_type": "Cohere2VisionImageProcessor", "processor_class": "Cohere2VisionProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(BackboneError, match="torchvision") as caught:
        load_processor(str(tmp_path), config, revision=None)
    assert "\n" not in str(caught.value)


def test_a_type_without_a_processor_has_a_tokenizer(tmp_path):
    _tokenizer().save_pretrained(tmp_path)
    processor = load_processor(str(tmp_path), CONFIG_MAPPING["mistral4"](), revision=None)
    assert processor("a")["input_ids"]


def test_what_asks_for_the_video_processor_finds_it_empty():
    video = without_video(transformers.MiniCPMV4_6Processor).video_processor
    assert not video.slice_mode
    assert video.valid_kwargs is None
    assert copy.deepcopy(video).downsample_mode == ""
