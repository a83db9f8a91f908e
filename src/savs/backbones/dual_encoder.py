"""Models that put images and texts into one space by two towers: CLIP, SigLIP and their kin.

Knows images and texts. Knows no example, no label, and no attention head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer, PreTrainedModel

from savs.backbones import loading
from savs.backbones.base import BackboneSpec
from savs.errors import BackboneError, first_line

Vectors = NDArray[np.float32]

#: Model types that can be opened, and the family whose rows they fill.
FAMILIES = {"clip": "clip", "metaclip_2": "clip", "siglip": "siglip", "siglip2": "siglip"}

#: SigLIP was trained on texts padded to its full length, and answers otherwise without.
_PADDED_TO_FULL_LENGTH = {"siglip", "siglip2"}

_BATCH = 32


class DualEncoder:
    """Two towers and their processors. Made by `load_dual_encoder`.

    Attributes:
        spec: what identifies it.
        family: `clip` or `siglip`.
        scale: by which it multiplies cosines to make logits.
    """

    def __init__(self, model: PreTrainedModel, image_processor: Any, tokenizer: Any, spec: BackboneSpec) -> None:
        self.spec = spec
        self.family = FAMILIES[str(model.config.model_type)]
        self._model: Any = model
        self._image_processor = image_processor
        self._tokenizer = tokenizer
        self.scale = float(np.exp(model.state_dict()["logit_scale"].item()))

    def __repr__(self) -> str:
        return f"DualEncoder({self.spec.model}, {self.spec.dtype})"

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Images as vectors of length one: `[n_images, dim]`."""
        parts = []
        for start in range(0, len(images), _BATCH):
            inputs = self._image_processor(images=list(images[start : start + _BATCH]), return_tensors="pt")
            parts.append(self._pooled(self._model.get_image_features, inputs))
        return np.concatenate(parts)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts as vectors of length one, cut at the length that the model was made for: `[n_texts, dim]`."""
        config: Any = self._model.config.text_config
        padding = "max_length" if self._model.config.model_type in _PADDED_TO_FULL_LENGTH else True
        parts = []
        for start in range(0, len(texts), _BATCH):
            inputs = self._tokenizer(
                list(texts[start : start + _BATCH]),
                padding=padding,
                truncation=True,
                max_length=config.max_position_embeddings,
                return_tensors="pt",
            )
            # SigLIP attends to its padding too, as in training.
            known = ("input_ids",) if padding == "max_length" else ("input_ids", "attention_mask")
            parts.append(self._pooled(self._model.get_text_features, {name: inputs[name] for name in known}))
        return np.concatenate(parts)

    def _pooled(self, tower: Any, inputs: Any) -> Vectors:
        on_device = {
            name: value.to(self._model.device, self._model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        with torch.inference_mode():
            output = tower(**on_device)
        vectors = getattr(output, "pooler_output", output).float()
        return np.asarray(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy(), dtype=np.float32)


def load_dual_encoder(
    id_or_path: str | Path, *, revision: str | None = None, dtype: str = "float32", device: str | None = None
) -> DualEncoder:
    """Open a CLIP or SigLIP model.

    Args:
        id_or_path: a Hub id (`openai/clip-vit-large-patch14-336`, `google/siglip-so400m-patch14-384`) or a folder.
        revision: branch, tag or commit on the Hub.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `cuda`, `mps` or `cpu`; by default, or where it is `auto`, the fastest there is.

    Raises:
        BackboneError: it is no such model, or it cannot be loaded safely.
    """
    name, place = loading.locate(id_or_path)
    settings: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(place, **settings)
        if config.model_type not in FAMILIES:
            raise BackboneError(
                f"{name} is of type {config.model_type!r}; expected a dual encoder: {', '.join(FAMILIES)}"
            )
        model = cast(
            PreTrainedModel,
            AutoModel.from_pretrained(place, dtype=getattr(torch, dtype), use_safetensors=True, **settings),
        )
        of_images: Any = AutoImageProcessor
        image_processor = of_images.from_pretrained(place, backend="pil", **settings)
        tokenizer = AutoTokenizer.from_pretrained(place, **settings)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError) as error:
        raise BackboneError(
            f"cannot load the dual encoder {name}: {first_line(error)}. Expected a Hub id that this machine can reach "
            "or has in its cache, or a folder saved by transformers"
        ) from error
    model.requires_grad_(False)
    model.train(False)
    torch.nn.Module.to(model, loading.choose_device() if device in (None, "auto") else device)
    local = Path(place).is_dir()
    spec = BackboneSpec(
        model=name,
        revision=loading.model_digest(Path(place)) if local else str(model.config._commit_hash),
        dtype=dtype,
        attention=str(model.config._attn_implementation),
        image_processor=type(image_processor).__name__,
        location=str(Path(place).resolve()) if local else name,
    )
    return DualEncoder(model, image_processor, tokenizer, spec)
