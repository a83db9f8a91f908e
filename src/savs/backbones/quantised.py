"""Quantised weights: by which method, and whether they are used as they are kept. Knows no attention and no prompt."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.quantizers.auto import AutoHfQuantizer

from savs.errors import BackboneError


def method_of(config: PreTrainedConfig, place: str) -> str:
    """The method that a model's weights are quantised with, or nothing.

    Raises:
        BackboneError: transformers does not know the method, and would read the weights as if they were plain numbers.
    """
    settings = _settings(config)
    if not settings:
        return ""
    method = str(settings.get("quant_method", "bitsandbytes"))
    known: Any = AutoHfQuantizer.supports_quant_method
    if not known({"quant_method": method, **settings}):
        raise BackboneError(
            f"{place} is quantised with {method!r}, which the installed transformers does not know; take the model "
            "unquantised, or in another form"
        )
    return method


def unpacking_at_once(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration, asking for plain weights where their method would unpack them with the first whole pass.

    compressed-tensors does: it hangs its unpacking on the whole model, of which a pass for heads runs a part.
    """
    if _settings(config).get("quant_method") != "compressed-tensors":
        return config
    asking = deepcopy(config)
    _settings(asking)["dequantize"] = True
    return asking


def how_kept(model: PreTrainedModel, config: PreTrainedConfig) -> str:
    """How a loaded model keeps its weights: `fp8`, or `fp8, unpacked` where this machine cannot compute in it.

    Args:
        model: as transformers loaded it; its own configuration says no more of quantisation when all is unpacked.
        config: what stood in its folder.
    """
    method = str(_settings(config).get("quant_method", ""))
    return method if not method or _settings(model.config) else f"{method}, unpacked"


def _settings(config: Any) -> dict[str, Any]:
    """The quantisation settings of a configuration, which a multimodal one may keep with its text decoder."""
    settings = getattr(config, "quantization_config", None)
    settings = settings or getattr(config.get_text_config(decoder=True), "quantization_config", None) or {}
    return settings if isinstance(settings, dict) else settings.to_dict()
