"""`savs doctor`: whether a model's heads are to be trusted on this machine, or how to name those not found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs.cli import options as opt
from savs.cli.console import note, quiet_loading, show, waiting, working, write_json, write_line
from savs.cli.wording import with_flags
from savs.errors import HeadSearchError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from savs.backbones.huggingface import HuggingFaceBackbone
    from savs.backbones.probe import Candidate
    from savs.doctor import Certificate, Drift

#: Exit status for a model that is not to be trusted.
NOT_TRUSTED = 1
_MARKS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    model: Annotated[
        str, typer.Argument(help="A Hub id, a folder, a GGUF file, or demo.", show_default=False, metavar="MODEL")
    ],
    against: Annotated[
        str | None,
        typer.Option(help="The original of a quantised model: show how far features drift from it.",
                     show_default=False, metavar="ORIGINAL"),
    ] = None,
    batch_sizes: Annotated[
        str, typer.Option(help="Batch sizes to measure speed and memory at; empty for none.", metavar="N,N,...")
    ] = "1,4,8",
    revision: opt.Revision = None,
    dtype: opt.ModelDtype = None,
    device: opt.Device = None,
    attention: Annotated[
        str | None,
        typer.Option(help="Attention kernel: sdpa, eager, flash_attention_2.", show_default="transformers' choice",
                     rich_help_panel=opt.MODEL, metavar="NAME"),
    ] = None,
    max_pixels: opt.MaxPixels = None,
    attention_modules: opt.AttentionModules = None,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Check that a model's heads are found and read rightly on this machine.

    Exits with 1 if they are not.
    """
    sizes = _sizes(batch_sizes)
    quiet_loading()
    from savs.backbones.huggingface import load_backbone

    def load(place: str, revision: str | None) -> HuggingFaceBackbone:
        with waiting(f"loading {place}"):
            return load_backbone(
                place,
                revision=revision,
                dtype=dtype,
                device=device,
                attention=attention,
                **opt.given(max_pixels=max_pixels, attention_modules=attention_modules),
            )

    try:
        backbone = load(model, revision)
    except HeadSearchError as error:
        _name_by_hand(model, revision, error, as_json=as_json)
        raise typer.Exit(NOT_TRUSTED) from error

    from savs.doctor import certify, measure_drift

    with working(f"examining {backbone.spec.model}") as progress:
        certificate = certify(backbone, batch_sizes=sizes, progress=progress)
    drift = None
    if against is not None and not certificate.trusted:
        note(f"not compared with {against}: features that are read wrongly drift for reasons of their own")
    elif against is not None:
        original = load(against, None)
        with waiting("comparing the two"):
            drift = measure_drift(backbone, original, images=backbone.takes_images and original.takes_images)
    if as_json:
        write_json({**certificate.to_json(), "drift": None if drift is None else drift.to_json()})
    else:
        show(*_tables(certificate), *(_drift(drift) if drift is not None else ()), _verdict(certificate))
    if not certificate.trusted:
        raise typer.Exit(NOT_TRUSTED)


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"{text!r} is no list of batch sizes; expected numbers such as 1,4,8")
    return tuple(sorted({int(part) for part in parts}))


def _name_by_hand(model: str, revision: str | None, error: HeadSearchError, *, as_json: bool) -> None:
    """Say what the search missed, and what there is to choose from."""
    from dataclasses import asdict

    from savs.backbones.probe import candidates

    found = candidates(model, revision=revision)
    if as_json:
        write_json({"trusted": False, "problem": str(error), "candidates": [asdict(one) for one in found]})
        return
    note("error: " + with_flags(str(error), {"attention_modules": "--attention-modules"}))
    show(
        _candidates(found),
        "\nThe projection of the heads' outputs takes as many values as heads x size, and gives as many as the hidden "
        "size. Name it and look again:",
    )
    write_line(f"savs doctor {model} --attention-modules 'PATTERN'")


def _candidates(found: Sequence[Candidate]) -> RenderableType:
    from savs.cli.tables import table

    made = table("pattern", "layers", "takes", "gives", right=("layers", "takes", "gives"))
    for one in found:
        made.add_row(one.pattern, str(one.layers), str(one.width_in), str(one.width_out))
    return made


def _tables(certificate: Certificate) -> Sequence[Any]:
    from savs.cli.tables import facts

    spec = certificate.spec
    kept = f", weights {spec.quantised}," if spec.quantised else ""
    layers = sorted(certificate.heads)
    shapes = sorted({f"{count} x {size}" for count, size in certificate.heads.values()})
    rows = {
        "model": f"{spec.model} at {spec.revision[:12]}",
        "runs as": f"{spec.dtype}{kept} on {certificate.device}, attention {spec.attention}",
        "images": spec.image_processor or "none: text only",
        "heads at": certificate.where + (", after a gate or norm" if certificate.gated else ""),
        "layers": f"{len(layers)}, numbered {layers[0]} to {layers[-1]}; heads x size: {', '.join(shapes)}",
        "left out": "; ".join(f"{reason}: layers {_numbers(left)}" for reason, left in certificate.left_out.items())
        or "nothing",
    }
    return (facts(rows), "", _checks(certificate), *(_speeds(certificate) if certificate.speeds else ()))


def _numbers(layers: Sequence[int], most: int = 8) -> str:
    shown = ", ".join(map(str, layers[:most]))
    return shown if len(layers) <= most else f"{shown} and {len(layers) - most} more"


def _checks(certificate: Certificate) -> RenderableType:
    from rich.text import Text

    from savs.cli.tables import table

    made = table("check", "found", "verdict")
    for check in certificate.checks:
        limit = f" (limit {check.limit:.0e})" if check.limit else ""
        made.add_row(Text(check.name), Text(check.found + limit), Text(check.verdict, style=_MARKS[check.verdict]))
    return made


def _speeds(certificate: Certificate) -> Sequence[Any]:
    from savs.cli.tables import table

    columns = ("batch size", "examples a second", "peak memory")
    made = table(*columns, right=columns)
    for speed in certificate.speeds:
        memory = "not known" if speed.peak_bytes is None else f"{speed.peak_bytes / 1e9:.2f} GB"
        made.add_row(str(speed.batch_size), f"{speed.per_second:.1f}", memory)
    return ("", made)


def _drift(drift: Drift) -> Sequence[Any]:
    from rich.text import Text

    from savs.cli.tables import facts, percent

    layers = drift.layers
    worst = max(layers, key=lambda layer: layers[layer])
    mean = sum(layers.values()) / len(layers)
    rows = {
        "drift": f"{drift.spec.model} ({drift.spec.dtype}) against {drift.original.model} ({drift.original.dtype})",
        "features": f"off by {percent(mean)} % of their size on average, {percent(layers[worst])} % in layer {worst}",
        "votes": f"{percent(drift.votes_changed)} % of all heads' votes change, {percent(drift.best_votes_changed)} % "
        "of those of the best heads",
        "answers": f"{drift.answers_changed} of {drift.n_queries} change",
    }
    advice = (
        "drift is small; yet fit and predict with the same of the two"
        if drift.small
        else "drift is large: heads chosen on the one say little about the other; fit anew"
    )
    return ("", facts(rows), Text(advice))


def _verdict(certificate: Certificate) -> RenderableType:
    from rich.text import Text

    if certificate.trusted:
        return Text("\nverdict: trust it", style="bold green")
    failed = ", ".join(check.name for check in certificate.checks if check.verdict == "fail")
    return Text(f"\nverdict: do not trust it; failed: {failed}", style="bold red")
