"""Prompts, media, memory and errors of a Hugging Face backbone, on tiny models."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from savs.backbones.base import Backbone
from savs.backbones.batches import Levers
from savs.backbones.encoding import Encoder
from savs.backbones.huggingface import load_backbone
from savs.backbones.likelihood import answer_tokens
from savs.data.example import Example, Media
from savs.data.media import sample_frames
from savs.errors import BackboneError, DataError
from savs.features import HeadId
from tiny_models import IMAGE_MODELS, MODELS, TEXT_MODELS


def prompts_of(model, example):
    ids = model._inputs([example])["input_ids"][0]
    return model._tokenizer.decode(ids), ids.tolist()


@pytest.fixture
def fresh(model_folder):
    """A backbone of its own, to be tampered with."""
    return load_backbone(model_folder("llama"), dtype="float32", device="cpu")


@pytest.mark.parametrize("kind", MODELS)
def test_what_a_backbone_says_of_itself(kind, backbone):
    model = backbone(kind)
    assert isinstance(model, Backbone)
    assert model.takes_images == (kind in IMAGE_MODELS)
    assert (model.spec.model, model.spec.dtype) == (kind, "float32")
    assert len(model.spec.revision) == 16
    assert bool(model.spec.chat_template) == (kind != "gpt2")
    assert model.spec.image_processor.endswith("Pil") == model.takes_images
    assert repr(model) == f"HuggingFaceBackbone({kind}, 3 layers x 4 heads, float32)"
    assert not any(weight.requires_grad for weight in model.model.parameters())
    assert not model.model.training


@pytest.mark.parametrize("kind", ["llama", "qwen2", "llava", "qwen2_vl", "smolvlm"])
def test_the_chat_template_frames_the_prompt_and_opens_the_answer(kind, backbone):
    text, _ = prompts_of(backbone(kind), Example("a", "Is it?"))
    assert text == "<|user|>Is it?<|assistant|>\n"  # the newline in between is trimmed, as transformers does


def test_a_base_model_gets_the_plain_text(backbone):
    text, _ = prompts_of(backbone("gpt2"), Example("a", "Is it?"))
    assert text == "Is it?"


def test_the_beginning_of_text_token_stands_once(model_folder):
    """Whether the tokenizer or the template writes it."""
    from tokenizers.processors import TemplateProcessing

    model = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    tokenizer = model.processor
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    assert prompts_of(model, Example("a", "x"))[1][:2] == [1, tokenizer.convert_tokens_to_ids("<|user|>")]
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    ids = prompts_of(model, Example("a", "x"))[1]
    assert ids[0] == 1
    assert ids.count(1) == 1


@pytest.mark.parametrize("kind", IMAGE_MODELS)
def test_marks_place_images_and_their_order_matters(kind, backbone, picture):
    model = backbone(kind)
    a, b = picture(0, (40, 24)), picture(1, (24, 40))
    text = "Compare <image> with <image> now."
    first, swapped, front = model.head_activations(
        [Example("ab", text, (a, b)), Example("ba", text, (b, a)), Example("front", "Compare  with  now.", (a, b))]
    )
    assert np.abs(first - swapped).max() > 1e-3
    assert np.abs(first - front).max() > 1e-3
    prompt, _ = prompts_of(model, Example("ab", text, (a, b)))
    compare, with_, now = (prompt.index(word) for word in ("Compare", "with", "now."))
    assert compare < with_ < now
    assert "image" in prompt[compare:with_]
    assert "image" in prompt[with_:now]
    assert "image" not in prompt[now:]


@pytest.mark.parametrize("kind", IMAGE_MODELS)
def test_images_matter_and_without_marks_they_stand_in_front(kind, backbone, picture):
    model = backbone(kind)
    a, b = picture(0), picture(1)
    one, other, marked = model.head_activations(
        [Example("1", "What?", (a,)), Example("2", "What?", (b,)), Example("3", "<image>What?", (a,))]
    )
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_allclose(one, marked, atol=1e-6)


@pytest.mark.parametrize("text", ["<image> and <image>", "<image><image><image>"])
def test_marks_that_do_not_fit_name_the_line(text, backbone, picture):
    examples = [Example("good", "x", (picture(0),)), Example("bad", text, (picture(0),), location="train.jsonl:7")]
    with pytest.raises(DataError, match=f"^train.jsonl:7: .*'bad' has {text.count('<')} <image> marks for 1 media"):
        backbone("llava").head_activations(examples)


@pytest.mark.parametrize("kind", IMAGE_MODELS)
def test_a_video_is_its_frames(kind, tmp_path, model_folder):
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for grey in range(0, 250, 25):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), grey, np.uint8))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    model = load_backbone(model_folder(kind), dtype="float32", device="cpu", video_frames=3)
    assert model.spec.video_frames == 3
    clip = Media(path, "video")
    frames = tuple(Media(image) for image in sample_frames(clip, 3))
    assert len(frames) == 3
    video, images, backwards = model.head_activations(
        [Example("v", "What?", (clip,)), Example("i", "What?", frames), Example("b", "What?", frames[::-1])]
    )
    np.testing.assert_allclose(video, images, atol=1e-6)
    assert np.abs(video - backwards).max() > 1e-4


@pytest.mark.parametrize("kind", TEXT_MODELS)
def test_a_text_model_refuses_media(kind, backbone, picture):
    with pytest.raises(BackboneError, match=f"{kind} takes text only, but example 'seen' has media.*vision-language"):
        backbone(kind).head_activations([Example("fine", "x"), Example("seen", "x", (picture(0),))])


def test_a_head_that_is_not_there_is_named(backbone):
    with pytest.raises(BackboneError, match="llama has no head L3H0; it has 3 layers x 4 heads"):
        backbone("llama").head_activations([Example("a", "x")], heads=[HeadId(0, 1), HeadId(3, 0)])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_name_the_example(value, fresh):
    mark = fresh.processor.encode("#", add_special_tokens=False)[0]
    with torch.no_grad():
        fresh.model.get_input_embeddings().weight[mark] = value
    examples = [Example("first", "fine"), Example("second", "not # fine"), Example("third", "also fine")]
    with pytest.raises(BackboneError, match="llama in float32 gives values that are not finite for example 'second'"):
        fresh.head_activations(examples)
    assert np.isfinite(fresh.head_activations([examples[0], examples[2]])).all()


def small_memory(model, monkeypatch, most, error):
    """Let the forward pass fail for more than `most` rows; returns the list of batch sizes that were tried.

    Prompts run whole, so that every pass has a row for every example.
    """
    monkeypatch.setattr(model, "levers", Levers(share_prefixes=False, side_by_side=False))
    tried = []
    forward = type(model._base).forward

    def limited(self, input_ids=None, **inputs):
        tried.append(len(input_ids))
        if len(input_ids) > most:
            raise type(error)(*error.args)  # a new one: an error holds the frames it went through
        return forward(self, input_ids=input_ids, **inputs)

    limited.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(type(model._base), "forward", limited)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    ],
    ids=["cuda", "cpu", "mps"],
)
def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(error, backbone, monkeypatch):
    model = backbone("llama")
    examples = [Example(str(i), "word " * (i % 7 + 1) + str(i)) for i in range(11)]
    expected = model.head_activations(examples, batch_size=1)
    monkeypatch.setattr(model, "levers", Levers(share_prefixes=False, side_by_side=False))
    model.head_activations(examples, batch_size=8)  # by now it is known that this model can be padded
    tried = small_memory(model, monkeypatch, 2, error)
    told = []
    z = model.head_activations(examples, batch_size=8, progress=lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(z, expected, atol=1e-5)
    # 8 fails, 4 fails, 2 and 2 pass, 4 fails, 2 and 2 pass; then 3 fails, 1 and 2 pass.
    assert tried == [8, 4, 2, 2, 4, 2, 2, 3, 1, 2]
    assert told == [(8, 11), (11, 11)]


def test_one_example_that_does_not_fit_is_named(backbone, monkeypatch):
    model = backbone("llama")
    tried = small_memory(model, monkeypatch, 0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(BackboneError, match="example 'longest' alone does not fit in the memory of cpu; lower"):
        model.head_activations([Example("short", "x"), Example("longest", "xy")])
    assert tried == [2, 1]


LONG = ["a cat", "two dogs", "x"]


def test_answers_that_do_not_fit_are_halved_and_nothing_is_lost(backbone, monkeypatch):
    model = backbone("llama")
    examples = [Example(str(i), "word " * (i % 7 + 1) + str(i)) for i in range(11)]
    scored, written = model.answer_log_likelihoods(examples, LONG), model.generate(examples, max_new_tokens=5)
    tried = small_memory(model, monkeypatch, 3, torch.OutOfMemoryError("CUDA out of memory"))
    np.testing.assert_allclose(model.answer_log_likelihoods(examples, LONG), scored, atol=1e-5)
    assert model.generate(examples, max_new_tokens=5) == written
    assert {8, 4, 2} <= set(tried)


@pytest.mark.parametrize("answers", [["a cat"], ["x"]], ids=["several tokens", "one token"])
def test_one_answer_that_does_not_fit_is_an_error_in_words(answers, backbone, monkeypatch):
    model = backbone("llama")
    small_memory(model, monkeypatch, 0, torch.OutOfMemoryError("CUDA out of memory"))
    told = "example 'short' alone does not fit in the memory of cpu; lower"
    with pytest.raises(BackboneError, match=told):
        model.answer_log_likelihoods([Example("short", "x"), Example("long", "xy")], answers)
    with pytest.raises(BackboneError, match=told):
        model.generate([Example("short", "x"), Example("long", "xy")])


def test_other_errors_are_not_taken_for_memory(backbone, monkeypatch):
    model = backbone("llama")
    tried = small_memory(model, monkeypatch, 0, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        model.head_activations([Example("first", "x"), Example("second", "xy")])
    assert tried == [2]


def test_the_failed_batch_is_released_before_the_halves_run(backbone, monkeypatch):
    import gc
    import weakref

    model = backbone("llama")
    alive, seen = [], []
    encode = Encoder.encode

    def watched(self, examples, prompts, **options):
        inputs = encode(self, examples, prompts, **options)
        seen.append([reference() is not None for reference in alive])
        alive.append(weakref.ref(inputs["input_ids"]))
        return inputs

    monkeypatch.setattr(Encoder, "encode", watched)
    small_memory(model, monkeypatch, 1, torch.OutOfMemoryError("CUDA out of memory"))
    gc.disable()  # what only the collector of cycles would free is still held when memory is short
    try:
        model.head_activations([Example("a", "x"), Example("b", "xy")], batch_size=2)
    finally:
        gc.enable()
    assert seen == [[], [False], [False, False]]


@pytest.mark.parametrize("kind", MODELS)
def test_only_the_logits_that_are_needed_are_made(kind, model_folder, backbone, picture):
    """However long the prompt, and in whatever way the model lets one ask for them."""
    model, untouched = load_backbone(model_folder(kind), dtype="float32", device="cpu"), backbone(kind)
    examples = [
        Example(str(i), "word " * (20 * i + 1) + "?", (picture(i, (32 + 8 * i, 40)),) if model.takes_images else ())
        for i in range(3)
    ]
    expected = untouched.answer_log_likelihoods(examples, LONG)
    tokens = [len(answer.tokens) for answer in answer_tokens(model, examples[:1] * 3, LONG)]
    made = []
    model.model.get_output_embeddings().register_forward_pre_hook(
        lambda _module, inputs: made.append(inputs[0].shape[1])
    )
    np.testing.assert_array_equal(model.answer_log_likelihoods(examples, LONG), expected)
    assert max(made) <= len(examples) * max(tokens) < model._inputs(examples)["input_ids"].shape[1]

    made.clear()
    model.model.hf_device_map = {"model": 0, "lm_head": 1}  # then a number counts them from the end of the rows
    np.testing.assert_allclose(model.answer_log_likelihoods(examples, LONG), expected, atol=1e-5)
    wide = max(made)
    assert len(examples) * max(tokens) < wide

    made.clear()
    forward = model.model.forward
    model.model.forward = lambda **inputs: forward(**inputs)  # it does not say that it takes `logits_to_keep`
    np.testing.assert_allclose(model.answer_log_likelihoods(examples, LONG), expected, atol=1e-5)
    assert wide < max(made)


@pytest.mark.parametrize("kind", MODELS)
def test_generation_does_not_depend_on_the_batch(kind, backbone, picture):
    model = backbone(kind)
    media = [(picture(i, (32 + i, 40)),) if model.takes_images and i % 2 else () for i in range(8)]
    examples = [Example(str(i), "Say something: " + "abc " * (3 * i % 5), media[i]) for i in range(8)]
    told = []
    together = model.generate(examples, max_new_tokens=5, progress=lambda done, total: told.append(done))
    alone = [model.generate([example], max_new_tokens=5)[0] for example in examples]
    assert together == alone
    assert len(set(together)) > 1
    assert told[-1] == 8


def test_no_examples_give_no_rows(backbone):
    assert backbone("llama").head_activations([]).shape == (0, 12, 8)
    assert backbone("llama").generate([]) == []


@pytest.mark.parametrize("size", [0, -2])
def test_a_batch_holds_at_least_one(size, backbone):
    with pytest.raises(ValueError, match=f"batch_size={size}"):
        backbone("llama").head_activations([Example("a", "x")], batch_size=size)


def test_bfloat16_is_named_and_near(model_folder, backbone):
    half = load_backbone(model_folder("llama"), dtype=torch.bfloat16, device="cpu")
    assert half.spec.dtype == "bfloat16"
    examples = [Example("a", "A question?")]
    z, exact = half.head_activations(examples), backbone("llama").head_activations(examples)
    assert z.dtype == np.float32
    assert 1e-5 < np.abs(z - exact).max() / np.abs(exact).max() < 0.1


def test_a_pixel_budget_bounds_the_prompt_and_is_part_of_the_spec(model_folder, backbone, picture):
    example = Example("a", "What?", (picture(0, (64, 64)),))
    free = backbone("qwen2_vl")
    bound = load_backbone(model_folder("qwen2_vl"), dtype="float32", device="cpu", max_pixels=32 * 32)
    assert len(prompts_of(bound, example)[1]) < len(prompts_of(free, example)[1])
    assert bound.spec.differences(free.spec) == ["max_pixels: 1024 here, None there"]
    with pytest.raises(BackboneError, match="SiglipImageProcessorPil has no pixel budget"):
        load_backbone(model_folder("llava"), dtype="float32", device="cpu", max_pixels=1024)


def test_a_broken_image_is_an_error_of_the_data(backbone, tmp_path):
    path = tmp_path / "cut.png"
    Image.new("RGB", (64, 64), "red").save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cut\.png"):
        backbone("llava").head_activations([Example("a", "x", (Media(path),))])


@pytest.mark.parametrize("answer", ["", "  "])
def test_an_empty_answer_has_no_likelihood(answer, backbone):
    with pytest.raises(DataError, match=f"answer 2 of 2 is empty .'{answer}'.; every class needs a word"):
        backbone("llama").answer_log_likelihoods([Example("a", "x")], ["Yes", answer])


def test_an_encoder_decoder_does_not_score_answers(fresh):
    fresh.model.config.is_encoder_decoder = True
    with pytest.raises(BackboneError, match="llama is an encoder-decoder, whose answers are not scored by likelihood"):
        fresh.answer_log_likelihoods([Example("a", "x")], ["Yes"])
