"""From examples to what a model takes: prompts rendered, media decoded, a batch padded into tensors.

Knows processors and tokenizers; no weights and no attention. Its tensors lie in main memory, so that a thread beside
the model's can make them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from torch import Tensor, nn

from savs.backbones.base import BackboneSpec
from savs.backbones.inputs import with_decoder_inputs
from savs.backbones.mixing import Kind
from savs.backbones.prompts import content_of, images_of, render_prompt, takes_one_image
from savs.data.example import Example
from savs.data.media import image_size
from savs.errors import BackboneError, first_line

#: A model's keyword arguments, one row an example.
Inputs = dict[str, Tensor]


class Encoder:
    """What stands between examples and one model.

    Args:
        processor: of the model, or its tokenizer where it takes text only.
        config: of the model.
        base: the module whose `forward` is called.
        spec: of the backbone, for messages and the frames of a video.

    Attributes:
        tokenizer: of the model.
        accepts: the names that `base` takes, or None where it takes any.
    """

    def __init__(self, processor: Any, config: Any, base: nn.Module, spec: BackboneSpec) -> None:
        self.tokenizer = getattr(processor, "tokenizer", processor)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        parameters = inspect.signature(base.forward).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        self.accepts = None if takes_any else frozenset(parameters)
        self._processor = processor
        self._config = config
        self._base = base
        self._spec = spec
        # Tokenizers keep how they pad as a setting, and refuse to change it while another thread uses them.
        self._one_at_a_time = Lock()

    @property
    def takes_images(self) -> bool:
        """Whether examples may have images or videos."""
        return getattr(self._processor, "image_processor", None) is not None

    @property
    def image_token(self) -> int | None:
        """The token that stands for an image in a prompt; None where the processor puts images in by itself."""
        token = getattr(self._processor, "image_token", None)
        return None if token is None else int(self.tokenizer.convert_tokens_to_ids(str(token)))

    def image_patches(self, example: Example) -> int:
        """Patches of an example's images, where their number depends on their size; zero where it does not."""
        count = getattr(getattr(self._processor, "image_processor", None), "get_number_of_image_patches", None)
        if count is None:
            return 0
        patches = [count(height, width, {}) for width, height in self.image_sizes(example)]
        return sum(n if isinstance(n, int) else n[0] for n in patches)  # some say rows and columns too

    def image_sizes(self, example: Example) -> tuple[tuple[int, int], ...]:
        """Width and height of an example's images, without decoding them."""
        return tuple(image_size(media) for media in example.media if media.kind == "image")

    def prompt(self, example: Example) -> str:
        """The prompt, one image token for each image. Opens no file.

        Raises:
            BackboneError: the model takes text only, and the example has media; or it takes one image, and the example
                has more.
            DataError: the marks in the text are not as many as the media.
        """
        if example.media and not self.takes_images:
            raise BackboneError(
                f"{self._spec.model} takes text only, but example {example.id!r} has media; "
                "choose a vision-language model"
            )
        counts = [self._spec.video_frames if media.kind == "video" else 1 for media in example.media]
        if sum(counts) > 1 and takes_one_image(self._processor):
            raise BackboneError(
                f"{self._spec.model} takes one image an example, but example {example.id!r} has {sum(counts)}"
            )
        return render_prompt(content_of(example, counts), self._processor)

    def encode(self, examples: Sequence[Example], prompts: Sequence[str], *, padding_side: str = "right") -> Inputs:
        """The model's inputs for one batch of examples and their prompts.

        Raises:
            BackboneError: the model's processor does not take such examples.
            DataError: an image or a video cannot be opened.
        """
        opened = [images_of(example, video_frames=self._spec.video_frames) for example in examples]
        images = [[image for mark in marks for image in mark] for marks in opened]
        arguments: dict[str, Any] = {
            "text": list(prompts),
            "padding": True,
            "padding_side": padding_side,
            "return_tensors": "pt",
            "add_special_tokens": self._adds_special_tokens(prompts[0]),
        }
        if any(images):
            arguments["images"] = [image for [image] in images] if takes_one_image(self._processor) else images
        if "mm_token_type_ids" in getattr(self._processor, "model_input_names", ()):
            arguments["return_mm_token_type_ids"] = True  # where images stand, which multimodal positions need
        with self._one_at_a_time:
            with self.refusing(examples[0]):
                batch = self._processor(**arguments)
            batch = with_decoder_inputs(batch, self._config, self._base, self.tokenizer, list(prompts))
        rows = {len(batch[name]) for name in ("input_ids", "decoder_input_ids") if name in batch}
        if rows != {len(prompts)}:
            reason = f"its processor makes {max(rows, default=0)} of {len(prompts)} prompts"
            raise self.refusal(examples[0], ValueError(reason))
        batch.pop("labels", None)  # of training: a model that is given them would compute a loss
        return {name: value for name, value in batch.items() if self.accepts is None or name in self.accepts}

    def kinds(self, examples: Sequence[Example], lengths: Iterable[int]) -> list[Kind]:
        """The kinds of rows that hold so many tokens."""
        return list(zip(lengths, map(self.image_sizes, examples), strict=True))

    @contextmanager
    def refusing(self, example: Example) -> Iterator[None]:
        """Say in words what kind of example the model, or its processor, does not take.

        Raises:
            BackboneError: it does not take it.
        """
        try:
            yield
        except (TypeError, ValueError) as error:
            raise self.refusal(example, error) from error

    def refusal(self, example: Example, error: Exception) -> BackboneError:
        """An error that says in words what kind of example the model, or its processor, did not take."""
        count = sum(self._spec.video_frames if media.kind == "video" else 1 for media in example.media)
        kind = "text alone" if not count else f"{count} image{'s' if count > 1 else ''} an example"
        return BackboneError(f"{self._spec.model} does not take {kind}: {first_line(error)} (example {example.id!r})")

    def tokens(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of each prompt, one for each image token, unpadded."""
        with self._one_at_a_time:
            encoded = self.tokenizer(list(prompts), add_special_tokens=self._adds_special_tokens(prompts[0]))
        return [tuple(ids) for ids in encoded["input_ids"]]

    def _adds_special_tokens(self, prompt: str) -> bool:
        """A chat template writes the beginning-of-text token itself; it must not stand there twice."""
        begins = self.tokenizer.bos_token
        return not (begins and prompt.startswith(begins))


def with_answer(prompt: str, answer: str) -> str:
    """The prompt with an answer written after it."""
    return prompt + (answer if prompt[-1:].isspace() else f" {answer}")
