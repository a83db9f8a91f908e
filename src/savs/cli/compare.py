"""`savs compare`: labelled examples in, which method is best on them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.cli import options as opt
from savs.cli.console import note, show, waiting, working, write_json
from savs.cli.files import check_output, record_bad_rows, write_json_file
from savs.cli.reading import read
from savs.cli.stores import loader, open_stored

if TYPE_CHECKING:
    from savs.bakeoff import BakeOff
    from savs.baselines.image_text import Towers

#: The model's own answers, and what must be beaten with them: it costs no labelled example or no model at all.
ZERO_SHOT = ("zero-shot-free", "zero-shot-choice")
CHEAP = (*ZERO_SHOT, "majority")
ENDPOINT = "zero-shot-endpoint"
METHODS = "sav,sav-loo,hec,gda-loo,calm,knn"


def compare(
    data: opt.Source,
    model: opt.ModelOrStores = None,
    methods: Annotated[
        str, typer.Option(help="Methods to compare, by commas; see above.", rich_help_panel=opt.RULE, metavar="NAMES")
    ] = METHODS,
    folds: Annotated[
        int, typer.Option(min=2, help="Parts that the examples are cut into.", rich_help_panel=opt.RULE, metavar="N")
    ] = 5,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often they are cut anew.", rich_help_panel=opt.RULE, metavar="N")
    ] = 3,
    no_zero_shot: Annotated[
        bool,
        typer.Option("--no-zero-shot", help="Leave out the model's own answers, which run it on every example.",
                     rich_help_panel=opt.RULE),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the cuts.", rich_help_panel=opt.RULE, metavar="N")] = 0,
    task: opt.TaskName = None,
    image_root: opt.ImageRoot = None,
    skip_bad: opt.SkipBad = False,
    store: opt.Store = None,
    revision: opt.Revision = None,
    dtype: opt.ModelDtype = None,
    device: opt.Device = None,
    batch_size: opt.BatchSize = None,
    max_pixels: opt.MaxPixels = None,
    video_frames: opt.VideoFrames = None,
    attention_modules: opt.AttentionModules = None,
    dual_encoder: opt.DualEncoders = None,
    endpoint: opt.EndpointUrl = None,
    endpoint_model: opt.EndpointModel = None,
    endpoint_prices: opt.EndpointPrices = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write the result as JSON.", metavar="FILE", show_default=False,
                     rich_help_panel=opt.OUTPUT),
    ] = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Find out which method is best on your own examples.

    Every method answers every example without having seen it, in the same
    folds. The cheap ones always take part: zero-shot, free and closed choice,
    and the majority class. Where none of the others beats them, you are told.
    With --no-zero-shot and a --store that holds the examples, methods that
    read heads alone run no model at all.

    More methods: linear, sparse-layers, hec-vt; icl, mtv and lora, each -free
    or -choice, which run the model in every fold; and with --dual-encoder
    clip or siglip, each -zero-shot, -means, -cross-modal or -concatenated.
    With --endpoint a closed model's own answers are among what must be beaten.
    """
    closed = opt.endpoint_of(endpoint, endpoint_model, endpoint_prices)
    check_output(output, overwrite=overwrite, bad_rows=skip_bad)
    load = loader(store, model, device=device, **opt.given(
        revision=revision, dtype=dtype, max_pixels=max_pixels, video_frames=video_frames,
        attention_modules=attention_modules,
    ))  # fmt: skip

    from savs.bakeoff import bake_off, check_comparable
    from savs.baselines.chat_client import ChatClient
    from savs.baselines.registry import Resources, build, takes_shots
    from savs.data.readers import detect_task
    from savs.extraction import StoredBackbone, extract

    named = [name.strip() for name in methods.split(",") if name.strip()]
    build(named, Resources())
    without_shots = [name for name in named if not takes_shots(name)]
    always = [name for name in CHEAP if not (no_zero_shot and name in ZERO_SHOT)]
    cheap = dict.fromkeys([*([ENDPOINT] if closed else []), *without_shots, *always])
    names = dict.fromkeys(name for name in named if name not in cheap)
    client = None if closed is None else ChatClient(closed)
    asked = detect_task(data, task)
    examples, bad = read(data, task=asked, image_root=image_root, skip_bad=skip_bad, require_labels=True)
    check_comparable(examples)
    backbone = load() if store is None else open_stored(store, load, examples)
    with working(f"reading the heads of {backbone.spec.model}") as progress:
        features = extract(backbone, examples, batch_size=batch_size, progress=progress)
    resources = Resources(
        backbone=backbone,
        features=features,
        dual_encoders=_towers(dual_encoder or (), device, backbone.spec.video_frames),
        endpoint=client,
    ).sized_for(backbone.spec.model)
    if isinstance(backbone, StoredBackbone) and any(hasattr(m, "backbone") for m in build([*names, *cheap], resources)):
        resources = replace(resources, backbone=backbone.backbone)
    result = bake_off(
        examples,
        build(names, resources),
        build(cheap, resources),
        task=asked,
        folds=folds,
        repeats=repeats,
        seed=seed,
        stage=working,
    )
    written = {"data": data, "backbone": backbone.spec.to_json(), "task": asked.name, **result.to_json()}
    if not cheap.keys() & set(ZERO_SHOT):
        written["verdict"] += " The model's own answers (zero-shot) were not compared."
    if client is not None:
        note(f"{endpoint_model}: {client.bill}")
        written["endpoint"] = {"model": endpoint_model, "bill": asdict(client.bill)}
    if output is not None:
        write_json_file(output, written)
        note(f"result in {output}")
    if skip_bad:
        record_bad_rows(bad, output)
    if as_json:
        write_json(written)
    else:
        _show(result, written["verdict"])


def _towers(names: Sequence[str], device: str | None, video_frames: int) -> dict[str, Towers]:
    """Dual encoders by their family, loaded."""
    if not names:
        return {}
    from savs.backbones.dual_encoder import load_dual_encoder
    from savs.baselines.image_text import Towers

    with waiting(f"loading {', '.join(names)}"):
        loaded = [load_dual_encoder(name, device=device) for name in names]
    return {encoder.family: Towers(encoder, video_frames=video_frames) for encoder in loaded}


def _show(result: BakeOff, verdict: str) -> None:
    from rich.text import Text

    from savs.cli.report import lead_in_points, p_in_words
    from savs.cli.tables import percent, table

    numbers = ["right", "interval", "ahead by", "p"]
    made = table("held out in turn", *numbers, right=numbers)
    for each in result.contenders:
        if each.score is None:
            continue
        made.add_row(
            Text(each.name, style="dim" if each.cheap else "bold"),
            percent(each.score.value),
            f"{percent(each.score.low)} to {percent(each.score.high)}",
            lead_in_points(each.lead) if each.lead else "to be beaten" if each is result.to_beat else "",
            p_in_words(each.p_value) if each.p_value is not None else "",
        )
    show(made)
    intervals = dict.fromkeys(each.score.method for each in result.contenders if each.score)
    what = "whole groups" if result.scored == "group" else "examples"
    show(
        Text(
            f"percent of {what}; {result.n_examples:,} examples of {result.n_classes} classes, {result.folds} folds x "
            f"{result.repeats}; intervals: {', '.join(intervals)}; p: signs "
            "flipped, corrected for the number of methods (Holm)",
            style="dim",
        )
    )
    for each in result.contenders:
        if each.obstacle:
            show(Text(f"{each.name} did not run: {each.obstacle}", style="dim"))
        elif each.unmatched:
            show(Text(f"{each.name}: {percent(each.unmatched)} % of the answers name no class", style="dim"))
    show("", Text(verdict, style="bold"))
