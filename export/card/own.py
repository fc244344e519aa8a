"""What a person says of a model that is not embedded: card.toml beside its checkpoint, and its template."""

import json
from pathlib import Path
from typing import Any

from export.card.facts import words_of
from export.errors import CardError
from petseg.pixels import saving

WORDS = "card.toml"
"""Name of the file, in the checkpoint's folder."""

_TEMPLATE = """\
# What only you can say about {name}; everything measured comes from the JSON files beside this. Replace what
# stands in <angle brackets>, then: python -m export.card {name} --checkpoint {checkpoint} --model MODEL.onnx
title = {title}
summary = "<Two or three sentences: what it is for, which animals it knows, what it was made from.>"
limits = [
    "<What it cannot do, one line each: animals, places, light or cameras that its photos do not show.>",
]
# Failures that you saw, one line each.
failures = []
terms = "<Under which terms its photos and masks may be used, and whose they are.>"
train = [{command}]
"""


def write_template(name: str, checkpoint: Path) -> Path:
    """Write card.toml for a model, with what is to be said in angle brackets; the file."""
    path = checkpoint / WORDS
    # A checkpoint lies in the folder of its run, and the config that `train.new` wrote beside that.
    command = f"accelerate launch train/train.py --config {checkpoint.parent.as_posix()}.toml"
    text = _TEMPLATE.format(
        name=name,
        checkpoint=checkpoint.as_posix(),
        title=json.dumps(f"{name}: cats and dogs in a photo, pixel by pixel"),
        command=json.dumps(command),
    )
    saving.write(path, text.encode())
    return path


def read_words(checkpoint: Path) -> dict[str, Any]:
    """The words of a model that is not embedded.

    Raises:
        CardError: there are none, or some are still those of the template.
    """
    path = checkpoint / WORDS
    words = words_of(path)
    if left := unsaid(words):
        raise CardError(f"{path} still has its template's {', '.join(left)}; say it in your own words")
    return words


def unsaid(words: dict[str, Any]) -> list[str]:
    """The fields that still hold something in angle brackets."""
    return [
        key
        for key, value in words.items()
        if any(
            isinstance(text, str) and text.strip().startswith("<") and text.strip().endswith(">")
            for text in (value if isinstance(value, list) else [value])
        )
    ]
