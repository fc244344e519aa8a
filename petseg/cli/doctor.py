"""`petseg doctor`."""

import typer

from petseg.cli import outputs
from petseg.cli.options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Say what runs where, and why not on the GPU.

    The exit status is 1 if something is broken; a GPU that cannot be used is not, the CPU does its work.
    """
    from petseg.engine import diagnosis

    checkup = diagnosis.examine()
    if as_json:
        outputs.print_json(checkup.document())
    else:
        typer.echo(checkup.text())
    if checkup.problems:
        raise typer.Exit(1)
