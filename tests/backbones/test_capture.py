"""Heads are found by structure, caught at the right place, and left as they were."""

import threading

import numpy as np
import pytest
import torch
import transformers as t
from torch import nn

from savs.backbones.attention import find_attention, layout_of
from savs.backbones.capture import capture_heads
from savs.data.example import Example
from savs.errors import BackboneError
from savs.features import HeadId
from tiny_models import MODELS, TEXT


def n_hooks(model):
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


def weights_of(projection):
    """[out, in] weight of a linear layer, or of GPT-2's, which is stored the other way round."""
    return projection.weight.T if type(projection).__name__ == "Conv1D" else projection.weight


@pytest.mark.parametrize("kind", MODELS)
def test_heads_through_the_projection_are_the_modules_output(kind, backbone, picture):
    model = backbone(kind)
    example = Example("a", "How many?", (picture(0),) if model.takes_images else ())
    outputs = {}
    handles = [
        source.projection.register_forward_hook(
            lambda module, inputs, output, layer=source.layer: outputs.__setitem__(layer, output[0, -1])
        )
        for source in model.sources
    ]
    with torch.inference_mode():
        model.model(**model._inputs([example]), use_cache=False)
    for handle in handles:
        handle.remove()
    z = torch.from_numpy(model.head_activations([example])[0])
    assert len(outputs) == 3
    for source in model.sources:
        heads = z[[i for i, head in enumerate(model.layout.heads) if head.layer == source.layer]]
        projected = weights_of(source.projection) @ heads.flatten()
        if getattr(source.projection, "bias", None) is not None:
            projected = projected + source.projection.bias
        torch.testing.assert_close(projected, outputs[source.layer], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_every_layer_of_the_decoder_and_nothing_of_the_image_tower(kind, backbone):
    model = backbone(kind)
    assert [source.layer for source in model.sources] == [0, 1, 2]
    assert {(source.n_heads, source.head_dim) for source in model.sources} == {(4, 8)}
    assert not any("vision" in source.name or "visual" in source.name for source in model.sources)
    assert model.layout.shape == (3, 4)


def test_what_another_thread_runs_meanwhile_is_not_caught(backbone):
    model = backbone("llama")
    here, there = (model._inputs([Example("a", text)]) for text in ("here", "somewhere else"))

    def run(inputs):
        with torch.inference_mode():
            model._base(**inputs, use_cache=False)

    with capture_heads(model.sources, torch.tensor([-1])) as captured:
        other = threading.Thread(target=run, args=(there,))
        other.start()
        other.join()
        assert not captured.by_layer
        run(here)
    np.testing.assert_array_equal(captured.stacked(8)[0], model.head_activations([Example("a", "here")])[0])


def test_hooks_are_gone_after_the_block_and_after_an_error(backbone):
    model = backbone("llama")
    before = n_hooks(model.model)
    positions = torch.tensor([0])
    with capture_heads(model.sources, positions):
        assert n_hooks(model.model) == before + 3
    assert n_hooks(model.model) == before
    with pytest.raises(ZeroDivisionError), capture_heads(model.sources, positions):
        raise ZeroDivisionError
    assert n_hooks(model.model) == before
    model.head_activations([Example("a", "x")])
    assert n_hooks(model.model) == before


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2_vl", "smolvlm"])
def test_a_subset_is_the_columns_of_the_whole_and_deeper_layers_rest(kind, backbone, picture):
    model = backbone(kind)
    texts = ["once upon a time", "when?", "a lot of words", "seven"]  # nothing that they would share
    examples = [Example(text, text, (picture(i),) if model.takes_images else ()) for i, text in enumerate(texts)]
    whole = model.head_activations(examples)
    calls = {source.layer: 0 for source in model.sources}
    handles = [
        source.projection.register_forward_hook(lambda *_, layer=source.layer: calls.update({layer: calls[layer] + 1}))
        for source in model.sources
    ]
    try:
        wanted = [HeadId(1, 3), HeadId(0, 0), HeadId(1, 1)]  # in the order asked for, not that of the layout
        part = model.head_activations(examples, heads=wanted)
    finally:
        for handle in handles:
            handle.remove()
    columns = [model.layout.heads.index(head) for head in wanted]
    np.testing.assert_array_equal(part, whole[:, columns])
    assert calls[0] == 1  # one batch
    assert calls[1] == 0  # stopped before the projection of the deepest head asked for
    assert calls[2] == 0


def test_layers_of_different_heads_are_padded_with_zeros():
    class ToyAttention(nn.Module):
        def __init__(self, layer, n_heads, head_dim):
            super().__init__()
            self.layer_idx, self.num_heads, self.head_dim = layer, n_heads, head_dim
            self.o_proj = nn.Linear(n_heads * head_dim, 6)

        def forward(self, x):
            return self.o_proj(x)

    model = nn.ModuleList([ToyAttention(0, 2, 3), ToyAttention(1, 3, 2)])
    sources = find_attention(model)
    layout = layout_of(sources)
    assert layout.heads == tuple(HeadId(0, i) for i in range(2)) + tuple(HeadId(1, i) for i in range(3))
    assert layout.head_dim == 3
    x = torch.arange(24.0).reshape(2, 2, 6)
    with capture_heads(sources, torch.tensor([1, 0])) as captured:
        model[0](x)
        model[1](x)
    z = captured.stacked(layout.head_dim)
    torch.testing.assert_close(z[0, :2].flatten(), x[0, 1])
    torch.testing.assert_close(z[1, 2:, :2].flatten(), x[1, 0])
    assert (z[:, 2:, 2] == 0).all()


def test_a_pattern_names_the_projections_by_hand(backbone):
    model = backbone("llava").model
    found = find_attention(model, pattern=r"model\.language_model\.layers\.\d+\.self_attn\.o_proj")
    assert found == backbone("llava").sources
    image_tower = find_attention(model, pattern=r".*vision_tower\.encoder.*\.out_proj")
    assert [source.layer for source in image_tower] == [0, 1]
    with pytest.raises(BackboneError, match="attention_modules='nothing' names no linear module"):
        find_attention(model, pattern="nothing")


def test_a_model_without_attention_heads_is_refused():
    model = t.AutoModelForCausalLM.from_config(
        t.MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=50, state_size=4)
    )
    with pytest.raises(BackboneError, match="no attention heads in MambaForCausalLM.*o_proj.*attention_modules="):
        find_attention(model)


def test_two_attentions_in_one_layer_are_refused():
    model = t.AutoModelForCausalLM.from_config(t.LlamaConfig(**TEXT))
    model.model.layers[1].self_attn.layer_idx = 0
    with pytest.raises(BackboneError, match="more than one attention module a layer"):
        find_attention(model)


def test_a_head_size_that_does_not_fit_is_refused():
    model = t.AutoModelForCausalLM.from_config(t.LlamaConfig(**TEXT))
    model.model.layers[1].self_attn.head_dim = 7
    with pytest.raises(BackboneError, match=r"layers\.1\.self_attn\.o_proj.*32 values.*head_dim=7"):
        find_attention(model)
