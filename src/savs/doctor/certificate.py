"""The certificate of a backbone: a handful of checks that no right reading of heads can fail, each with a verdict.

Knows a loaded backbone and numbers; prints nothing. A model that nobody has seen may raise anything at all: what a
check raises is its finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from savs.doctor.inputs import image_examples, text_examples
from savs.errors import first_line
from savs.features import FloatArray

if TYPE_CHECKING:
    from savs.backbones.base import BackboneSpec, Progress
    from savs.backbones.huggingface import HuggingFaceBackbone
    from savs.data.example import Example

Verdict = Literal["ok", "warn", "fail"]

#: Largest difference that rounding explains between a batch and its examples alone, as a share of the largest value.
#: A wrong position or an unmasked padding token is off by half of that value and more.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
#: Features of different inputs that differ by less than this share of the largest value are taken for the same.
SAME = 1e-4
#: Examples of one batch, against the same ones alone.
TOGETHER = 4
BATCH_SIZES = (1, 4, 8)
#: As many tokens one as the other, to nearly every tokenizer.
_BEGINNINGS = ("one two three", "four five six")


def tolerance(spec: BackboneSpec) -> float:
    """The largest difference that rounding explains: of its dtype, or of the eight bits that bfloat16 has.

    Many quantised models round what goes through them to eight bits too, by a scale that the whole batch decides.
    """
    return max(TOLERANCES[name] for name in (spec.dtype, *(("bfloat16",) if spec.quantised else ())))


@dataclass(frozen=True)
class Check:
    """One question to the backbone, and the answer.

    Attributes:
        name: what was looked at.
        verdict: `fail` where heads are not to be trusted, `warn` where a user should know.
        found: what was found, in words.
        value: what was measured, where it is a number.
        limit: up to which it is right, where there is such a limit.
    """

    name: str
    verdict: Verdict
    found: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Speed:
    """How fast heads are read at one batch size.

    Attributes:
        batch_size: examples in one pass.
        per_second: examples a second.
        peak_bytes: most memory in use meanwhile: of the accelerator, else of the whole process; None where not known.
    """

    batch_size: int
    per_second: float
    peak_bytes: int | None


@dataclass(frozen=True)
class Certificate:
    """What was found of a backbone on this machine.

    Attributes:
        spec: of the backbone.
        device: where its weights are.
        heads: layer to its number of heads and their size.
        where: path of the first projection whose input is read, layer numbers as `N`.
        gated: whether heads are gated or normalised before they are read.
        left_out: reason to layers that are not read for it.
        checks: in the order in which they were made.
        speeds: by batch size, on examples with an image where the model takes images.
    """

    spec: BackboneSpec
    device: str
    heads: dict[int, tuple[int, int]]
    where: str
    gated: bool
    left_out: dict[str, list[int]]
    checks: tuple[Check, ...]
    speeds: tuple[Speed, ...]

    @property
    def trusted(self) -> bool:
        """Whether no check failed."""
        return all(check.verdict != "fail" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Everything, for a program."""
        return {"trusted": self.trusted, **asdict(self)}


def certify(
    backbone: HuggingFaceBackbone,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    progress: Progress | None = None,
) -> Certificate:
    """Try a backbone on built-in prompts and drawn images.

    Args:
        backbone: as `load_backbone` gives it.
        batch_sizes: at which speed and memory are measured; none of it where empty.
        progress: told of checks done.
    """
    limit = tolerance(backbone.spec)
    prompts = text_examples(2)
    takes_text = _finding("text", lambda: _batch_check(backbone, "text", prompts, limit))
    steps: list[Callable[[], Check]] = [lambda: takes_text]
    typical = prompts
    if backbone.takes_images:
        pictures = image_examples(2)
        pairs = image_examples(2, images=2)
        steps += [
            lambda: _finding("one image", lambda: _batch_check(backbone, "one image", pictures, limit)),
            lambda: _warned(_finding("two images", lambda: _batch_check(backbone, "two images", pairs, limit))),
            lambda: _finding("image matters", lambda: _image_check(backbone, pictures)),
            lambda: _processor_check(backbone),
        ]
        typical = pictures
        if takes_text.verdict == "fail":
            steps[0] = lambda: _warned(takes_text)
    steps += [
        lambda: _finding("prompt matters", lambda: _prompt_check(backbone, typical)),
        lambda: _finding("projection", lambda: _projection_check(backbone, typical[0], limit)),
        lambda: _finding("repeats", lambda: _repeat_check(backbone, typical, limit)),
    ]
    total = len(steps) + len(batch_sizes)
    checks = [_heads_check(backbone)]
    for done, step in enumerate(steps, start=1):
        checks.append(step())
        if progress is not None:
            progress(done, total)
    speeds = []
    works = all(check.verdict != "fail" for check in checks)
    for done, size in enumerate(batch_sizes if works else (), start=len(steps) + 1):
        speeds.append(_speed(backbone, typical, size))
        if progress is not None:
            progress(done, total)
    first = backbone.sources[0]
    return Certificate(
        spec=backbone.spec,
        device=_device(backbone),
        heads={source.layer: (source.n_heads, source.head_dim) for source in backbone.sources},
        where=first.name.replace(f".{first.layer}.", ".N."),
        gated=any(source.gated for source in backbone.sources),
        left_out=_left_out(backbone),
        checks=tuple(checks),
        speeds=tuple(speeds),
    )


def difference(found: FloatArray, expected: FloatArray) -> float:
    """The largest difference of two arrays, as a share of the largest expected value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _finding(name: str, check: Callable[[], Check]) -> Check:
    """The check, or what went wrong with it: a family that nobody has seen may raise anything."""
    try:
        return check()
    except Exception as error:
        return Check(name, "fail", f"{type(error).__name__}: {first_line(error)}")


def _warned(check: Check) -> Check:
    """The check, of something that a model need not be able to do."""
    return replace(check, verdict="warn") if check.verdict == "fail" else check


def _within(name: str, value: float, limit: float, what: str) -> Check:
    return Check(name, "ok" if value <= limit else "fail", f"{what} by {value:.0e}", value, limit)


def _heads_check(backbone: HuggingFaceBackbone) -> Check:
    n_heads = backbone.layout.n_heads
    by_hand = ", named by hand" if backbone.spec.attention_modules else ""
    return Check("heads", "ok", f"{n_heads} in {len(backbone.sources)} layers{by_hand}", float(n_heads))


def _batch_check(backbone: HuggingFaceBackbone, name: str, examples: Sequence[Example], limit: float) -> Check:
    alone = backbone.head_activations(examples, batch_size=1)
    together = backbone.head_activations(examples, batch_size=TOGETHER)
    return _within(name, difference(together, alone), limit, f"in a batch of {TOGETHER} off")


def _prompt_check(backbone: HuggingFaceBackbone, examples: Sequence[Example]) -> Check:
    """Whether the last token's heads see what stands far before it, in every layer.

    What goes into the first layer's attention does not, which tells it from what comes out. The two beginnings are of
    one length, since a shifted position would show there too. The start token of an encoder-decoder has nothing before
    it, so that its first layer's heads are right, and say nothing.
    """
    one, other = (replace(examples[0], text=f"So: {words}. {examples[0].text}") for words in _BEGINNINGS)
    changes = _changes(backbone, one, other)
    blind = [layer for layer, change in changes.items() if change <= SAME]
    if not blind:
        least, most = (100 * pick(changes.values()) for pick in (min, max))
        found = f"another beginning changes the heads by {least:.0f} to {most:.0f} %, by layer"
        return Check("prompt matters", "ok", found, min(changes.values()))
    expected = len(blind) < len(changes) and getattr(backbone.model.config, "is_encoder_decoder", False)
    where = "" if len(blind) == len(changes) else f" in layer {', '.join(map(str, blind))}"
    return Check("prompt matters", "warn" if expected else "fail", f"another beginning changes nothing{where}", 0.0)


def _image_check(backbone: HuggingFaceBackbone, examples: Sequence[Example]) -> Check:
    """Whether some layer's heads see the image: there are models that show it to their later layers alone."""
    example = examples[0]
    value = max(_changes(backbone, example, replace(example, id="changed", media=examples[1].media)).values())
    if value > SAME:
        return Check("image matters", "ok", f"another image changes the heads by up to {100 * value:.0f} %", value)
    return Check("image matters", "fail", "another image changes nothing", value)


def _changes(backbone: HuggingFaceBackbone, one: Example, other: Example) -> dict[int, float]:
    """Layer to the difference between its heads for two examples."""
    z = backbone.head_activations([one, other], batch_size=1)
    layers = np.array([head.layer for head in backbone.layout.heads])
    return {source.layer: difference(*z[::-1][:, layers == source.layer]) for source in backbone.sources}


def _projection_check(backbone: HuggingFaceBackbone, example: Example, limit: float) -> Check:
    from savs.backbones.probe import projection_errors

    errors = projection_errors(backbone, example)
    worst = max(errors, key=lambda layer: errors[layer])
    return _within("projection", errors[worst], limit, f"heads x projection off its output, in layer {worst},")


def _repeat_check(backbone: HuggingFaceBackbone, examples: Sequence[Example], limit: float) -> Check:
    first, second = (backbone.head_activations(examples, batch_size=TOGETHER) for _ in range(2))
    value = difference(second, first)
    if value == 0:
        return Check("repeats", "ok", "the same input gives the same bits", value, 0.0)
    verdict: Verdict = "warn" if value <= limit else "fail"
    return Check("repeats", verdict, f"the same input differs from run to run by {value:.0e}", value, 0.0)


def _processor_check(backbone: HuggingFaceBackbone) -> Check:
    processor: Any = backbone.processor.image_processor
    found = type(processor).__name__
    backend = getattr(processor, "backend", "unknown")
    if found != backbone.spec.image_processor:
        return Check("processor", "fail", f"{found} prepares images; recorded is {backbone.spec.image_processor}")
    if backend != "pil":
        return Check("processor", "warn", f"{found} runs on {backend}, which other machines may not have")
    return Check("processor", "ok", f"{found} on {backend}, as recorded")


def _speed(backbone: HuggingFaceBackbone, examples: Sequence[Example], batch_size: int) -> Speed:
    from savs.backbones.cost import measured

    batch = [examples[i % len(examples)] for i in range(2 * batch_size)]
    with measured(backbone) as cost:
        backbone.head_activations(batch, batch_size=batch_size)
    return Speed(batch_size, len(batch) / cost.seconds, cost.peak_bytes)


def _device(backbone: HuggingFaceBackbone) -> str:
    spread = getattr(backbone.model, "hf_device_map", None) or {}
    places = sorted({str(place) for place in spread.values()})
    return ", ".join(places) if len(places) > 1 else str(backbone.model.device)


def _left_out(backbone: HuggingFaceBackbone) -> dict[str, list[int]]:
    layers: dict[str, list[int]] = {}
    for part in backbone.attention.left_out:
        layers.setdefault(part.reason, []).append(part.layer)
    return layers
