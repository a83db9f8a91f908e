"""`savs fit`: labelled examples in, a classifier's folder out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from savs.cli import options as opt
from savs.cli.console import note, show, warn, working, write_json
from savs.cli.files import bad_rows_path, check_output, record_bad_rows
from savs.cli.reading import leaks_to_json, read, warn_of_leaks
from savs.cli.stores import loader, open_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savs.data.example import Example
    from savs.data.sampling import Leak
    from savs.model import SAVModel

Preset = Literal["sav", "sav-loo", "hec", "gda-loo", "calm", "knn", "linear"]

#: Below so many shots in a class a warning is due, and above such a ratio of the largest class to the smallest.
_FEW, _UNBALANCED = 5, 4


def fit(
    data: opt.Source,
    *,
    model: opt.ModelOrStores = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the classifier.", show_default=False, metavar="DIR")
    ],
    task: opt.TaskName = None,
    shots: Annotated[
        int | None,
        typer.Option(min=1, help="Examples of each class to draw.", show_default="all", rich_help_panel=opt.DATA,
                     metavar="K"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.", rich_help_panel=opt.DATA, metavar="N")] = 0,
    test: Annotated[
        str | None,
        typer.Option(help="A test set, to check that no shot is in it.", rich_help_panel=opt.DATA, metavar="DATA"),
    ] = None,
    fail_on_leak: opt.FailOnLeak = False,
    image_root: opt.ImageRoot = None,
    skip_bad: opt.SkipBad = False,
    preset: Annotated[
        Preset, typer.Option(help="How heads classify, are ranked and combine: sav (the paper's rule), sav-loo, hec, "
                             "gda-loo, calm, knn or linear.", rich_help_panel=opt.RULE, metavar="NAME")
    ] = "sav",
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, help="Heads to keep.", show_default="20; calm keeps all", rich_help_panel=opt.RULE,
                     metavar="N"),
    ] = None,
    max_layer: Annotated[
        int | None,
        typer.Option(min=0, help="Deepest layer to keep heads of: nothing beyond it is run.", show_default="the last",
                     rich_help_panel=opt.RULE, metavar="N"),
    ] = None,
    store: opt.Store = None,
    revision: opt.Revision = None,
    dtype: opt.ModelDtype = None,
    device: opt.Device = None,
    batch_size: opt.BatchSize = None,
    max_pixels: opt.MaxPixels = None,
    video_frames: opt.VideoFrames = None,
    attention_modules: opt.AttentionModules = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Fit a classifier: run the model once over labelled examples and keep the heads that separate the classes.

    Everything in the data is checked before the model is loaded.
    """
    from savs.classifier_folder import check_free, file_sizes
    from savs.data.readers import detect_task
    from savs.data.sampling import check_leaks, sample_shots, unknown_labels

    check_free(output, overwrite=overwrite)
    load = loader(store, model, device=device, **opt.given(
        revision=revision, dtype=dtype, max_pixels=max_pixels, video_frames=video_frames,
        attention_modules=attention_modules,
    ))  # fmt: skip
    if skip_bad:
        check_output(bad_rows_path(output), overwrite=overwrite)
    asked = detect_task(data, task)
    examples, bad = read(data, task=asked, image_root=image_root, skip_bad=skip_bad, require_labels=True)
    if shots is not None:
        examples, _ = sample_shots(examples, shots, seed)
    leaks: list[Leak] | None = None
    if test is not None:
        unseen, more_bad = read(test, task=asked, image_root=image_root, skip_bad=skip_bad, require_labels=False)
        bad += more_bad
        unknown_labels([str(example.label) for example in examples], unseen)
        leaks = check_leaks(examples, unseen)
        warn_of_leaks(leaks)

    from savs.classify import SAVClassifier
    from savs.model import SAVModel, check_shots

    rule = SAVClassifier.from_preset(preset, **({} if k is None else {"k": k}))
    check_shots(examples, rule)
    _comment(examples)
    backbone = load() if store is None else open_stored(store, load, examples)
    with working(f"reading the heads of {backbone.spec.model}") as progress:
        fitted = SAVModel.fit(
            backbone,
            examples,
            task=asked,
            classifier=rule,
            max_layer=max_layer,
            batch_size=batch_size,
            progress=progress,
        )
    fitted.save_pretrained(output, overwrite=overwrite)
    if skip_bad:
        record_bad_rows(bad, output)
    if as_json:
        write_json(_to_json(fitted, output, skipped=len(bad), leaks=leaks))
    else:
        from savs.cli.tables import fit_summary

        show(fit_summary(fitted, output, file_sizes(output), test=test))
    if leaks and fail_on_leak:
        raise typer.Exit(1)


def _comment(examples: Sequence[Example]) -> None:
    """What is worth knowing of the shots before they are used."""
    counts = Counter(str(example.label) for example in examples)
    (largest, most), *_, (smallest, fewest) = counts.most_common()
    note(f"{len(examples)} shots of {len(counts)} classes")
    if fewest < _FEW:
        warn(f"class {smallest!r} has {fewest} shot{'s' if fewest > 1 else ''}; about twenty a class work well")
    if most > _UNBALANCED * fewest:
        warn(f"class {largest!r} has {most} shots and {smallest!r} {fewest}; --shots takes as many of each")


def _to_json(model: SAVModel, folder: Path, *, skipped: int, leaks: Sequence[Leak] | None) -> dict[str, Any]:
    from dataclasses import asdict

    from savs.classifier_folder import file_sizes

    summary = model.summary
    return {
        "folder": str(folder),
        "files": file_sizes(folder),
        "backbone": model.spec.to_json(),
        "task": model.task.name,
        "classes": list(model.classes),
        "shots": summary.shots,
        "rule": model.classifier.get_params(),
        "heads": [str(head) for head in model.selected_heads],
        "n_heads": summary.n_heads,
        "held_out_accuracy": None if summary.accuracy is None else asdict(summary.accuracy),
        "skipped": skipped,
        "leaks": leaks_to_json(leaks),
    }
