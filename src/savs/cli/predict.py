"""`savs predict`: a classifier and examples in, one JSON line an example out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.cli import options as opt
from savs.cli.console import note, working
from savs.cli.files import Write, check_output, csv_rows, json_lines, record_bad_rows
from savs.cli.parquet import parquet_rows
from savs.cli.reading import attach_backbone, open_classifier, read
from savs.engines.workers import Workers
from savs.errors import StoreError

if TYPE_CHECKING:
    from savs.data.example import Example
    from savs.model import SAVModel
    from savs.prediction import Prediction


def predict(
    classifiers: opt.Classifiers,
    data: opt.Source,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the JSON lines; a table if its name ends in .csv or .parquet.",
                     show_default="stdout", metavar="FILE",
                     rich_help_panel=opt.OUTPUT),
    ] = None,
    store: opt.Store = None,
    model: opt.Location = None,
    device: opt.Device = None,
    batch_size: opt.BatchSize = None,
    image_root: opt.ImageRoot = None,
    skip_bad: opt.SkipBad = False,
    engine: opt.Engine = "local",
    workers: opt.WorkerCount = 2,
    gpus_per_worker: opt.GpusPerWorker = 0.0,
    overwrite: opt.Overwrite = False,
) -> None:  # fmt: skip
    """Classify new examples: one JSON line each, with id, label, probabilities and votes.

    Several classifiers that were fitted on one backbone, and ask alike, share
    one forward pass: a line for each of them, which names it.

    Lines come as the work proceeds. The probabilities are shares of the heads' votes and are not calibrated.
    """
    from savs.extraction import COMMIT_EVERY
    from savs.together import check_together

    if engine == "ray" and store is not None:
        raise StoreError(
            "the workers of --engine ray read no store; leave --store out, or --engine", location=str(store)
        )
    check_output(output, overwrite=overwrite, bad_rows=skip_bad)
    models = [open_classifier(classifier) for classifier in classifiers]
    check_together(models)
    fitted = models[0]
    examples, bad = read(data, task=fitted.task, image_root=image_root, skip_bad=skip_bad, require_labels=False)
    if engine == "ray":
        answers = _by_a_pool(models, examples, model, device, Workers(workers, gpus_per_worker), batch_size)
        who = f"asking {fitted.spec.model} by {workers} workers"
    else:
        backbone = attach_backbone(fitted, model, device, store=store, asked=examples)
        answers = _here(models, examples, COMMIT_EVERY if store else None, batch_size)
        who = f"asking {backbone.spec.model}"

    # Lines on the terminal are progress enough, and a bar among them would tear them apart.
    silent = output is None and sys.stdout.isatty()
    with _opened(output) as write, working(who, silent=silent) as progress:
        done = 0
        for part in answers:
            for row in zip(*part, strict=True):
                for name, prediction in zip(classifiers, row, strict=True):
                    named = {"classifier": name} if len(models) > 1 else {}
                    write(named | prediction.to_json())
            done += len(part[0])
            progress(done, len(examples))
    if skip_bad:
        record_bad_rows(bad, output)
    if output is not None:
        note(f"{len(examples) * len(models)} predictions in {output}")


def _opened(output: Path | None) -> AbstractContextManager[Write]:
    """A function that writes predictions in the form that the file's name asks for."""
    tables = {".csv": csv_rows, ".parquet": parquet_rows}
    form = None if output is None else tables.get(output.suffix.lower())
    return json_lines(output) if output is None or form is None else form(output)


def _here(
    models: Sequence[SAVModel], examples: Sequence[Example], at_a_time: int | None, batch_size: int | None
) -> Iterator[list[list[Prediction]]]:
    """What each classifier says, some examples at a time."""
    from savs.together import predict_many, windows

    for some in windows(examples, at_a_time, batch_size=batch_size):
        yield predict_many(models, some, batch_size=batch_size)


def _by_a_pool(
    models: Sequence[SAVModel],
    examples: Sequence[Example],
    location: str | None,
    device: str | None,
    workers: Workers,
    batch_size: int | None,
) -> Iterator[list[list[Prediction]]]:
    """The same, by workers."""
    from savs.engines.ray_data import predict

    return predict(models, examples, location=location, device=device, workers=workers, batch_size=batch_size)
