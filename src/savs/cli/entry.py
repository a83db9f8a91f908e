"""The `savs` program: its commands, in the order that --help shows them, and what becomes of errors.

Exit codes: 0 done; 1 done, but a test set leaks (--fail-on-leak) or a model is not to be trusted (doctor); 2 cannot be
done as asked; 130 interrupted; 141 whoever read the output went away.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from savs.cli.bench import bench
from savs.cli.compare import compare
from savs.cli.console import note, quiet_libraries, write_line
from savs.cli.demo import demo
from savs.cli.describe import inspect, models, tasks
from savs.cli.doctor import doctor
from savs.cli.evaluate import evaluate
from savs.cli.extract import extract
from savs.cli.fit import fit
from savs.cli.predict import predict
from savs.cli.wording import with_flags
from savs.errors import SavsError

CANNOT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


class _Program(TyperGroup):
    """Turns what a person can mend into one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            note("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # What is still buffered must not be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from None
        except (SavsError, OSError) as error:
            if ctx.params["debug"]:
                raise
            note(f"error: {with_flags(_message(error), self._flags(ctx))}")
            raise typer.Exit(CANNOT) from None

    def _flags(self, ctx: Any) -> dict[str, str]:
        """The options of the command that was run, by the names of their arguments."""
        command: Any = self.get_command(ctx, ctx.invoked_subcommand or "")
        options = ((parameter.name, parameter.opts[0]) for parameter in getattr(command, "params", ()))
        return {name: option for name, option in options if option.startswith("--")}


app = typer.Typer(
    name="savs",
    cls=_Program,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn a frozen vision-language model into a classifier, from about twenty labelled examples a class.",
)
for _command in (demo, fit, predict, evaluate, compare, inspect, extract, bench, models, tasks, doctor):
    app.command()(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        import savs

        write_line(f"savs {savs.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", envvar="SAVS_DEBUG")
    ] = False,
) -> None:
    quiet_libraries()


def main() -> None:
    """Run the command line on `sys.argv`."""
    app(prog_name="savs")


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
