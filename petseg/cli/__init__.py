"""The command line: `petseg segment`, `batch`, `bench`, `app`, `models`, `pull`, `push`, `doctor` and `eval`.

numpy, Pillow and ONNX Runtime are imported inside the commands, so that help and wrong usage answer
at once.
"""

import errno
import os
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from petseg.cli import batch, bench, doctor, evaluate, models, outputs, page, segment
from petseg.cli.outputs import complain
from petseg.errors import PetsegError

INTERRUPTED = 130
"""What shells expect of a program that ended by Ctrl-C."""


class _Commands(TyperGroup):
    """The commands, with petseg's errors as one line instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PetsegError as error:
            complain(error)
            raise typer.Exit(1) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has left: typer ends quietly
                raise
            complain(error)
            raise typer.Exit(1) from error
        except (KeyboardInterrupt, RuntimeError) as error:
            # Where Ctrl-C comes just as a thread begins to wait, Python complains of the lock it waits with.
            if not any(isinstance(one, KeyboardInterrupt) for one in (error, error.__context__)):
                raise
            typer.echo("petseg: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    cls=_Commands,
    help="Find cats and dogs in photos, pixel by pixel.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line, and end the process with its exit status."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when huggingface_hub is imported
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may be more than the terminal can show
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = outputs.warn
    try:
        app(prog_name="petseg")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _show_version(wanted: bool) -> None:
    if wanted:
        import petseg

        typer.echo(f"petseg {petseg.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave."),
    ] = False,
) -> None:
    pass


app.command()(segment.segment)
app.command()(models.models)
app.command("app")(page.serve)
app.command()(batch.batch)
app.command()(bench.bench)
app.command()(models.pull)
app.command()(models.push)
app.command()(doctor.doctor)
app.command("eval")(evaluate.evaluate_folder)
