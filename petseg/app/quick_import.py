"""Imports Gradio, in about half the time that it takes by itself."""

import inspect
from typing import Any


def import_gradio() -> None:
    """Import Gradio without the stubs for editors that it writes beside its sources at each import.

    It reads, parses and compares the source of each of its eighty components for them. A class whose source
    cannot be found gets none, so that is what Gradio is told while it is imported; nothing else there asks.
    Where a version of Gradio goes another way, this changes nothing.
    """
    find = inspect.getfile

    def getfile(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError(f"the source of {thing.__qualname__} is not looked for")
        return find(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = find
