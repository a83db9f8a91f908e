"""What training asks beside questions: to tell back, where an answer begins, what the tower saw of the image.

Questions name what has a name. A decoder that learns from them alone carries little else of a picture (strokes, weaves)
to the token that answers, and the projector in front of it hands on little else. Knows no question's text; what it
learns itself is left behind when the model is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from transformers import LlavaForConditionalGeneration

from packing import Batch

#: How deep in the decoder it reads: the layers behind that have the answer alone to think of.
DEPTH = 2 / 3


class Recall(nn.Module):
    """A linear read-out of the tower's tokens, pooled to their mean, from the last token of each prompt."""

    def __init__(self, model: LlavaForConditionalGeneration, features: np.ndarray) -> None:
        """Watch a decoder.

        Args:
            model: whose decoder's states are read, as it computes them.
            features: `[n_images, 16, width]`, the tower's tokens.
        """
        super().__init__()
        text = model.model.language_model
        self.linear = nn.Linear(text.config.hidden_size, features.shape[2])
        some = torch.as_tensor(features[::50].astype(np.float32)).mean(1)
        self.mean, self.scale = some.mean(0), some.std(0, correction=0) + 1e-3
        self._features, self._states = features, torch.empty(0)
        text.layers[round(DEPTH * len(text.layers)) - 1].register_forward_hook(self._keep)

    def _keep(self, _layer: nn.Module, _given: object, states: torch.Tensor) -> None:
        self._states = states[0]

    def loss(self, batch: Batch, images: Sequence[Sequence[int]]) -> torch.Tensor:
        """Mean squared error over the questions of one image, in units of the features' variance; 0 where none is.

        Args:
            batch: what the decoder has just read.
            images: `[n_questions]` the numbers of the images that each question is about.
        """
        answers = (batch.target != -100).nonzero().flatten()
        owner = batch.owner[answers]
        begins = answers[owner.diff(prepend=owner.new_full((1,), -1)) != 0]
        seen = torch.as_tensor(self._features[[numbers[0] for numbers in images]].astype(np.float32)).mean(1)
        errors = (self.linear(self._states[begins]) - (seen - self.mean) / self.scale).square().mean(1)
        alone = torch.tensor([len(numbers) == 1 for numbers in images])
        return errors[alone].sum() / max(1, int(alone.sum()))
