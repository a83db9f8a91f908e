"""`savs predict`: a classifier and examples in, one JSON line an example out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from savs.cli import options as opt
from savs.cli.console import note, working
from savs.cli.files import bad_rows_path, check_output, json_lines, record_bad_rows
from savs.cli.reading import attach_backbone, open_classifier, read

#: Examples that are sorted by length and asked at a time; their answers are written before the next are begun. Few at
#: first, so that lines come soon; then more, so that batches are full. Where their size is given, so many batches.
_FIRST, _MOST, _BATCHES = 64, 256, 8


def predict(
    classifiers: opt.Classifiers,
    data: opt.Source,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the JSON lines.", show_default="stdout", metavar="FILE",
                     rich_help_panel=opt.OUTPUT),
    ] = None,
    store: opt.Store = None,
    model: opt.Location = None,
    device: opt.Device = None,
    batch_size: opt.BatchSize = None,
    image_root: opt.ImageRoot = None,
    skip_bad: opt.SkipBad = False,
    overwrite: opt.Overwrite = False,
) -> None:  # fmt: skip
    """Classify new examples: one JSON line each, with id, label, probabilities and votes.

    Several classifiers that were fitted on one backbone, and ask alike, share one forward pass: a line for each of
    them, which names it.

    Lines come as the work proceeds. The probabilities are shares of the heads' votes and are not calibrated.
    """
    from savs.extraction import COMMIT_EVERY
    from savs.together import check_together, predict_many

    check_output(output, overwrite=overwrite)
    if skip_bad and output is not None:
        check_output(bad_rows_path(output), overwrite=overwrite)
    models = [open_classifier(classifier) for classifier in classifiers]
    check_together(models)
    fitted = models[0]
    examples, bad = read(data, task=fitted.task, image_root=image_root, skip_bad=skip_bad, require_labels=False)
    backbone = attach_backbone(fitted, model, device, store=store, asked=examples)

    # Lines on the terminal are progress enough, and a bar among them would tear them apart.
    silent = output is None and sys.stdout.isatty()
    with json_lines(output) as write, working(f"asking {backbone.spec.model}", silent=silent) as progress:
        start, step = 0, COMMIT_EVERY if store else _BATCHES * batch_size if batch_size else _FIRST
        while start < len(examples):
            part = examples[start : start + step]
            for row in zip(*predict_many(models, part, batch_size=batch_size), strict=True):
                for name, prediction in zip(classifiers, row, strict=True):
                    named = {"classifier": name} if len(models) > 1 else {}
                    write(named | prediction.to_json())
            start, step = start + len(part), max(step, min(2 * step, _MOST))
            progress(start, len(examples))
    if skip_bad:
        record_bad_rows(bad, output)
    if output is not None:
        note(f"{len(examples) * len(models)} predictions in {output}")
