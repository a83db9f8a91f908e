"""Finding and opening a model safely, on a machine of any kind.

Knows transformers' loading rules; no processor and no prompt. Weights come from safetensors or GGUF files and code from
the installed transformers, never from the model's folder.
"""

from __future__ import annotations

import hashlib
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from savs.backbones.gguf import SUFFIX, check_gguf, is_gguf, opened, unpacked
from savs.backbones.quantised import method_of, unpacking_at_once
from savs.errors import BackboneError, first_line

#: The model that ships with the package, under the name `demo`.
DEMO_NAME = "demo"
DEMO_FOLDER = Path(__file__).parents[1] / "demo" / "model"

#: Files of a model's folder that decide its numbers; the rest are cards and pictures.
_DECIDING = {".json", ".jinja", ".safetensors", ".gguf", ".txt", ".model"}
#: Types that transformers lists among those that answer to images and text, and that do not answer to these alone, or
#: have no last prompt position.
_REFUSED = {
    "diffusion_gemma": "which writes by refining a random canvas: no position of it stands for the prompt alone",
    "evolla": "which reads proteins, not images",
    "fuyu": "whose images transformers 5.23 cannot cut into patches with Pillow",
    "instructblipvideo": "whose processor takes videos whole, not as frames",
    "pi0": "which gives robot actions, not text",
    "pp_formulanet": "which writes down the formula it sees and takes no prompt",
    "udop": "which reads the words of a page with their places, from a program that recognises them",
}

#: Types that take audio and text, and stand in no list of models that write text alone.
_HEARERS = {"qwen2_audio"}

#: Types whose weights transformers reads into a class that judges images alone; inside it is the model that writes.
_JUDGES = {"shieldgemma2"}

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_DIGEST_BLOCK = 4096
_DIGEST_BLOCKS_PER_FILE = 256


def locate(id_or_path: str | Path) -> tuple[str, str]:
    """Tell a name and a place to load from: the demo, a folder, a GGUF file, or a Hub id.

    Raises:
        BackboneError: it looks like a folder and is not one, it is a folder without a model, or a file of another kind.
    """
    text = str(id_or_path)
    if text == DEMO_NAME:
        return DEMO_NAME, str(DEMO_FOLDER)
    folder = Path(text).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            gguf = next(iter(sorted(folder.glob(f"*{SUFFIX}"))), None)
            hint = f"; to open {gguf.name}, give the path of that file" if gguf else ""
            raise BackboneError(f"{text} is a folder without config.json; expected a model saved by transformers{hint}")
        return folder.resolve().name, str(folder)
    if is_gguf(text):
        check_gguf(str(folder))
        return folder.name, str(folder)
    if folder.is_file():
        raise BackboneError(f"{text} is a file; expected a folder saved by transformers, or a file ending in {SUFFIX}")
    written_as_path = folder.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1
    if written_as_path or folder.exists() or folder.suffix == SUFFIX:
        raise BackboneError(
            f"there is no model folder {text}; give an existing folder, a GGUF file, a Hub id, or {DEMO_NAME!r}"
        )
    return text, text


def load_config(place: str, *, revision: str | None) -> PreTrainedConfig:
    """The model's configuration.

    Raises:
        BackboneError: it cannot be read, or the model needs code of its own.
    """
    try:
        with opened(place) as (source, file):
            config: PreTrainedConfig = AutoConfig.from_pretrained(
                source, revision=revision, trust_remote_code=False, **file
            )
    except (OSError, ValueError, KeyError, struct.error) as error:
        if is_gguf(place):
            raise BackboneError(f"transformers cannot open {place}: {first_line(error)}") from error
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise BackboneError(
                f"{place} brings its own Python code, which is never run here; "
                "use a model that the installed transformers knows by itself"
            ) from error
        raise BackboneError(
            f"cannot read the model {place}: {first_line(error)}. Expected a Hub id that this machine can reach or "
            f"has in its cache, a folder saved by transformers, a GGUF file, or {DEMO_NAME!r}"
        ) from error
    config = _that_writes(config)
    if config.model_type in _REFUSED:
        raise BackboneError(f"{place} is of type {config.model_type!r}, {_REFUSED[config.model_type]}")
    if not _writes_text(config):
        raise BackboneError(
            f"{place} is of type {config.model_type!r}, which transformers cannot load as a model that writes text; "
            "expected an image-text-to-text or a causal language model"
        )
    return config


def _that_writes(config: PreTrainedConfig) -> PreTrainedConfig:
    """Of an omni model, the part that sees, hears and writes; what speaks is left behind. Of any other, the whole."""
    thinker: PreTrainedConfig | None = getattr(config, "thinker_config", None)
    if thinker is None:
        return config
    thinker._commit_hash = getattr(config, "_commit_hash", None)  # a folder has none
    return thinker


def auto_class(config: PreTrainedConfig) -> Any:
    """The first of transformers' automatic classes that opens it: for images, for text, for anything else (audio)."""
    if config.model_type in _JUDGES:
        return AutoModelForImageClassification
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    return AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForMultimodalLM


def writer(model: Any) -> Any:
    """The model that writes text: what `auto_class` opened, or what stands inside it."""
    return model.model if model.config.model_type in _JUDGES else model


def _writes_text(config: PreTrainedConfig) -> bool:
    """Whether it is a model that writes one token after the other, for then its last token has seen all the others."""
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or config.model_type in _HEARERS:
        return True
    # transformers opens BERT and its kin as causal models too, but unless they were made decoders they look both ways.
    encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_encoder_decoder", False)
    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and (not encoder or getattr(config, "is_decoder", False))


def load_model(
    place: str,
    config: PreTrainedConfig,
    *,
    revision: str | None,
    dtype: torch.dtype,
    device: str,
    attention: str | None,
) -> PreTrainedModel:
    """The frozen model, in evaluation mode, on its device (`auto` spreads it over all there are).

    Raises:
        BackboneError: there are no safetensors weights, some are missing, a package is, or loading fails.
    """
    method = method_of(config, place)
    if device == "auto" and find_spec("accelerate") is None:
        raise BackboneError("device='auto' needs accelerate, which is not installed; pip install \"savs[accelerate]\"")
    folder = Path(place)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        found = f"found {pickles[0]}, a pickle file, which can run code when it is opened" if pickles else "found none"
        raise BackboneError(
            f"{place} has no safetensors weights ({found}); convert it with transformers' "
            "save_pretrained on a machine where you trust it"
        )
    try:
        with opened(place) as (source, file):
            loaded: tuple[PreTrainedModel, dict[str, Any]] = auto_class(config).from_pretrained(
                source,
                config=unpacking_at_once(config),
                revision=revision,
                dtype=dtype,
                attn_implementation=_of_the_decoder(config, attention),
                # Quantised weights cannot be moved once they are made.
                device_map="auto" if device == "auto" else {"": device} if method else None,
                output_loading_info=True,
                use_safetensors=not file,
                trust_remote_code=False,
                **file,
                **unpacked(file),
            )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        kept = f", which are quantised with {method}" if method else ""
        raise BackboneError(f"cannot load the weights of {place}{kept}: {first_line(error)}") from error
    report = loaded[1]
    model: PreTrainedModel = writer(loaded[0])
    if missing := sorted(report["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BackboneError(
            f"{place} has no weights for {missing[0]}{more}, which would be drawn at random; fetch or convert the "
            "model anew"
        )
    model.requires_grad_(False)
    model.train(False)
    if device != "auto" and not method:
        torch.nn.Module.to(model, device)
    return model


def _of_the_decoder(config: PreTrainedConfig, attention: str | None) -> dict[str, str] | None:
    """An attention kernel for the text decoder, where heads are read; a vision tower may not have it."""
    if attention is None:
        return None
    decoder: Any = config.get_text_config(decoder=True)
    names = [name for name in config.sub_configs if getattr(config, name, None) is decoder]
    return {"": attention, **dict.fromkeys(names, attention)}


def model_digest(place: Path) -> str:
    """Sixteen hexadecimal digits that name the contents of a model's folder, or of its single file by any name.

    Small files count whole; of a large one, its size and 256 blocks spread evenly over it, so that a checkpoint of
    many gigabytes is named in a moment and a change to any of its layers still shows.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in place.iterdir() if p.suffix in _DECIDING) if place.is_dir() else [place]
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name if path != place else ''}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _DIGEST_BLOCK * _DIGEST_BLOCKS_PER_FILE:
                digest.update(file.read())
                continue
            for block in range(_DIGEST_BLOCKS_PER_FILE):
                file.seek(block * (size - _DIGEST_BLOCK) // (_DIGEST_BLOCKS_PER_FILE - 1))
                digest.update(file.read(_DIGEST_BLOCK))
    return digest.hexdigest()[:16]


def choose_device() -> str:
    """The fastest device at hand: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_dtype(device: str) -> torch.dtype:
    """bfloat16 where the device computes in it natively, float32 elsewhere.

    A CPU without bfloat16 units emulates them, a hundred times slower than float32, so the machine is asked.
    """
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = any(capabilities.get(unit, False) for unit in ("amx_bf16", "avx512_bf16"))
    return torch.bfloat16 if device == "cpu" and native else torch.float32
