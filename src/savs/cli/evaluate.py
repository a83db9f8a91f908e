"""`savs evaluate`: a classifier and labelled examples in, how well it does out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs.cli import options as opt
from savs.cli.console import note, show, warn, working, write_json
from savs.cli.files import check_output, record_bad_rows, write_json_file
from savs.cli.reading import attach_backbone, leaks_to_json, open_classifier, read, warn_of_leaks

if TYPE_CHECKING:
    from savs.backbones.base import Backbone
    from savs.data.example import Example
    from savs.data.sampling import Leak
    from savs.model import SAVModel
    from savs.prediction import Prediction

FREE, CHOICE = "zero-shot, free", "zero-shot, choice"


def evaluate(
    classifier: opt.Classifier,
    data: opt.Source,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="Compare with the model's own answers, free and closed choice.")
    ] = False,
    positive: Annotated[
        str | None,
        typer.Option(help="The class that average precision is about.", metavar="CLASS",
                     show_default="the task's, else the one called yes"),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(help="Check for leaks against these data, not only against the shots.", rich_help_panel=opt.DATA,
                     metavar="DATA"),
    ] = None,
    fail_on_leak: opt.FailOnLeak = False,
    image_root: opt.ImageRoot = None,
    skip_bad: opt.SkipBad = False,
    store: opt.Store = None,
    model: opt.Location = None,
    device: opt.Device = None,
    batch_size: opt.BatchSize = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write the report as JSON.", metavar="FILE", show_default=False,
                     rich_help_panel=opt.OUTPUT),
    ] = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Measure a classifier on labelled examples that it was not fitted on.

    A test example that is among the shots is warned of: a classifier knows its shots by their digests.
    """
    from savs.extraction import StoredBackbone

    check_output(output, overwrite=overwrite, bad_rows=skip_bad)
    fitted = open_classifier(classifier)
    examples, bad = read(data, task=fitted.task, image_root=image_root, skip_bad=skip_bad, require_labels=True)
    positive = positive if positive is not None else fitted.task.positive
    _check_scorable(fitted, examples, positive)
    leaks = _leaks(fitted, examples, train, image_root)
    warn_of_leaks(leaks or ())
    backbone = attach_backbone(fitted, model, device, store=store, asked=examples)
    if zero_shot and isinstance(backbone, StoredBackbone):
        backbone = backbone.backbone

    from savs.baselines.zero_shot import UNMATCHED
    from savs.comparison import compare
    from savs.evaluation import evaluate as score

    with working(f"asking the heads of {backbone.spec.model}") as progress:
        predictions = fitted.predict(examples, batch_size=batch_size, progress=progress)
    others = _zero_shot(fitted, backbone, examples) if zero_shot else {}
    metric: Any = fitted.task.metric
    report = score(examples, predictions, metric=metric, classes=fitted.classes, positive=positive)
    compared = compare(
        examples, predictions, others, metric=metric, classes=fitted.classes, positive=positive, unmatched=UNMATCHED
    )
    result = {
        "classifier": str(classifier),
        "data": data,
        "backbone": fitted.spec.model,
        "task": fitted.task.name,
        "report": report.to_json(),
        "compared": [method.to_json() for method in compared],
        "skipped": len(bad),
        "leaks": leaks_to_json(leaks),
    }
    if output is not None:
        write_json_file(output, result)
        note(f"report in {output}")
    if skip_bad:
        record_bad_rows(bad, output)
    if as_json:
        write_json(result)
    else:
        from savs.cli.report import report_tables

        show(*report_tables(report, compared))
    if leaks and fail_on_leak:
        raise typer.Exit(1)


def _check_scorable(fitted: SAVModel, examples: Sequence[Example], positive: str | None) -> None:
    """Find before the model runs what would stop the scoring after it: as if every answer were right."""
    from savs.data.sampling import unknown_labels
    from savs.evaluation import evaluate as score
    from savs.prediction import Prediction

    unknown_labels(fitted.classes, examples)
    right = [Prediction(e.id, str(e.label), {c: float(c == e.label) for c in fitted.classes}, {}) for e in examples]
    metric: Any = fitted.task.metric
    score(examples, right, metric=metric, classes=fitted.classes, positive=positive)


def _leaks(
    fitted: SAVModel, examples: Sequence[Example], train: str | None, image_root: Path | None
) -> list[Leak] | None:
    """Test examples that the classifier has seen; None where there is nothing to compare with."""
    from savs.data.sampling import check_leaks
    from savs.data.shot_keys import leaks_from_keys

    if train is not None:
        seen, _ = read(train, task=fitted.task, image_root=image_root, skip_bad=True, require_labels=False)
        return check_leaks(seen, examples)
    if fitted.shot_keys:
        return leaks_from_keys(fitted.shot_keys, examples)
    warn("this classifier has no record of its shots, so leaks are not looked for; name the training data with --train")
    return None


def _zero_shot(fitted: SAVModel, backbone: Backbone, examples: Sequence[Example]) -> Mapping[str, Sequence[Prediction]]:
    """The model's own answers, written freely and chosen by likelihood."""
    from savs.baselines.zero_shot import closed_choice, free_answer

    answers = {}
    for name, ask in ((FREE, free_answer), (CHOICE, closed_choice)):
        with working(name) as progress:
            answers[name] = ask(backbone, examples, fitted.classes, task=fitted.task, progress=progress)
    return answers
