"""`savs extract`: examples in, their features in a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from savs.cli import options as opt
from savs.cli.console import note, show, waiting, working, write_json
from savs.cli.files import bad_rows_path, check_output, record_bad_rows
from savs.cli.reading import read
from savs.cli.stores import facts_of_store, loader, open_with_keys, store_to_json
from savs.engines.workers import Workers

if TYPE_CHECKING:
    from savs.backbones.base import Backbone
    from savs.data.example import Example
    from savs.store import ActivationStore
    from savs.store.manifest import StoreDtype


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
    engine: opt.Engine = "local",
    workers: opt.WorkerCount = 2,
    gpus_per_worker: opt.GpusPerWorker = 0.0,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Run the model once over a data set and store what every head puts out.

    The same command goes on where it was stopped. Fit, evaluate and predict with --store then run no model.
    """
    from savs.data.readers import detect_task

    if skip_bad:
        check_output(bad_rows_path(output), overwrite=True)
    load = loader(output, model, device=device, **opt.given(
        revision=revision, dtype=dtype, max_pixels=max_pixels, video_frames=video_frames,
        attention_modules=attention_modules,
    ))  # fmt: skip
    asked = detect_task(data, task)
    examples, bad = read(data, task=asked, image_root=image_root, skip_bad=skip_bad, require_labels=False)
    start = time.perf_counter()
    if engine == "ray":
        store, ran = _by_a_pool(
            output, load, examples, Workers(workers, gpus_per_worker),
            dtype=store_dtype, batch_size=batch_size, commit_every=commit_every,
        )  # fmt: skip
    else:
        store, ran = _here(output, load, examples, dtype=store_dtype, batch_size=batch_size, commit_every=commit_every)
    seconds = time.perf_counter() - start
    if skip_bad:
        record_bad_rows(bad, output)
    if as_json:
        write_json({**store_to_json(store), "ran": ran, "seconds": seconds, "skipped": len(bad)})
    else:
        from savs.cli.tables import facts

        show(facts({**facts_of_store(store), "next": f"savs fit {data} --store {output} -o clf/"}))
        note(f"{ran} examples run" + (f" in {seconds:.1f} s, {ran / seconds:.1f} a second" if ran else ""))


def _here(
    folder: Path,
    load: Callable[[], Backbone],
    examples: Sequence[Example],
    *,
    dtype: StoreDtype | None,
    **options: Any,
) -> tuple[ActivationStore, int]:
    """Fill the store in this process; with the number of examples that were run."""
    from savs.extraction import fill

    stored, keys = open_with_keys(folder, load, examples, dtype=dtype)
    if not stored.loaded:
        return stored.store, 0
    with working(f"reading the heads of {stored.spec.model}") as progress:
        return stored.store, fill(stored.store, stored.backbone, examples, keys=keys, progress=progress, **options)


def _by_a_pool(
    folder: Path,
    load: Callable[[], Backbone],
    examples: Sequence[Example],
    workers: Workers,
    *,
    dtype: StoreDtype | None,
    **options: Any,
) -> tuple[ActivationStore, int]:
    """Fill the store by workers; the model is loaded there alone."""
    from savs.engines import ray_data
    from savs.store import ActivationStore, check_vacant, is_store

    if is_store(folder):
        store = ActivationStore.open(folder, dtype=dtype)
    else:
        check_vacant(folder)
        with waiting("asking a worker for the model's heads"):
            spec, layout = ray_data.describe(load, workers)
        store = ActivationStore.create(folder, spec=spec, layout=layout, dtype=dtype)
    with working(f"reading the heads of {store.spec.model} by {workers.count} workers") as progress:
        return store, ray_data.fill(store, load, examples, workers=workers, progress=progress, **options)
