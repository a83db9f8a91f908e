"""Every comparison of the benchmark that runs a model: what is run, and that both ways give the same.

Knows clocks, models and the plain way; draws no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.speed import plain
from benchmarks.speed.models import Workload, levers_set, rounding
from benchmarks.speed.timing import PLAIN, SAVS, Row, Timer, ratios, same
from savs.backbones.batches import Levers, batches
from savs.backbones.encoding import Inputs
from savs.backbones.huggingface import HuggingFaceBackbone
from savs.backbones.inputs import last_positions
from savs.backbones.shallow import Shallow
from savs.classify.head_classifiers import HEAD_CLASSIFIERS
from savs.data.example import Example
from savs.extraction import extract
from savs.model import SAVModel
from savs.together import predict_many


def fit_and_predict(work: Workload, timer: Timer, targets: Mapping[str, float] = MappingProxyType({})) -> list[Row]:
    """The whole of fitting and of predicting, against the plain way.

    Raises:
        NotTheSame: head scores, kept heads or labels differ. In half precision, where rounding decides more of them,
            one label in ten may.
    """
    backbone = work.backbone
    slow, fast = plain.fit(backbone, work.shots), SAVModel.fit(backbone, work.shots)
    right = np.rint(fast.head_scores * len(work.shots)).astype(int)
    differs = right != np.array(slow.right)
    differing = int(np.count_nonzero(differs))
    same(f"{work.name}: head scores", bool(_close_calls(work)[differs].all()))
    kept = tuple(fast.layout.heads.index(head) for head in fast.selected_heads)
    same(f"{work.name}: kept heads", differing > 0 or kept == slow.kept)
    fitted = work.fitted()
    learned = as_plain(fitted, work)
    said = [prediction.label for prediction in fitted.predict(work.test)]
    equal = sum(a == b for a, b in zip(said, plain.predict(backbone, learned, work.test), strict=True))
    exact = backbone.spec.dtype == "float32"
    same(f"{work.name}: labels", equal >= (1 if exact else 0.9) * len(said))
    labels = "all" if equal == len(said) else f"{equal} of {len(said)}"
    scores = f"head scores: {len(right) - differing} of {len(right)} equal" + (
        f", in the others two cosines of an example differ by less than {rounding(backbone):g}" if differing else ""
    )
    deepest = max(head.layer for head in fitted.selected_heads)
    return [
        timer.row(
            "whole",
            work.name,
            f"fit on {len(work.shots)} examples",
            {PLAIN: partial(plain.fit, backbone, work.shots), SAVS: partial(SAVModel.fit, backbone, work.shots)},
            target=targets.get("fit"),
            note=scores,
        ),
        timer.row(
            "whole",
            work.name,
            f"predict {len(work.test)} examples",
            {PLAIN: partial(plain.predict, backbone, learned, work.test), SAVS: partial(fitted.predict, work.test)},
            target=targets.get("predict"),
            note=f"labels: {labels} equal; deepest kept head in layer {deepest} of {backbone.layout.shape[0] - 1}",
        ),
    ]


def _close_calls(work: Workload) -> NDArray[np.bool_]:
    """`[n_heads]`, whether a head nearly ties on some shot, so that rounding of its features may decide."""
    features = extract(work.backbone, work.shots)
    classes, y = np.unique([str(label) for label in features.labels], return_inverse=True)
    cosines = HEAD_CLASSIFIERS["centroid"].fit(features.z.astype(np.float64), y, len(classes))
    best = np.sort(cosines.decide(features.z.astype(np.float64)), axis=-1)
    return np.asarray((best[..., -1] - best[..., -2]).min(axis=0) < rounding(work.backbone))


def as_plain(fitted: SAVModel, work: Workload) -> plain.PlainClassifier:
    """What the package learned, for the plain way to predict with."""
    kept = tuple(work.backbone.layout.heads.index(head) for head in fitted.selected_heads)
    return plain.PlainClassifier(fitted.classes, (), kept, torch.tensor(fitted.classifier.class_means_).double())


def made_before(backbone: HuggingFaceBackbone, examples: Sequence[Example]) -> list[Inputs]:
    """The inputs of the batches that are formed of these, prompts whole, on the model's device."""
    tokens, halve = backbone.tokens_per_batch, backbone._spreads
    made = batches(examples, backbone._encoder, size=None, tokens=tokens, share=False, halve=halve)
    return [backbone._passes.on_device(batch.inputs) for batch in made]


class _Stop(Exception):  # noqa: N818
    pass


def bare(backbone: HuggingFaceBackbone, made: Sequence[Inputs], before: nn.Module | None = None) -> Callable[[], None]:
    """The forward of inputs made before and nothing else, as far as the module `before`.

    By default as far as reading heads goes: to those of the last layer.
    """

    def stop(*_: object) -> None:
        raise _Stop

    def run() -> None:
        last = backbone.sources[-1].projection if before is None else before
        handle = last.register_forward_pre_hook(stop)
        try:
            for inputs in made:
                with torch.inference_mode(), suppress(_Stop):
                    backbone._base(**inputs, use_cache=False)
        finally:
            handle.remove()

    return run


def overhead(work: Workload, timer: Timer, n: int, *, side_by_side: bool = True) -> Row:
    """Reading heads from `n` examples, against the bare forward of the same batches as far, made before.

    The test examples come again and again, each time run anew: nothing runs beside the making of the first inputs, and
    of a few batches that is a large part.

    Args:
        work: the model and its examples.
        timer: runs both.
        n: how many examples.
        side_by_side: whether reading may run batches at the same time; the bare forward runs them in turns.
    """
    backbone = work.backbone
    examples = list(islice(cycle(work.test), n))
    with levers_set(backbone, share_prefixes=False, side_by_side=side_by_side):
        ways: dict[str, Callable[[], object]] = {
            "head_activations": partial(backbone.head_activations, examples),
            "bare forward": bare(backbone, made_before(backbone, examples)),
        }
        what = f"read all heads of {n} examples" + ("" if side_by_side else ", batches in turns")
        row = timer.row("overhead", work.name, what, ways)
    rate, more = n / row.seconds["head_activations"].median, row.ratio.median - 1
    aim = "as aimed for" if more < 0.1 else "which misses the aim of 10%"
    took = f"everything around the forward takes {more:.0%} of its time"
    if more < 0:
        took = f"with everything around it {-more:.0%} less time than the forward in turns"
    return replace(row, note=f"{rate:.1f} examples/s; {took}, {aim}")


def through_logits(backbone: HuggingFaceBackbone, examples: Sequence[Example], passes: int) -> NDArray[Any]:
    """What `head_activations` reads with its levers off, from so many passes through the whole model to all logits."""
    z = np.empty((len(examples), backbone.layout.n_heads, backbone.layout.head_dim), dtype=np.float32)
    for _ in range(passes):
        for batch in batches(examples, backbone._encoder, size=None, tokens=backbone.tokens_per_batch, share=False):
            inputs = backbone._passes.on_device(batch.inputs)
            rows, last = torch.arange(len(batch.rows)), last_positions(inputs)
            layers = plain.all_outputs(backbone, inputs, use_cache=False)
            z[list(batch.rows)] = torch.cat([layer[rows, last] for layer in layers], dim=1).numpy()
    return z


def levers(work: Workload, timer: Timer) -> list[Row]:
    """Each lever off against on, all heads read; features must agree to 1e-5 of the largest."""
    backbone, test = work.backbone, work.test
    read = partial(backbone.head_activations, test)
    expected = read(batch_size=1)
    fitted = work.fitted()
    off = Levers(share_prefixes=False, prefetch=False, side_by_side=False)

    def with_levers(levers: Levers, **options: Any) -> Callable[[], NDArray[Any]]:
        def run() -> NDArray[Any]:
            with levers_set(backbone, **vars(levers)):
                return read(**options)

        return run

    def row(what: str, ways: dict[str, Callable[[], NDArray[Any]]]) -> Row:
        for name, way in ways.items():
            error = float(np.abs(way() - expected).max() / np.abs(expected).max())
            same(f"{work.name}: {what}, {name}", error < 1e-5)
        return timer.row("levers", work.name, what, {**ways})

    chosen = with_levers(off)
    usual = backbone.tokens_per_batch
    other = 768 if usual > 768 else 2048
    otherwise = with_levers(replace(off, tokens_per_batch=other))
    beside = with_levers(replace(off, prefetch=True))
    together = with_levers(replace(off, side_by_side=True))
    shared = with_levers(replace(off, share_prefixes=True))
    three, one = (partial(through_logits, backbone, test, passes) for passes in (3, 1))
    rows = [
        row(
            "one pass for class means, scores and kept heads",
            {"three, to all logits": three, "one, to all logits": one},
        ),
        row("base model alone", {"one pass to all logits": one, "one pass, base model": chosen}),
    ]
    rows += [
        row("batches filled by tokens", {name: with_levers(off, batch_size=size), "by tokens": chosen})
        for size, name in ((1, "batches of 1"), (8, "batches of 8"), (48, "batches of 48"))
    ]
    rows += [
        row(f"{usual} tokens a batch", {f"{other} tokens": otherwise, f"{usual} tokens": chosen}),
        row("inputs made beside the forward", {"in turns": chosen, "beside": beside}),
        row("batches side by side", {"in turns": chosen, "side by side": together}),
        row("common beginning run once", {"every prompt whole": chosen, "shared": shared}),
    ]
    selected = partial(backbone.head_activations, test, heads=fitted.selected_heads)
    columns = [backbone.layout.heads.index(head) for head in fitted.selected_heads]
    error = float(np.abs(selected() - expected[:, columns]).max() / np.abs(expected).max())
    same(f"{work.name}: stop after the deepest kept head", error < 1e-5)
    rows.append(
        timer.row("levers", work.name, "stop after the deepest kept head", {"all layers": read, "stop": selected})
    )
    return [*rows, last_query(work, timer)]


def last_query(work: Workload, timer: Timer) -> Row:
    """The most that one query alone in the deepest layer could bring: to its heads' outputs against to its queries."""
    backbone = work.backbone
    made = made_before(backbone, work.test)
    queries = backbone.model.get_submodule(backbone.sources[-1].name.rpartition(".")[0]).get_submodule("q_proj")
    ways = {"to the heads' outputs": bare(backbone, made), "to the queries": bare(backbone, made, queries)}
    return timer.row("levers", work.name, "one query alone in the deepest layer: at most", ways, note="left out")


def together(work: Workload, timer: Timer) -> Row:
    """Three classifiers one after the other, against one forward pass for all."""
    thirds = [
        work.pool,
        *(tuple(replace(e, label=e.label if i % n else "other") for i, e in enumerate(work.pool)) for n in (2, 3)),
    ]
    models = [SAVModel.fit(work.backbone, part) for part in thirds]
    alone = [model.predict(work.test) for model in models]
    same(
        f"{work.name}: together",
        [[p.label for p in one] for one in predict_many(models, work.test)]
        == [[p.label for p in one] for one in alone],
    )
    ways: dict[str, Callable[[], object]] = {
        "one by one": lambda: [model.predict(work.test) for model in models],
        "together": partial(predict_many, models, work.test),
    }
    return timer.row("levers", work.name, "three classifiers on one backbone", ways)


def depths(work: Workload, timer: Timer) -> list[dict[str, Any]]:
    """`max_layer`: accuracy on the test examples, and the time of predicting, against the whole model."""
    truth = [example.label for example in work.test]
    n_layers = work.backbone.layout.shape[0]
    steps = sorted({round(n_layers * part) - 1 for part in (0.25, 0.5, 0.75, 1)})
    models = {layer: work.fitted(layer) for layer in steps}
    seconds = timer.times({str(layer): partial(model.predict, work.test) for layer, model in models.items()})
    last = seconds[str(steps[-1])]
    return [
        {
            "model": work.name,
            "max_layer": layer,
            "n_test": len(truth),
            "accuracy": float(np.mean([p.label == t for p, t in zip(model.predict(work.test), truth, strict=True)])),
            "deepest_kept": max(head.layer for head in model.selected_heads),
            "ratio": ratios(last, seconds[str(layer)]).to_json(),
        }
        for layer, model in models.items()
    ]


def shallow_equals_whole(work: Workload) -> None:
    """A backbone that stops early must read what the whole one reads."""
    first = Shallow(work.backbone, 1)
    early, whole = first.head_activations(work.test[:8]), extract(work.backbone, work.test[:8]).z
    same(f"{work.name}: max_layer", bool(np.array_equal(early, whole[:, : early.shape[1]])))
