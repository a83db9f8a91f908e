"""A classifier that is kept to the first layers runs no others, and is otherwise the same."""

import numpy as np
import pytest

from savs.backbones.base import Backbone
from savs.backbones.shallow import Shallow
from savs.classify import SAVClassifier
from savs.data.example import Example
from savs.errors import BackboneError
from savs.model import SAVModel

SHOTS = [
    Example(f"{i}", f"What is {word}?", label="ab"[i % 2]) for i, word in enumerate(["tin", "fig", "zinc", "plum"])
]


def deepest_layer_run(backbone, work):
    """The deepest layer whose attention output was computed during `work`."""
    ran = []
    handles = [
        source.projection.register_forward_pre_hook(lambda _module, _inputs, layer=source.layer: ran.append(layer))
        for source in backbone.sources
    ]
    try:
        work()
    finally:
        for handle in handles:
            handle.remove()
    return max(ran)


@pytest.mark.parametrize("max_layer", [0, 1])
def test_nothing_beyond_the_layer_is_kept_or_run(max_layer, backbone, tmp_path):
    model = backbone("llama")
    fitted = []
    rule = SAVClassifier(k=3)
    fit = lambda: fitted.append(SAVModel.fit(model, SHOTS, classifier=rule, max_layer=max_layer))  # noqa: E731
    assert deepest_layer_run(model, fit) == max_layer
    [shallow] = fitted
    assert {head.layer for head in shallow.layout.heads} == set(range(max_layer + 1))
    assert max(head.layer for head in shallow.selected_heads) <= max_layer
    assert deepest_layer_run(model, lambda: shallow.predict(SHOTS)) <= max_layer
    whole = SAVModel.fit(model, SHOTS, classifier=rule)
    n_heads = shallow.layout.n_heads
    np.testing.assert_array_equal(shallow.head_scores, whole.head_scores[:n_heads])
    saved = SAVModel.from_pretrained(shallow.save_pretrained(tmp_path / "clf"), backbone=model)
    assert saved.predict(SHOTS) == shallow.predict(SHOTS)
    assert saved.layout == shallow.layout


def test_it_is_a_backbone_that_answers_as_the_whole_one(backbone):
    model = backbone("llama")
    shallow = Shallow(model, 1)
    assert isinstance(shallow, Backbone)
    assert shallow.spec == model.spec
    np.testing.assert_array_equal(
        shallow.head_activations(SHOTS), model.head_activations(SHOTS, heads=shallow.layout.heads)
    )
    assert shallow.generate(SHOTS, max_new_tokens=2) == model.generate(SHOTS, max_new_tokens=2)
    ours, theirs = (b.answer_log_likelihoods(SHOTS, ["Yes"]) for b in (shallow, model))
    np.testing.assert_array_equal(ours, theirs)


def test_a_layer_before_the_first_is_refused(backbone):
    with pytest.raises(BackboneError, match="llama has no heads down to layer -1; its first are in layer 0"):
        Shallow(backbone("llama"), -1)
