"""Finding and opening a model's processor, or its tokenizer where it takes text alone.

Knows transformers' processors and their back ends; no weights, no prompt. Images are prepared by Pillow and videos are
given as frames, on every machine alike.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    PROCESSOR_MAPPING,
    AutoTokenizer,
    PreTrainedConfig,
    ProcessorMixin,
)
from transformers.models.auto.processing_auto import processor_class_from_name
from transformers.utils.hub import cached_file

from savs.backbones.gguf import opened
from savs.errors import BackboneError, first_line

#: Processors that leave no room for a prompt, and the one of the same family that does.
_INSTEAD = {"ShieldGemma2Processor": "Gemma3Processor"}


def load_processor(place: str, config: PreTrainedConfig, *, revision: str | None) -> Any:
    """The model's processor with PIL image processing, or the bare tokenizer of a text-only model.

    transformers would choose torchvision's image processors where they are installed and PIL's elsewhere, and the two
    differ in their numbers; PIL runs everywhere, so it is what we ask for. Some types have torchvision's alone. Video
    processors need torchvision, and are left out on every machine: videos are given as frames.

    Raises:
        BackboneError: it cannot be built.
    """
    arguments: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        processor_class = _processor_class(place, config, revision) if _has_processor(config) else None
        if processor_class is None:
            with opened(place) as (source, file):
                return AutoTokenizer.from_pretrained(source, **arguments, **file)
        return processor_class.from_pretrained(place, backend="pil", **arguments)
    except ImportError as error:
        missing = re.search(r"(\w+) requires the (\w+) library", str(error))
        what = f"{missing[1]} needs {missing[2].lower()}, which is not installed" if missing else first_line(error)
        raise BackboneError(f"cannot load the processor of {place}: {what}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackboneError(f"cannot load the processor of {place}: {first_line(error)}") from error


def _has_processor(config: PreTrainedConfig) -> bool:
    """Whether it takes more than text."""
    mappings = (MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, PROCESSOR_MAPPING)
    return any(type(config) in mapping for mapping in mappings)


def _processor_class(place: str, config: PreTrainedConfig, revision: str | None) -> Any:
    """The class of the model's processor, or None where it has a tokenizer alone."""
    name = _processor_name(place, revision)
    name = _INSTEAD.get(name or "", name)
    if name is None and type(config) not in PROCESSOR_MAPPING:
        return None
    processor_class: Any = processor_class_from_name(name) if name else PROCESSOR_MAPPING[type(config)]
    if "video_processor" not in processor_class.get_attributes():
        return processor_class
    return without_video(processor_class)


class _NoVideoProcessor:
    """Stands where a video processor would: all that one may ask of it is empty."""

    valid_kwargs = None
    model_input_names: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):  # what copies and prints it
            raise AttributeError(name)
        return ""


def without_video(processor_class: Any) -> Any:
    """The same processor class, built and opened without the video processor, which needs torchvision."""
    original = processor_class.get_attributes()
    attributes = [name for name in original if name != "video_processor"]
    place_of_video = original.index("video_processor")

    base: Any = ProcessorMixin

    class DropVideo(base):  # type: ignore[misc]
        """Stands between the processor and transformers' base class, and keeps the video processor from the base."""

        video_processor = _NoVideoProcessor()

        def __init__(self, *arguments: Any, **settings: Any) -> None:
            parts = dict(zip(original, arguments, strict=False)) | settings
            parts.pop("video_processor", None)
            super().__init__(**parts)

    class WithoutVideo(processor_class, DropVideo):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return attributes

        @classmethod
        def _get_arguments_from_pretrained(cls, *arguments: Any, **settings: Any) -> list[Any]:
            parts: list[Any] = super()._get_arguments_from_pretrained(*arguments, **settings)
            return [*parts[:place_of_video], None, *parts[place_of_video:]]

    WithoutVideo.__name__ = processor_class.__name__
    return WithoutVideo


def _processor_name(place: str, revision: str | None) -> str | None:
    """The processor class that a model's own files name; several families share a model type."""
    for file in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        path = cached_file(
            place,
            file,
            revision=revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if path is not None:
            name = json.loads(Path(path).read_text(encoding="utf-8")).get("processor_class")
            if name:
                return str(name)
    return None
