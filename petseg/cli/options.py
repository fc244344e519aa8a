"""What people type behind a command, checked: wrong usage ends with exit status 2."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from petseg.annotations import Format
    from petseg.pixels.saving import Kind
    from petseg.saver import Wanted

_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*")


def path_of(text: str) -> Path:
    """A path that was typed; a shell variable that is not set would mean the working folder."""
    return Path(check_given(text))


def check_given(text: str) -> str:
    """The same text, which is a path or an address."""
    if not text:
        raise typer.BadParameter("it is empty; give a path, or . for the working folder")
    return text


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
_THREADS: dict[str, Any] = {"min": 0, "metavar": "N"}
Threads = Annotated[int, typer.Option(**_THREADS, help="For the CPU; 0: all cores.")]
BatchThreads = Annotated[
    int, typer.Option(**_THREADS, help="For the network; with Ray, of each actor. 0: chosen.")
]
ResizeOption = Annotated[Resize, typer.Option(help="nearest: cheaper, with coarse edges.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="auto: int8 on a CPU that is quick at it if the model has such weights, else float32."),
]
Save = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND,...",
        help="Some of mask (the default), mask-gray, cutout, overlay, on, crop, sticker, json; of all photos "
        "together (not `batch`): coco, yolo, labelstudio.",
    ),
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
        help="Threads that read, segment and encode photos (with Ray, actors); default: as many as keep the "
        "machine busy.",
        show_default=False,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace files too that petseg did not write; never the photos.")
]
Background = Annotated[
    str | None,
    typer.Option(
        metavar="GROUND",
        help="Save the pets on a ground, too (NAME.on.jpg): a CSS colour, #rrggbb, blur, grey, or a photo.",
        show_default=False,
    ),
]
Crop = Annotated[bool, typer.Option("--crop", help="Cutouts and grounds show the pets, and hardly more.")]
Each = Annotated[
    bool, typer.Option("--each", help="Each animal by itself, largest first: NAME.1.cutout.png, ...")
]
Tolerance = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="PIXELS",
        help="How far outlines in coco and yolo may stray; 1 makes them much smaller. 0: exact.",
    ),
]
Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO|FOLDER", show_default=False, parser=path_of)]
Out = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="OUT",
        parser=path_of,
        help="Folder for the results; for one photo and one kind of result it may be a file.",
        show_default=False,
    ),
]
Points = Annotated[list[str] | None, typer.Option("--point", metavar="X,Y", help="A click on the pet.")]
Negatives = Annotated[list[str] | None, typer.Option("--negative", metavar="X,Y", help="A click beside it.")]
Boxes = Annotated[
    list[str] | None,
    typer.Option("--box", metavar="X0,Y0,X1,Y1", help="A box around the pet; several: one each."),
]
Objects = Annotated[
    list[int] | None,
    typer.Option(
        "--object",
        min=0,
        metavar="N",
        help="Which animal a click is about, 0 for the first (that in the first box): one for each "
        "--point, then for each --negative.",
    ),
]
Opacity = Annotated[float, typer.Option(min=0, max=1, metavar="0..1", help="Of the overlay.")]
WholeNames = Annotated[
    bool, typer.Option("--whole-names", help="Call results as `petseg batch` does: OUT/NAME.jpg.mask.png.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Figures = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", parser=path_of, help="Write all figures here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def parse_kinds(save: Sequence[str] | None) -> list["Kind"]:
    """What --save asks for of each photo, each once; nothing if it was not given."""
    return _parse_save(save, sets=False)[0]


def parse_save(save: Sequence[str] | None) -> tuple[list["Kind"], list["Format"]]:
    """What --save asks for of each photo, and of all together, each once."""
    return _parse_save(save, sets=True)


def _parse_save(save: Sequence[str] | None, *, sets: bool) -> tuple[list["Kind"], list["Format"]]:
    from typing import get_args

    from petseg.annotations import Format
    from petseg.pixels.saving import Kind

    kinds: tuple[Kind, ...] = get_args(Kind)
    formats: tuple[Format, ...] = get_args(Format)
    asked = [kind.strip() for option in save or [] for kind in option.split(",")]
    for kind in asked:
        if kind in formats and not sets:
            fix = "`petseg segment` saves it; here each photo's json has its polygons"
            raise typer.BadParameter(f"{kind!r} is one file for all photos: {fix}", param_hint="--save")
        if kind not in kinds and kind not in formats:
            known = ", ".join((*kinds, *formats) if sets else kinds)
            raise typer.BadParameter(f"{kind!r} is none of {known}", param_hint="--save")
    return [kind for kind in kinds if kind in asked], [format for format in formats if format in asked]


def parse_wanted(
    save: Sequence[str] | None,
    *,
    opacity: float,
    background: str | None,
    crop: bool,
    each: bool,
    tolerance: float,
) -> "Wanted":
    """What the options say of what to save; no kinds and formats if they say nothing of that.

    Raises:
        ImageError: the background is a photo that cannot be read.
    """
    from petseg.errors import OutputError
    from petseg.pixels import grounds
    from petseg.saver import Wanted

    kinds, formats = parse_save(save)
    for value, option in ((opacity, "--opacity"), (tolerance, "--tolerance")):
        if not math.isfinite(value):
            raise typer.BadParameter(f"{value} is no number that fits", param_hint=option)
    if background is not None and "on" not in kinds:
        kinds.append("on")
    if crop and not {"cutout", "on"} & set(kinds):
        raise typer.BadParameter(
            "crops what --save cutout and --background give; --save crop is the photo itself, cropped",
            param_hint="--crop",
        )
    try:
        ground = grounds.check(background or "white")
    except OutputError as error:
        raise typer.BadParameter(str(error), param_hint="--background") from error
    return Wanted(
        kinds=kinds,
        formats=formats,
        opacity=opacity,
        background=ground,
        crop=crop,
        each=each,
        tolerance=tolerance,
    )


def or_default(wanted: "Wanted", out: Path, *, one_file: bool) -> "Wanted":
    """The same; the mask, or the JSON to a file called so, where nothing was asked for."""
    if wanted.kinds or wanted.formats:
        return wanted
    return replace(wanted, kinds=["json" if one_file and out.suffix.lower() == ".json" else "mask"])


def parse_prompt(
    points: Sequence[str], negatives: Sequence[str], boxes: Sequence[str], objects: Sequence[int] = ()
) -> dict[str, Any]:
    """Arguments for `Segmenter.segment`; empty without clicks and boxes."""
    prompt: dict[str, Any] = {}
    if points or negatives:
        prompt["points"] = [_numbers(text, "--point", "X,Y") for text in points]
        prompt["points"] += [_numbers(text, "--negative", "X,Y") for text in negatives]
        prompt["labels"] = [1] * len(points) + [0] * len(negatives)
    if negatives and not points and not boxes:
        raise typer.BadParameter(
            "says what is not wanted; give a --point or --box too", param_hint="--negative"
        )
    count = len(points) + len(negatives)
    if len(objects) not in (0, count) or (len(boxes) > 1 and count and not objects):
        raise typer.BadParameter(
            f"there are {len(objects)} for {count} clicks; give one for each --point and then one for each "
            "--negative",
            param_hint="--object",
        )
    if objects:
        prompt["objects"] = list(objects)
    corners = [_parse_box(box) for box in boxes]
    if objects or len(boxes) > 1:
        prompt |= {"boxes": corners} if corners else {}
    elif corners:
        prompt["box"] = corners[0]
    return prompt


def _parse_box(box: str) -> tuple[float, ...]:
    x0, y0, x1, y1 = corners = _numbers(box, "--box", "X0,Y0,X1,Y1")
    if not (x0 < x1 and y0 < y1):
        raise typer.BadParameter(f"{box!r} is empty; give X0 < X1 and Y0 < Y1", param_hint="--box")
    return corners


def prompt_kinds(prompt: dict[str, Any]) -> list[str]:
    """What `parse_prompt` gave: some of "point" and "box"."""
    return ["point"] * ("points" in prompt) + ["box"] * ("box" in prompt or "boxes" in prompt)


def _numbers(text: str, option: str, form: str) -> tuple[float, ...]:
    parts = text.split(",")
    if len(parts) != len(form.split(",")) or not all(map(_NUMBER.fullmatch, parts)):
        raise typer.BadParameter(f"{text!r} is not {form}: pixels, with commas between", param_hint=option)
    return tuple(map(float, parts))


def is_one_file(photos: Sequence[Path], out: Path, wanted: "Wanted") -> bool:
    """Whether OUT is the result itself, not a folder for results."""
    from petseg import folders

    if folders.is_folder(out):
        return False
    if out.suffix.lower() not in folders.FILE_SUFFIXES:
        if out.exists():
            raise typer.BadParameter(f"{str(out)!r} is there and no folder", param_hint="-o")
        return False
    if wanted.each:
        raise typer.BadParameter(
            f"{str(out)!r} is the name of a file, and --each gives several; give a folder", param_hint="-o"
        )
    if wanted.formats and not wanted.kinds:
        if len(wanted.formats) > 1 or "yolo" in wanted.formats or out.suffix.lower() != ".json":
            raise typer.BadParameter(
                f"{str(out)!r} cannot hold {' and '.join(wanted.formats)}; give a folder", param_hint="-o"
            )
        return True
    several = len(photos) != 1 or folders.is_folder(photos[0])
    if several or len(wanted.kinds) + len(wanted.formats) > 1:
        raise typer.BadParameter(
            f"{str(out)!r} is the name of a file, which can hold one kind of result for one photo; "
            "give a folder",
            param_hint="-o",
        )
    return True
