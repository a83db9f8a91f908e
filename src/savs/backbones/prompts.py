"""From an example to what a processor takes: one prompt string, and its images in order.

Knows chat templates and media marks; no weights, no attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from savs.data.example import IMAGE_MARK, Example
from savs.data.media import open_image, sample_frames
from savs.errors import DataError

#: Processors that put image tokens in front of the text themselves, which nothing else about them shows.
_MARKS_IMAGES_ITSELF = frozenset(
    {
        "Blip2Processor",
        "Florence2Processor",
        "InstructBlipProcessor",
        "Kosmos2Processor",
        "Kosmos2_5Processor",
    }
)
#: Processors that take a list of images for several pages of one document alone.
_PAGES = frozenset({"GotOcr2Processor"})


def takes_one_image(processor: Any) -> bool:
    """Whether an example may have one image at most: a prompt has no way to say where several would stand."""
    if type(processor).__name__ in _MARKS_IMAGES_ITSELF | _PAGES:
        return True
    return not getattr(processor, "chat_template", None) and not getattr(processor, "image_token", None)


def images_of(example: Example, *, video_frames: int) -> list[list[Image.Image]]:
    """The images behind each mark: one for an image, `video_frames` for a video.

    Raises:
        DataError: a file is missing or cannot be decoded.
    """
    return [
        sample_frames(media, video_frames) if media.kind == "video" else [open_image(media)] for media in example.media
    ]


def content_of(example: Example, counts: Sequence[int]) -> list[dict[str, str]]:
    """The user's turn as alternating parts: `{"type": "image"}` and `{"type": "text", "text": ...}`.

    Args:
        example: text with one `<image>` mark for each media item, or without any: then media come first.
        counts: how many images stand behind each mark.

    Raises:
        DataError: there are marks, but not as many as media.
    """
    texts = example.text.split(IMAGE_MARK)
    if len(texts) == 1:
        texts = [""] * len(counts) + texts
    elif len(texts) != len(counts) + 1:
        raise DataError(
            f"example {example.id!r} has {len(texts) - 1} {IMAGE_MARK} marks for {len(counts)} media; "
            "expected one mark each, or none at all to put the media first",
            location=example.location,
        )
    parts: list[dict[str, str]] = []
    for i, text in enumerate(texts):
        if text.strip():
            parts.append({"type": "text", "text": text.strip()})
        if i < len(counts):
            parts.extend({"type": "image"} for _ in range(counts[i]))
    return parts


def render_prompt(content: Sequence[dict[str, str]], processor: Any) -> str:
    """The prompt in the model's own chat form, with the generation prompt appended.

    A model without a chat template gets its image tokens and the text as they stand.
    """
    template = getattr(processor, "chat_template", None)
    if template:
        # By the tokenizer even where there is a processor: some processors ask for parts that are not installed.
        tokenizer = getattr(processor, "tokenizer", None)
        body = list(content) if tokenizer is not None else "\n".join(part["text"] for part in content)
        rendered = (tokenizer or processor).apply_chat_template(
            [{"role": "user", "content": body}], chat_template=template, tokenize=False, add_generation_prompt=True
        )
        return str(rendered)
    itself = type(processor).__name__ in _MARKS_IMAGES_ITSELF
    image_token = "" if itself else str(getattr(processor, "image_token", ""))  # a string, or transformers' AddedToken
    return "".join(image_token if part["type"] == "image" else part["text"] for part in content)
