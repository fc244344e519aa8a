"""What cut-out pets are laid on: a colour, the photo itself blurred or in grey, or another photo."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageFilter, ImageOps

from petseg.errors import OutputError
from petseg.pixels.classes import Color
from petseg.pixels.geometry import Region
from petseg.pixels.image import ImageInput, load
from petseg.pixels.opacity import Opacity
from petseg.pixels.pictures import bands, cutout

Background: TypeAlias = "Color | ImageInput"
"""See `check`; a text is one of its names, or else a path."""
Ground: TypeAlias = str | Color | NDArray[np.uint8]
"""What `check` makes of it: "blur", "grey", a colour, or the pixels of a photo."""

_BLUR = 0.03
"""Standard deviation of the blur, as a share of the photo's longer side."""
_AROUND = 0.1
"""The same of the blur that fills the place of the pets."""
_SMALL = 384
"""Longest side of the copy that is blurred: nothing finer is left."""


def check(background: Background) -> Ground:
    """A ground, ready to be laid under any number of pets.

    Args:
        background: "blur" or "grey" (the photo itself), the name of a CSS colour, "#rgb", "#rrggbb",
            "rgb(r, g, b)", (red, green, blue) of 0..255, or another photo, as `petseg.segment` takes them:
            give a file whose name is also one of those as a `pathlib.Path`.

    Raises:
        OutputError: it is none of them.
        ImageError: the other photo cannot be read.
    """
    if isinstance(background, tuple):
        numbers = [value for value in background if isinstance(value, int) and 0 <= value <= 255]
        if len(background) != 3 or len(numbers) != 3:
            raise OutputError(f"background {background!r} is no colour; give (red, green, blue) of 0..255")
        return background
    if not isinstance(background, str):
        return load(background)
    name = background.strip().lower()
    if name in ("blur", "grey", "gray"):
        return name.replace("gray", "grey")
    try:
        colour = ImageColor.getrgb(name)
    except ValueError:
        return _other_photo(background)
    if len(colour) == 4:
        raise OutputError(f"background {background!r} has an opacity; leave it out, or save the cutout")
    return colour


def _other_photo(path: str) -> NDArray[np.uint8]:
    if not path or not Path(path).exists():
        raise OutputError(
            f"background {path!r} is no colour and no file; give a name as 'white', '#rrggbb', 'blur', "
            "'grey' or a photo"
        )
    return load(path)


def paint(ground: Ground, photo: NDArray[np.uint8], opacity: Opacity | None, box: Region) -> Image.Image:
    """The ground itself, as large as a box of the photo, RGB.

    Args:
        ground: as `check` gave it.
        photo: (H, W, 3) uint8.
        opacity: of the pets, which are left out of the blur: they would shine around themselves.
        box: what of the photo the picture will show.
    """
    size = box[2] - box[0], box[3] - box[1]
    if isinstance(ground, np.ndarray):
        return ImageOps.fit(Image.fromarray(ground), size, Image.Resampling.BICUBIC)
    if isinstance(ground, tuple):
        return Image.new("RGB", size, ground)
    return _in_grey(photo, box) if ground == "grey" else _blurred(photo, opacity, box)


def _in_grey(photo: NDArray[np.uint8], box: Region) -> Image.Image:
    image = Image.new("RGB", (box[2] - box[0], box[3] - box[1]))
    for x0, y0, x1, y1 in bands(box):
        part = Image.fromarray(np.ascontiguousarray(photo[y0:y1, x0:x1]))
        image.paste(part.convert("L").convert("RGB"), (0, y0 - box[1]))
    return image


class _Rest:
    """How opaque what is no pet is."""

    def __init__(self, photo: NDArray[np.uint8], pets: Opacity | None) -> None:
        self._photo, self._pets = photo, pets

    def part(self, box: Region) -> NDArray[np.uint8]:
        if self._pets is None:
            return np.full((box[3] - box[1], box[2] - box[0]), 255, np.uint8)
        pets = self._pets.part(box)  # what is a little of a pet has its colour
        return np.uint8(255) - np.minimum(pets, 51) * np.uint8(5)

    def cut(self, box: Region, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = box
        colours[...] = self._photo[y0:y1, x0:x1]
        return self.part(box)


def _blurred(photo: NDArray[np.uint8], opacity: Opacity | None, box: Region) -> Image.Image:
    """The box of the photo out of focus: each pixel a mean of what is no pet around it."""
    width, height = box[2] - box[0], box[3] - box[1]
    smaller = max(1, max(width, height) // _SMALL)
    rest = cutout(_Rest(photo, opacity), box, smaller)
    longest = max(rest.size)
    # In the pets' place goes what is around them, so that the blur finds something there.
    filled = Image.new("RGB", rest.size, _mean(rest))
    around = rest.convert("RGBa").filter(ImageFilter.GaussianBlur(_AROUND * longest)).convert("RGBA")
    filled.paste(around.convert("RGB"), mask=around.getchannel("A").point(lambda share: min(255, share * 8)))
    filled.paste(rest.convert("RGB"), mask=rest.getchannel("A"))
    blurred = filled.filter(ImageFilter.GaussianBlur(_BLUR * longest))
    return blurred.resize(
        (width, height), Image.Resampling.BICUBIC, box=(0, 0, width / smaller, height / smaller)
    )


def _mean(image: Image.Image) -> Color:
    """The mean colour of an RGBA image, of what is not clear."""
    red, green, blue, alpha = image.convert("RGBa").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    return (red * 255 // alpha, green * 255 // alpha, blue * 255 // alpha) if alpha else (127, 127, 127)
