"""What the page says about an answer, and the code that gives the same answer again."""

import html
import json
from pathlib import Path
from typing import Any

from petseg.app.handlers import LEVELS
from petseg.app.models import Models
from petseg.app.state import Key, Step, Visit

NO_ANSWER = "# choose a photo first"


def facts(visit: Visit) -> str:
    """Who answered, where, in what time."""
    size = f"{visit.size[0]} x {visit.size[1]} pixels"
    if visit.key is None:
        return size
    return f"{visit.key.model} · {visit.milliseconds:.0f} ms · {visit.device} · {size}"


def step(one: Step) -> dict[str, Any]:
    """A click or a box as the browser knows it."""
    said: dict[str, Any] = {"kind": one.kind, "x": one.x, "y": one.y, "animal": one.animal, "seed": one.seed}
    return said | ({"opposite": list(one.opposite)} if one.kind == "box" else {})


def codes(visit: Visit, level: int, address: str) -> dict[str, str]:
    """What gives the same answer: in Python, and over the network."""
    threshold = LEVELS.get(level, 0.0)
    return {"python": python_code(visit, threshold), "client": client_code(visit, threshold, address)}


def python_code(visit: Visit | None, threshold: float) -> str:
    """Python that gives the same answer."""
    if visit is None or visit.key is None:
        return NO_ANSWER
    arguments = [repr(Path(visit.name).name)]
    arguments += [f"{name}={value!r}" for name, value in visit.key.prompt.items()]
    arguments.append(f"model={visit.key.model!r}")
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
    if key.objects:
        points = [[*point, animal] for point, animal in zip(points, key.objects, strict=True)]
    boxes: Any = key.boxes if key.several else key.boxes[0] if key.boxes else None
    return [
        f'points="{json.dumps(points) if points else ""}"',
        f'box="{json.dumps(boxes) if boxes else ""}"',
        f"model={key.model!r}",
    ]


def model_info(models: Models) -> str:
    """What the choices mean."""
    who = ((models.first([]), "finds all pets"), (models.first(["point"]), "answers for what you tap"))
    automatic = ", ".join(f"{name} {does}" for name, does in who if name is not None)
    return f"Automatic: {automatic}. Compare tells what each is best for."


def missing_models(models: Models) -> str:
    """The models whose weights are not here, as HTML."""
    rows = "".join(
        f'<li aria-disabled="true"><b>{html.escape(model.name)}</b> {html.escape(model.takes)}. '
        f"To get it: <code>{html.escape(model.note)}</code></li>"
        for model in models.missing
    )
    return f'<ul class="missing">{rows}</ul>'


NO_PHOTO = "Choose a photo in the Segment tab first."


def notice(text: str) -> str:
    """A line that screen readers speak, as HTML; nothing where there is nothing to say."""
    return f'<p class="note" role="status">{html.escape(text)}</p>' if text else ""
