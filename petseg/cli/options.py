"""What people type behind a command, checked: wrong usage ends with exit status 2."""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from petseg.pixels.saving import Kind

_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*")


class Precision(StrEnum):
    """What a model calculates in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    INT8 = "int8"


class Resize(StrEnum):
    """How masks get the photo's size."""

    SMOOTH = "smooth"
    NEAREST = "nearest"


Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|ORG/NAME|PATH",
        help="A name that `petseg models` lists, a repository on the Hugging Face Hub (with @REVISION, if "
        "you like), an .onnx file, or the folder of a promptable model.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        help="cpu, cuda, cuda:N, auto (a GPU that works, else the CPU), or tensorrt (fp16; takes minutes for "
        "the first photos).",
    ),
]
Threads = Annotated[int, typer.Option(min=0, metavar="N", help="For the CPU; 0: all cores.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="auto: int8 on a CPU that is quick at it if the model has such weights, else float32."),
]
Save = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND,...", help="Some of mask (the default), mask-gray, cutout, overlay, json."),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Photos that go through the network together; default: chosen for the device.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Threads that read, segment and encode photos; default: as many as keep the machine busy.",
        show_default=False,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace files too that petseg did not write; never the photos.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def parse_kinds(save: Sequence[str] | None) -> list["Kind"]:
    """What --save asks for, each once; nothing if it was not given."""
    from typing import get_args

    from petseg.pixels.saving import Kind

    known: tuple[Kind, ...] = get_args(Kind)
    asked = [kind.strip() for option in save or [] for kind in option.split(",")]
    for kind in asked:
        if kind not in known:
            raise typer.BadParameter(f"{kind!r} is none of {', '.join(known)}", param_hint="--save")
    return [kind for kind in known if kind in asked]


def parse_prompt(points: Sequence[str], negatives: Sequence[str], box: str | None) -> dict[str, Any]:
    """Arguments for `Segmenter.segment`; empty without clicks and box."""
    prompt: dict[str, Any] = {}
    if points or negatives:
        prompt["points"] = [_numbers(text, "--point", "X,Y") for text in points]
        prompt["points"] += [_numbers(text, "--negative", "X,Y") for text in negatives]
        prompt["labels"] = [1] * len(points) + [0] * len(negatives)
    if box is not None:
        x0, y0, x1, y1 = prompt["box"] = _numbers(box, "--box", "X0,Y0,X1,Y1")
        if not (x0 < x1 and y0 < y1):
            raise typer.BadParameter(f"{box!r} is empty; give X0 < X1 and Y0 < Y1", param_hint="--box")
    if negatives and not points and box is None:
        raise typer.BadParameter(
            "says what is not wanted; give a --point or --box too", param_hint="--negative"
        )
    return prompt


def prompt_kinds(prompt: dict[str, Any]) -> list[str]:
    """What `parse_prompt` gave: some of "point" and "box"."""
    return [kind for kind, key in (("point", "points"), ("box", "box")) if key in prompt]


def _numbers(text: str, option: str, form: str) -> tuple[float, ...]:
    parts = text.split(",")
    if len(parts) != len(form.split(",")) or not all(map(_NUMBER.fullmatch, parts)):
        raise typer.BadParameter(f"{text!r} is not {form}: pixels, with commas between", param_hint=option)
    return tuple(map(float, parts))


def is_one_file(photos: Sequence[Path], out: Path, kinds: Sequence[str]) -> bool:
    """Whether OUT is the result itself, not a folder for results."""
    from petseg import folders

    if folders.is_folder(out):
        return False
    if out.suffix.lower() not in folders.FILE_SUFFIXES:
        if out.exists():
            raise typer.BadParameter(f"{str(out)!r} is there and no folder", param_hint="-o")
        return False
    if len(photos) != 1 or folders.is_folder(photos[0]) or len(kinds) > 1:
        raise typer.BadParameter(
            f"{str(out)!r} is the name of a file, which can hold one kind of result for one photo; "
            "give a folder",
            param_hint="-o",
        )
    return True
