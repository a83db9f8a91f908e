"""The shipped folder is what it says: small, safe, loadable by the Auto classes, and better than chance."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402

from savs.demo.scenes import COLOURS, render, sample_scene  # noqa: E402

FOLDER = Path(__file__).parents[2] / "src" / "savs" / "demo" / "model"


@pytest.fixture(scope="module")
def loaded():
    model = AutoModelForImageTextToText.from_pretrained(FOLDER, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(FOLDER)


def ask(loaded, text, *images):
    model, processor = loaded
    content = [*({"type": "image"} for _ in images), {"type": "text", "text": text}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=list(images), text=prompt, return_tensors="pt")
    with torch.no_grad():
        written = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    return processor.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def test_the_folder_is_small_and_holds_no_pickle():
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20_000_000
    assert {path.suffix for path in files} <= {".json", ".jinja", ".md", ".png", ".safetensors"}
    assert "auto_map" not in (FOLDER / "config.json").read_text()


def test_the_decoder_has_enough_heads_in_groups():
    text = json.loads((FOLDER / "config.json").read_text())["text_config"]
    assert text["num_hidden_layers"] * text["num_attention_heads"] >= 96
    assert text["num_key_value_heads"] < text["num_attention_heads"]


def test_it_names_colours_of_fresh_scenes_far_above_chance(loaded):
    rng = np.random.default_rng(515_151)
    scenes = [sample_scene(rng, n_objects=1) for _ in range(30)]
    answers = [ask(loaded, f"what colour is the {s.objects[0].shape}?", render(s)) for s in scenes]
    right = np.mean([answer == s.objects[0].colour for answer, s in zip(answers, scenes, strict=True)])
    blank = [ask(loaded, f"what colour is the {s.objects[0].shape}?", Image.new("RGB", (64, 64))) for s in scenes[:10]]
    assert right > 0.6
    assert set(answers) <= set(COLOURS) | {"gray"}
    assert np.mean([answer == s.objects[0].colour for answer, s in zip(blank, scenes, strict=False)]) < 0.5


def test_several_images_fit_in_one_prompt(loaded):
    rng = np.random.default_rng(6)
    images = [render(sample_scene(rng)) for _ in range(3)]
    assert ask(loaded, "which image has more objects?", *images)


def test_words_and_names_it_never_saw_do_not_break_it(loaded):
    _, processor = loaded
    ids = processor.tokenizer("Is THIS a Blicket, or a Xyzzy-7 (naïve)?", add_special_tokens=False)["input_ids"]
    assert processor.tokenizer.unk_token_id not in ids
