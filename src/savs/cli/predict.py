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

#: Batches that are sorted by length and asked at a time; their answers are written before the next are begun.
_BATCHES_AT_A_TIME = 8
_USUAL_BATCH = 8


def predict(
    classifier: opt.Classifier,
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

    Lines come as the work proceeds. The probabilities are shares of the heads' votes and are not calibrated.
    """
    from savs.extraction import COMMIT_EVERY

    check_output(output, overwrite=overwrite)
    if skip_bad and output is not None:
        check_output(bad_rows_path(output), overwrite=overwrite)
    fitted = open_classifier(classifier)
    examples, bad = read(data, task=fitted.task, image_root=image_root, skip_bad=skip_bad, require_labels=False)
    backbone = attach_backbone(fitted, model, device, store=store, asked=examples)

    # Lines on the terminal are progress enough, and a bar among them would tear them apart.
    silent = output is None and sys.stdout.isatty()
    with json_lines(output) as write, working(f"asking {backbone.spec.model}", silent=silent) as progress:
        step = COMMIT_EVERY if store else _BATCHES_AT_A_TIME * (batch_size or _USUAL_BATCH)
        for start in range(0, len(examples), step):
            part = examples[start : start + step]
            for prediction in fitted.predict(part, batch_size=batch_size):
                write(prediction.to_json())
            progress(start + len(part), len(examples))
    if skip_bad:
        record_bad_rows(bad, output)
    if output is not None:
        note(f"{len(examples)} predictions in {output}")
