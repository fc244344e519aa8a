"""`petseg app`."""

from importlib.util import find_spec
from typing import Annotated

import typer

from petseg.cli.options import Device, Threads
from petseg.errors import PetsegError


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen here; 0.0.0.0: others may come too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Listen on this port.")] = 7860,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|ORG/NAME|PATH",
            help="Offer this model, the first one by default; may be given several times. Without it, all "
            "models that `petseg models` lists.",
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Open the page: drop a photo, see its pets, click to correct, and see how robust the models are.

    Needs `pip install "petseg[app]"`. Ctrl-C ends it.
    """
    if find_spec("gradio") is None:
        raise PetsegError('the page needs Gradio, which is not installed: pip install "petseg[app]"')
    from petseg.segmenter import Segmenter

    # Loaded before Gradio, which takes longer, so that a wrong name is answered at once.
    segmenters = {name: Segmenter(name, device=device, threads=threads) for name in model or []}
    from petseg.app import launch

    launch(segmenters or None, host=host, port=port, device=device, threads=threads)
