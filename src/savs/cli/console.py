"""What a terminal sees: results on stdout, everything else on stderr, progress as a bar or as plain lines.

Knows no command, no data and no model.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Progress = Callable[[int, int], None]

#: Seconds between two lines of progress where there is no terminal to draw a bar on.
_LINE_EVERY = 10.0


def show(*parts: RenderableType) -> None:
    """Print results for a person."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    # Rich would end the program itself when the reader goes away; written here, it is an error like any other.
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    for line in captured.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.flush()


def write_line(text: str) -> None:
    """Print one line of results, at once and as it is."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """Print results for a program."""
    write_line(json.dumps(value, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Say on stderr what is being done, on one line."""
    sys.stderr.write(f"savs: {' '.join(text.split())}\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Say on stderr what the reader should think about."""
    note(f"warning: {text}")


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something of unknown length is under way."""
    if not sys.stderr.isatty():
        note(what)
        yield
        return
    with _messages().status(what):
        yield


@contextmanager
def working(what: str, *, silent: bool = False) -> Iterator[Progress]:
    """Show how far the work is that calls the progress function yielded: a bar on a terminal, else a line at times."""
    if silent:
        yield lambda done, total: None
    elif not sys.stderr.isatty():
        yield _lines(what)
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Results may be piped elsewhere while the bar is drawn: stdout must stay what it is.
        with Bars(*columns, console=_messages(), transient=True, redirect_stdout=False) as bars:
            bar = bars.add_task(what, total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)


def quiet_libraries() -> None:
    """Keep the chatter of transformers and the Hub off the terminal, and let this package's own warnings through.

    Bars of a download stay, since a large model takes long to come.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", module=r"(transformers|torch|huggingface_hub)(\.|$)")
    for name in ("datasets", "libav", "PIL"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logger = logging.getLogger("savs")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes(logging.WARNING))


def quiet_loading() -> None:
    """Keep transformers from drawing its own bars, and bitsandbytes from a line a layer. Imports transformers."""
    import huggingface_hub.utils
    import transformers.utils.logging

    # transformers switches the Hub's bars off together with its own.
    hub: Any = huggingface_hub.utils
    chatter: Any = transformers.utils.logging
    bars_of_downloads = not hub.are_progress_bars_disabled()
    chatter.disable_progress_bar()
    chatter.set_verbosity_error()
    if bars_of_downloads:
        hub.enable_progress_bars()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # The bar of unpacking a GGUF file asks nobody whether it may be drawn.
    gguf: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    gguf.tqdm = partial(gguf.tqdm, disable=True)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())


def _messages() -> Console:
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def _lines(what: str) -> Progress:
    shown = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if done == total or time.monotonic() - shown >= _LINE_EVERY:
            shown = time.monotonic()
            note(f"{what}: {done} of {total}")

    return progress
