"""The demo's results as one self-contained HTML page. Computes no result; fetches nothing from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

import savs
from savs import plot
from savs.backbones.base import BackboneSpec
from savs.data.example import Example
from savs.data.media import open_image
from savs.demo.run import Curve, TaskResult
from savs.intervals import Interval
from savs.prediction import Prediction

#: Test examples shown for each task: so many that were right, so many that were wrong.
_SHOWN_RIGHT, _SHOWN_WRONG = 4, 2


@dataclass(frozen=True)
class _Shown:
    """One example as the page shows it."""

    images: tuple[str, ...]
    text: str
    truth: str
    prediction: Prediction
    votes: str


def render_report(results: Sequence[TaskResult], spec: BackboneSpec, *, command: str) -> str:
    """The page: what was asked, how well it was told apart, which heads did it, and how they voted.

    Args:
        results: of `run_demo`.
        spec: the backbone they come from.
        command: what makes this page again.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True)
    environment.filters["percent"] = _percent
    template = files("savs").joinpath("templates/demo.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        results=[(result, _figures(result), _examples(result)) for result in results],
        spec=spec,
        command=command,
        version=savs.__version__,
    )


def _percent(value: float | Interval) -> str:
    """`87.5`, or `87.5 [83.1, 91.0]`."""
    if isinstance(value, Interval):
        return f"{100 * value.value:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    return f"{100 * value:.1f}"


def _figures(result: TaskResult) -> dict[str, str]:
    model, classes = result.model, result.model.classes
    baselines = {"chance": result.chance, "zero-shot": result.zero_shot.value}
    truth = [str(example.label) for example in result.task.test]
    drawn = {
        "heads": plot.head_grid(model.layout, model.head_scores, model.selected_heads, title="Head scores, kept heads"),
        "confusion": plot.confusion(result.report, title="Confusion"),
        "shots": _curve(result.by_shots, "shots a class", baselines),
        "k": _curve(result.by_heads, "heads kept", baselines),
        "tsne": plot.tsne(result.points, truth, classes=classes, title=f"Best head, {model.selected_heads[0]}"),
    }
    return {name: plot.figure_data_uri(figure) for name, figure in drawn.items()}


def _curve(curve: Curve, xlabel: str, baselines: dict[str, float]) -> Figure:
    mean, low, high = ([getattr(y, name) for y in curve.accuracy] for name in ("value", "low", "high"))
    return plot.accuracy_curve(curve.x, mean, low, high, xlabel=xlabel, baselines=baselines)


def _examples(result: TaskResult) -> list[_Shown]:
    """The first few right and wrong answers, in the order of the test set."""
    pairs = list(zip(result.task.test, result.predictions, strict=True))
    right = [pair for pair in pairs if pair[0].label == pair[1].label][:_SHOWN_RIGHT]
    wrong = [pair for pair in pairs if pair[0].label != pair[1].label][:_SHOWN_WRONG]
    return [_shown(example, prediction, result.model.classes) for example, prediction in right + wrong]


def _shown(example: Example, prediction: Prediction, classes: Sequence[str]) -> _Shown:
    return _Shown(
        images=tuple(_image_uri(example, i) for i in range(len(example.media))),
        text=example.text.replace("<image>", "").strip(),
        truth=str(example.label),
        prediction=prediction,
        votes=plot.figure_data_uri(plot.votes(prediction, classes)),
    )


def _image_uri(example: Example, index: int) -> str:
    buffer = io.BytesIO()
    open_image(example.media[index]).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
