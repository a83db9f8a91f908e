"""The method as a first implementation would have it: the yardstick of this benchmark.

One example a forward pass, the whole model with its logits for every token, three passes over the training examples
(class means; head scores; the class means of the kept heads), and a Python loop over heads. Written from the paper
(arXiv 2412.00142, section 3) for this benchmark. Prompts, ties and precision are the package's, so that both ways must
give the same head scores and the same labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from savs.backbones.encoding import Inputs
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.data.example import Example


@dataclass(frozen=True)
class PlainClassifier:
    """What the plain way learns.

    Attributes:
        classes: sorted.
        right: `[n_heads]`, how many training examples each head gets right.
        kept: indices of the kept heads, best first.
        means: `[n_classes, n_kept, head_dim]`.
    """

    classes: tuple[str, ...]
    right: tuple[int, ...]
    kept: tuple[int, ...]
    means: Tensor


def head_outputs(backbone: HuggingFaceBackbone, example: Example) -> Tensor:
    """`[n_heads, head_dim]` at the last token: everything is run and kept, and the last token taken in the end."""
    return torch.cat([z[0, -1] for z in all_outputs(backbone, backbone._inputs([example]))]).double().cpu()


def all_outputs(backbone: HuggingFaceBackbone, inputs: Inputs, **options: Any) -> list[Tensor]:
    """`[n_rows, n_tokens, n_heads, head_dim]` of each layer, from one pass through the whole model to all logits."""
    kept: dict[int, Tensor] = {}
    handles = [
        source.projection.register_forward_pre_hook(
            lambda _module, inputs, layer=source.layer: kept.__setitem__(layer, inputs[0].detach())
        )
        for source in backbone.sources
    ]
    try:
        with torch.no_grad():
            backbone.model(**inputs, **options)
    finally:
        for handle in handles:
            handle.remove()
    n_rows = len(inputs["input_ids"])
    return [kept[s.layer].reshape(n_rows, -1, s.n_heads, s.head_dim) for s in backbone.sources]


def fit(backbone: HuggingFaceBackbone, shots: Sequence[Example], k: int = 20) -> PlainClassifier:
    """Three passes over the shots."""
    classes = tuple(sorted({str(shot.label) for shot in shots}))
    means = _class_means(backbone, shots, classes)
    right = [0] * means.shape[1]
    for shot in shots:
        score(head_outputs(backbone, shot), classes.index(str(shot.label)), means, right)
    kept = tuple(sorted(range(len(right)), key=lambda head: (-right[head], head))[:k])
    return PlainClassifier(classes, tuple(right), kept, _class_means(backbone, shots, classes)[:, list(kept)])


def score(z: Tensor, label: int, means: Tensor, right: list[int]) -> None:
    """Count the heads that get one example right: `z` is `[n_heads, head_dim]`, `right` is added to."""
    for head in range(len(right)):
        right[head] += int(cosine_similarity(z[head][None], means[:, head], dim=-1).argmax()) == label


def predict(backbone: HuggingFaceBackbone, classifier: PlainClassifier, examples: Sequence[Example]) -> list[str]:
    """The majority of the kept heads' votes; of equals, what the best-ranked head says."""
    return [vote(classifier, head_outputs(backbone, example)[list(classifier.kept)]) for example in examples]


def vote(classifier: PlainClassifier, z: Tensor) -> str:
    """The class of one example's features at the kept heads, `[n_kept, head_dim]`."""
    votes = [
        int(cosine_similarity(z[head][None], classifier.means[:, head], dim=-1).argmax()) for head in range(len(z))
    ]
    most = max(votes.count(choice) for choice in votes)
    return classifier.classes[next(choice for choice in votes if votes.count(choice) == most)]


def _class_means(backbone: HuggingFaceBackbone, shots: Sequence[Example], classes: Sequence[str]) -> Tensor:
    outputs: dict[str, list[Tensor]] = {label: [] for label in classes}
    for shot in shots:
        outputs[str(shot.label)].append(head_outputs(backbone, shot))
    return torch.stack([torch.stack(outputs[label]).mean(dim=0) for label in classes])
