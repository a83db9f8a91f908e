"""Arguments and options that several commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from savs.errors import EndpointError

if TYPE_CHECKING:
    from savs.baselines.chat_client import Endpoint

DATA, MODEL, OUTPUT, RULE, SCALE = "Data", "Model", "Output", "Rule", "Scale"

DualEncoders = Annotated[
    list[str] | None,
    typer.Option("--dual-encoder", help="A CLIP or SigLIP model, for its rows; may be given twice.",
                 rich_help_panel=MODEL, metavar="ID"),
]  # fmt: skip
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint", help="An OpenAI-compatible endpoint, such as https://host/v1, for the row of a closed "
                 "model. Its key is read from the environment, OPENAI_API_KEY.", rich_help_panel=MODEL, metavar="URL"),
]  # fmt: skip
EndpointModel = Annotated[
    str | None, typer.Option(help="What the endpoint calls it.", rich_help_panel=MODEL, metavar="NAME")
]
EndpointPrices = Annotated[
    tuple[float, float] | None,
    typer.Option(help="Of a million tokens in and out, for the bill.", rich_help_panel=MODEL, metavar="IN OUT"),
]

Classifier = Annotated[str, typer.Argument(help="A folder that `savs fit` wrote, or a Hub id.", show_default=False)]
Classifiers = Annotated[
    list[str], typer.Argument(help="Folders that `savs fit` wrote, or Hub ids.", show_default=False)
]
Source = Annotated[
    str,
    typer.Argument(
        help="JSON lines, a JSON array, CSV, Parquet, or a folder of class folders or Parquet files, here or by URL "
        "(s3://...), or hf://owner/name.",
        show_default=False,
    ),
]
ImageRoot = Annotated[
    Path | None,
    typer.Option(help="The folder that the media are under, wherever the paths in the rows point.",
                 rich_help_panel=DATA, metavar="DIR"),
]  # fmt: skip
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out rows that cannot be used, and record them.", rich_help_panel=DATA),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Examples in one forward pass.",
        rich_help_panel=MODEL,
        show_default="as many as run best",
        metavar="N",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cuda, mps, cpu, or auto to spread a large model.",
                 show_default="the fastest there is", rich_help_panel=MODEL, metavar="NAME"),
]  # fmt: skip
Dtype = Literal["float32", "bfloat16", "float16"]
ModelOrStores = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Backbone: a Hub id, a folder, or demo.", show_default="the store's"),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.", rich_help_panel=MODEL)]
ModelDtype = Annotated[
    Dtype | None,
    typer.Option(help="Precision: float32, bfloat16 or float16.", rich_help_panel=MODEL, metavar="NAME",
                 show_default="what the device computes in natively"),
]  # fmt: skip
MaxPixels = Annotated[
    int | None,
    typer.Option(min=1, help="Pixel budget of an image (Qwen2-VL and the like).", rich_help_panel=MODEL, metavar="N"),
]
VideoFrames = Annotated[
    int | None,
    typer.Option(min=1, help="Frames taken of each video.", show_default="8", rich_help_panel=MODEL, metavar="N"),
]
AttentionModules = Annotated[
    str | None,
    typer.Option(help="Regular expression over module paths, for a model whose heads are not found.",
                 rich_help_panel=MODEL, show_default=False, metavar="REGEX"),
]  # fmt: skip
TaskName = Annotated[
    str | None,
    typer.Option("--task", help="A task's name (see `savs tasks`) or a task file.", show_default="told by the columns",
                 rich_help_panel=DATA),
]  # fmt: skip
Store = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of features (see `savs extract`): what it holds is not run, what it lacks is "
                 "added.", rich_help_panel=MODEL, metavar="STORE"),
]  # fmt: skip
Location = Annotated[
    str | None,
    typer.Option("--model", help="Where the backbone is now, if not where it was at fit time.",
                 rich_help_panel=MODEL, metavar="MODEL"),
]  # fmt: skip
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over an earlier result.", rich_help_panel=OUTPUT)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.", rich_help_panel=OUTPUT)]
FailOnLeak = Annotated[
    bool,
    typer.Option("--fail-on-leak", help="Exit with 1 when a test example is among the shots.", rich_help_panel=DATA),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Who does the work: this process, or a pool of workers through Ray Data.", rich_help_panel=SCALE),
]
WorkerCount = Annotated[
    int, typer.Option("--workers", min=1, help="Workers of a pool, each with a backbone.", rich_help_panel=SCALE,
                      metavar="N")
]  # fmt: skip
GpusPerWorker = Annotated[
    float, typer.Option(min=0, help="GPUs of each worker; a share where several fit on one.", rich_help_panel=SCALE,
                        metavar="G")
]  # fmt: skip


def given(**options: Any) -> dict[str, Any]:
    """Those options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def endpoint_of(url: str | None, model: str | None, prices: tuple[float, float] | None) -> Endpoint | None:
    """The endpoint that three options describe, if any does.

    Raises:
        EndpointError: one of address and model is missing, or the address is none.
    """
    from savs.baselines.chat_client import Endpoint

    if url is None and model is None and prices is None:
        return None
    if url is None or model is None:
        raise EndpointError("--endpoint and --endpoint-model belong together; give both")
    return Endpoint(url, model, prices=prices)
