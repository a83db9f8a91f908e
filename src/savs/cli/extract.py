"""`savs extract`: examples in, their features in a store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from savs.cli import options as opt
from savs.cli.console import note, show, working, write_json
from savs.cli.files import bad_rows_path, check_output, record_bad_rows
from savs.cli.reading import read
from savs.cli.stores import facts_of_store, loader, open_stored, store_to_json


def extract(
    data: opt.Source,
    *,
    model: opt.ModelOrStores = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the store, made or added to.", show_default=False,
                           metavar="STORE")
    ],
    store_dtype: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(help="Precision in the store.", show_default="float32", rich_help_panel=opt.OUTPUT),
    ] = None,
    commit_every: Annotated[
        int, typer.Option(min=1, help="Examples that are stored at a time.", rich_help_panel=opt.OUTPUT, metavar="N")
    ] = 256,
    task: opt.TaskName = None,
    image_root: opt.ImageRoot = None,
    skip_bad: opt.SkipBad = False,
    revision: opt.Revision = None,
    dtype: opt.ModelDtype = None,
    device: opt.Device = None,
    batch_size: opt.BatchSize = None,
    max_pixels: opt.MaxPixels = None,
    video_frames: opt.VideoFrames = None,
    attention_modules: opt.AttentionModules = None,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Run the model once over a data set and store what every head puts out.

    The same command goes on where it was stopped. Fit, evaluate and predict with --store then run no model.
    """
    from savs.data.readers import detect_task
    from savs.extraction import fill

    if skip_bad:
        check_output(bad_rows_path(output), overwrite=True)
    load = loader(output, model, device=device, **opt.given(
        revision=revision, dtype=dtype, max_pixels=max_pixels, video_frames=video_frames,
        attention_modules=attention_modules,
    ))  # fmt: skip
    asked = detect_task(data, task)
    examples, bad = read(data, task=asked, image_root=image_root, skip_bad=skip_bad, require_labels=False)
    stored = open_stored(output, load, examples, dtype=store_dtype)
    start = time.perf_counter()
    ran = 0
    if stored.loaded:
        with working(f"reading the heads of {stored.spec.model}") as progress:
            ran = fill(
                stored.store,
                stored.backbone,
                examples,
                batch_size=batch_size,
                commit_every=commit_every,
                progress=progress,
            )
    seconds = time.perf_counter() - start
    if skip_bad:
        record_bad_rows(bad, output)
    if as_json:
        write_json({**store_to_json(stored.store), "ran": ran, "seconds": seconds, "skipped": len(bad)})
    else:
        from savs.cli.tables import facts

        show(facts({**facts_of_store(stored.store), "next": f"savs fit {data} --store {output} -o clf/"}))
        note(f"{ran} examples run" + (f" in {seconds:.1f} s, {ran / seconds:.1f} a second" if ran else ""))
