"""The results as a page. Computes nothing but how numbers look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

_INTRO = """# How fast it is

Everything here is measured side by side: two ways of doing the same, on the same model, in turns, in one run. A
ratio says how many times faster the second way is, as the median over repeats, with the smallest and the largest
behind it. The plain way is an implementation of the method as one would first write it (`benchmarks/speed/plain.py`):
one example a forward pass, logits for every token, three passes over the training examples, a Python loop over heads.
The run stops where the two ways give other head scores or other labels, or a lever changes a feature by more than
1e-5 of the largest. The command writes this page and [`speed.json`](speed.json); targets were set before the first
run."""

_PARTS = {
    "whole": (
        "Fitting and predicting",
        "Against the plain way, everything included: images, prompts, tokens, model, classifier.",
    ),
    "overhead": (
        "Around the forward",
        "Reading heads from examples, against the bare forward of the same batches with inputs made before, one after "
        "the other, as far as the last layer's heads, where reading stops too. Where reading runs batches side by "
        "side, it may win back more than everything around the forward costs; in turns, the inputs of a batch are made "
        "while the one before runs. The aim is a ratio under 1.10.",
    ),
    "questions": (
        "A further question about an image",
        "One question about each image, and four; what the further three cost each, against the first. Both are "
        "batched.",
    ),
    "images": (
        "An image that comes again",
        "What the model makes of an image can be kept by the content of its pixels, in so many bytes "
        "(`Levers.image_bytes`): for questions about an image in later calls, and for questions that stand in front of "
        "their image, which cannot share its beginning. It is off by default, since whether an image was met before "
        "shows in the last digits.",
    ),
    "levers": (
        "What each lever brings",
        "Each lever off, against on. The ways that go to all logits run the whole model, in the same batches. "
        "Beginnings are shared, inputs made beside the forward and batches run side by side only in the rows of their "
        "own, in stopping after the deepest kept head, and with several classifiers.",
    ),
    "scoring": ("Scoring without a model", "Drawn features of 64 dimensions a head."),
    "store": ("The store", ""),
}

_LEFT_OUT = """## What was left out

- **One query alone in the deepest layer.** The row above bounds what it could bring: the whole of that layer's
  attention for all tokens, of which keys and values would still be needed. It would take another attention call for
  every family.
- **A batch size found by timing.** A rule that times itself forms other batches, and so other last digits, in every
  run; two machines that share a job would not agree. Tokens a batch are a property of the examples."""

_NO_GPU = """## On a GPU

Not yet measured: no GPU was at hand. `python -m benchmarks.speed --gpu` builds a model of Qwen2-VL-7B's shape with
random weights on the device, measures examples a second and the share of the device's matrix-product peak at 500 and
980 tokens an example, makes the comparisons with the plain way there, and writes the numbers here. The aim is 45 % of
peak."""

_GROWTH = """Each row is a process of its own, measured once, with the embedded model loaded and warm at the start where
it needs one; images are in files. Fitting holds the features of its examples in memory, from a store it holds a block
of heads at a time. Predicting and further questions, three about an image, go in windows as in `savs predict`. Features
that are written and read are 270 heads of 64 dimensions. Nothing is extrapolated."""

_GPU_ROWS = """Below, both ways go from the same examples to the same answers, each with its image processor, tokenizer,
transfer to the device, forward, and transfer of the heads back; fitting and predicting with the scoring of heads or
the votes, on the host's processor. Pictures are in memory: no file is opened. Weights that were drawn favour no head,
so that predicting reads twenty over all layers, down to the last. In bfloat16 rounding decides close calls: the run
stops where more than one label in ten differs. Scoring drawn features and the store take the host alone."""


def render(results: Json) -> str:
    """The page, from the JSON object of `speed.json`: `cpu`, `gpu`, or both."""
    parts = [_INTRO]
    if "cpu" in results:
        parts += _cpu(results["cpu"])
    parts += _gpu(results["gpu"]) if "gpu" in results else [_NO_GPU]
    return "\n\n".join(parts) + "\n"


def _cpu(cpu: Json) -> list[str]:
    sections = [_setting(cpu["setting"])]
    for name, (title, text) in _PARTS.items():
        rows = [row for row in cpu["rows"] if row["part"] == name]
        sections += [f"## {title}", *([text] if text else []), _table(rows)]
        if name == "levers":
            sections += [_LEFT_OUT, *_depths(cpu["max_layer"])]
    return [*sections, *_growth(cpu["growth"])]


def _setting(setting: Json) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    clock = "wall-clock seconds" if setting["clock"] == "wall" else "processor seconds of the process"
    return (
        f"{_trial(setting)}Made by `{setting['command']}` on {setting['cores']} CPU cores ({setting['machine']}), "
        f"threads: {setting['threads']}, clock: {clock}, repeats: {setting['repeats']}; the machine's load at the end "
        f"was {setting['load']:.1f}. {versions}."
    )


def _trial(setting: Json) -> str:
    return "**A trial on tiny models and a few examples: its numbers mean nothing.** " if setting["quick"] else ""


def _table(rows: Sequence[Json]) -> str:
    lines = [
        "| model or data | what | against | seconds, each way | ratio | aim | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds = " / ".join(_seconds(spread["median"]) for spread in row["seconds"].values())
        target = "" if row["target"] is None else f"{row['target']:g}, {_met(row)}"
        cells = [row["model"], row["what"], row["slow"], seconds, _ratio(row["ratio"]), target, row["note"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _met(row: Json) -> str:
    return "met" if row["ratio"]["median"] >= row["target"] else "missed"


def _depths(depths: Sequence[Json]) -> list[str]:
    lines = ["| model | max_layer | accuracy | examples | predicting is faster by |", "|---|---|---|---|---|"]
    for row in depths:
        accuracy = f"{100 * row['accuracy']:.1f} %"
        lines.append(f"| {row['model']} | {row['max_layer']} | {accuracy} | {row['n_test']} | {_ratio(row['ratio'])} |")
    text = (
        "`savs fit --max-layer N` keeps no head of a deeper layer. Ratios against no limit; accuracy on one draw of "
        "the shots and a small test set, to show the direction and no more."
    )
    return ["## Fewer layers, and what that costs", text, "\n".join(lines)]


def _growth(growth: Sequence[Json]) -> list[str]:
    lines = ["| what | examples | ms an example | memory at the start, MB | at most |", "|---|---|---|---|---|"]
    for row in sorted(growth, key=lambda row: (row["what"], row["n"])):
        numbers = [f"{row['n']:,}", f"{row['ms_per_example']:.2f}", f"{row['start_mb']:,.0f}", f"{row['peak_mb']:,.0f}"]
        lines.append(f"| {' | '.join([row['what'], *numbers])} |")
    return ["## From 100 examples to 10,000", _GROWTH, "\n".join(lines)]


def _gpu(gpu: Json) -> list[str]:
    names = ("tokens", "batch", "examples/s", "TFLOP an example", "TFLOP/s", "of peak")
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for at in gpu["points"]:
        numbers = [
            f"{at['tokens']}",
            f"{at['batch']}",
            f"{at['examples_per_second']:.1f}",
            f"{at['tflop_per_example']:.2f}",
            f"{at['tflops']:.0f}",
            f"{at['share_of_peak']:.0%}",
        ]
        lines.append(f"| {' | '.join(numbers)} |")
    about = (
        f"{_trial(gpu['setting'])}Made by `{gpu['setting']['command']}` on {gpu['device']}: {gpu['model']}. The bare "
        "forward of one batch, its inputs on the device, to the heads of the last layer: without image processor, "
        "tokenizer, transfer or classifier. The peak is that of a large matrix product on the same device, "
        f"{gpu['peak_tflops']:.0f} TFLOP/s; the aim is 45 % of it."
    )
    return ["## On a GPU", about, "\n".join(lines), _GPU_ROWS, _table(gpu["rows"])]


def _ratio(spread: Json) -> str:
    return f"**{spread['median']:.2f}** ({spread['low']:.2f} to {spread['high']:.2f})"


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
