"""What the page says about an answer: the legend, and the code that gives the same answer again."""

import base64
import html
import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from petseg import Segmentation
from petseg.app.examples import Example
from petseg.app.models import AUTO, Models
from petseg.app.state import Key, Pixels, Visit
from petseg.pixels.classes import CLASSES
from petseg.pixels.image import shrink

_FOUND = {"cat": "Cat", "dog": "Dog", "background": "No pet found"}


def share(result: Segmentation, kind: int) -> float:
    """Part of the photo that is of a class, 0..1."""
    return float(np.mean(result.mask == kind))


def legend(visit: Visit | None, result: Segmentation | None) -> str:
    """The answer in words, as HTML; everything that came from outside is escaped."""
    if visit is None:
        return '<p class="hint">Choose a photo of a cat or a dog: the answer is described here.</p>'
    note = notice(visit.note)
    if result is None or visit.key is None:
        return f'<div class="legend">{note}</div>'
    label, score = result.label, result.score
    chips = "".join(
        f'<li class="{name}"><span class="swatch" aria-hidden="true"></span>{name}'
        f"<b>{share(result, kind):.1%}</b> of the photo</li>"
        for kind, name in enumerate(CLASSES)
        if kind and (result.mask == kind).any()
    )
    return (
        f'<div class="legend"><div class="found {label}"><strong>{_FOUND[label]}</strong>'
        f'<span class="score">{score:.0%} sure</span></div>'
        f'<div class="meter {label}" role="img" aria-label="confidence {score:.0%}">'
        f'<i style="width:{100 * score:.1f}%"></i></div>'
        f'<ul class="chips">{chips}</ul>{note}'
        f'<p class="facts">{html.escape(visit.key.model)} · {visit.milliseconds:.0f} ms · '
        f"{html.escape(visit.device)} · {visit.size[0]} x {visit.size[1]} pixels</p></div>"
    )


NO_ANSWER = "# choose a photo first"


def code_blocks(visit: Visit | None = None, threshold: float = 0, address: str = "") -> tuple[str, str]:
    """What gives the same answer, in Python and over the network, each as HTML with a button to copy it."""
    codes = {
        "Python": python_code(visit, threshold),
        "Over the network": client_code(visit, threshold, address),
    }
    here, there = (
        f'<div class="code"><p>{title}</p><button aria-label="Copy: {title}">Copy</button></div>'
        f'<pre tabindex="0" aria-label="{title}"><code>{html.escape(code)}</code></pre>'
        for title, code in codes.items()
    )
    return here, there


def python_code(visit: Visit | None, threshold: float) -> str:
    """Python that gives the same answer."""
    if visit is None or visit.key is None:
        return NO_ANSWER
    key = visit.key
    arguments = [repr(Path(visit.name).name)]
    if key.points:
        arguments += [f"points={_list(key.points)}", f"labels={list(key.labels)}"]
    if key.box is not None:
        arguments.append(f"box={key.box}")
    arguments.append(f"model={key.model!r}")
    call = ", ".join(arguments) if len(arguments) < 3 else "\n    " + ",\n    ".join(arguments) + ",\n"
    after = f".with_threshold({threshold:g})" if threshold else ""
    return f'import petseg\n\nresult = petseg.segment({call}){after}\nresult.save("mask.png")'


def client_code(visit: Visit | None, threshold: float, address: str) -> str:
    """A call of this page's API that gives the same answer."""
    if visit is None or visit.key is None:
        return NO_ANSWER
    arguments = [f"handle_file({Path(visit.name).name!r})", *_fields(visit.key)]
    if threshold:
        arguments.append(f"threshold={threshold:g}")
    arguments.append('api_name="/segment"')
    lines = ",\n    ".join(arguments)
    return (
        "from gradio_client import Client, handle_file\n\n"
        f"client = Client({address!r})\noverlay, mask, info = client.predict(\n    {lines},\n)"
    )


def _fields(key: Key) -> list[str]:
    points = [[x, y, label] for (x, y), label in zip(key.points, key.labels, strict=True)]
    return [
        f'points="{json.dumps(points) if points else ""}"',
        f'box="{json.dumps(key.box) if key.box else ""}"',
        f"model={key.model!r}",
    ]


def _list(points: tuple[tuple[int, int], ...]) -> str:
    return f"[{', '.join(map(str, points))}]"


def model_info(models: Models) -> str:
    """What the choices mean."""
    automatic = "Automatic finds all pets" + (
        ", and answers your clicks once there are some" if models.takes(AUTO, "point") else ""
    )
    return "; ".join([automatic, *(f"{model.name} {model.takes}" for model in models.here)]) + "."


def missing_models(models: Models) -> str:
    """The models whose weights are not here, as HTML."""
    rows = "".join(
        f'<li aria-disabled="true"><b>{html.escape(model.name)}</b> {html.escape(model.takes)}. '
        f"To get it: <code>{html.escape(model.note)}</code></li>"
        for model in models.missing
    )
    return f'<ul class="missing">{rows}</ul>'


THUMBNAIL = 320
"""Longest side, in pixels, of an example on its button: twice what is seen, for fine screens."""


def example_buttons(examples: Iterable[Example]) -> str:
    """A button for each example, as HTML that has the pictures in it."""
    buttons = "".join(
        f'<button type="button" data-index="{index}">'
        f'<img src="{_data_url(shrink(example.photo, THUMBNAIL))}" alt="">'
        f"<span>{html.escape(example.title)}</span></button>"
        for index, example in enumerate(examples)
    )
    return f'<p class="hint">Or try one of these</p><div class="examples">{buttons}</div>'


def _data_url(picture: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


NO_PHOTO = "Choose a photo in the Segment tab first."


def notice(text: str) -> str:
    """A line that screen readers speak, as HTML; nothing where there is nothing to say."""
    return f'<p class="note" role="status">{html.escape(text)}</p>' if text else ""
