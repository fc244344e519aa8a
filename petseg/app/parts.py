"""What the tabs are made of: the photo input, error messages, and how handlers are attached."""

import functools
import html
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import ImageData
from gradio.image_utils import decode_base64_to_file
from starlette.requests import Request

from petseg import PetsegError

_log = logging.getLogger(__name__)
_Function = TypeVar("_Function", bound=Callable[..., Any])

RUNS_MODELS: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": 2}
"""Options of handlers that run a network: as many at a time as keep a small machine answering.

Beside them runs one of the Robustness tab, which answers one question after the other.
"""
LIGHT: dict[str, Any] = {"concurrency_id": "light", "concurrency_limit": 4}
"""Options of handlers that only draw."""


def photo_input(**options: Any) -> gr.Image:
    """A `gr.Image` that hands over the uploaded file as it is: petseg reads it, and says what is wrong.

    Gradio would decode it itself, with errors that mean nothing to people. The method is replaced on the
    object, since Gradio writes a file beside the source of each class that is derived from its own; so no
    handler may change other properties of such an input than its value.
    """
    image = gr.Image(type="filepath", image_mode=None, **options)

    def preprocess(payload: ImageData | None) -> str | None:
        if payload is not None and payload.url and payload.url.startswith("data:"):
            return str(decode_base64_to_file(payload.url, image.GRADIO_CACHE, image.format))
        if payload is None or payload.path is None:
            return None
        # Gradio looks only at what says that it is a file: {"path": "/etc/passwd"} alone it would let pass.
        if not Path(payload.path).resolve().is_relative_to(Path(image.GRADIO_CACHE).resolve()):
            raise gr.Error("This is no upload: choose a photo first.", print_exception=False)
        return payload.path

    image.preprocess = preprocess  # type: ignore[method-assign]
    return image


def guarded(function: _Function) -> _Function:
    """The same handler, with errors as messages for people; the trace goes to the log alone."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except gr.Error:
            raise
        except Exception as error:
            # Gradio shows messages as HTML; a file's name is none.
            message = html.escape(told(error, function.__name__), quote=False)
            raise gr.Error(message, duration=8, print_exception=False) from error

    return run  # type: ignore[return-value]


def told(error: Exception, doing: str) -> str:
    """What a visitor is told of an error; the trace of one that nobody expected goes to the log alone.

    Args:
        error: that was raised.
        doing: what was done, for the log.
    """
    if isinstance(error, PetsegError):
        return sentence(error)
    _log.error("%s failed", doing, exc_info=error)
    return "Something went wrong on the server. Try again, or try another photo."


def sentence(error: Exception) -> str:
    """An error's message, beginning with a capital letter and ending with a full stop."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def private(event: Callable[..., Any], function: Callable[..., Any] | None, **options: Any) -> Any:
    """Attach a handler that belongs to the page alone: no endpoint of the API.

    None: the browser's alone, by the option `js`, at once.
    """
    options = {"show_progress": "hidden", "api_visibility": "private"} | options
    return event(guarded(function) if function else None, **options)


def as_path(photo: str | None) -> Path:
    """The upload that an event brought.

    Raises:
        gr.Error: it brought none.
    """
    if not photo:
        raise gr.Error("There is no photo: choose one first.", print_exception=False)
    return Path(photo)


def address(request: gr.Request | Request) -> str:
    """Where the visitor reached this page, as its own browser says."""
    headers = request.headers
    scheme = headers.get("x-forwarded-proto", "http").split(",")[0]
    return f"{scheme}://{headers.get('x-forwarded-host') or headers.get('host', 'localhost')}/"
