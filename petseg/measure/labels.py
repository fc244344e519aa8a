"""What the values of a mask's file mean: class numbers, or grey values and colours that a mapping names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from petseg.errors import ImageError
from petseg.pixels.classes import BORDER, CLASSES

_KNOWN = (0, 1, 2, BORDER)
CLASS_NUMBERS = {**{name: number for number, name in enumerate(CLASSES)}, "ignored": BORDER}
"""What a label can mean -> its number in masks."""
WAY_OUT = (
    'say what its values mean: classes = {"0" = "background", "255" = "cat"} under [[data.sources]], or '
    "petseg eval --classes 0=background,255=cat (grey values, or colours such as #ff8c00)"
)
"""How messages end about masks that need a mapping."""


def class_number(label: str, name: str) -> int:
    """The number of the class that a label is to be; raises `ImageError` for one that there is not."""
    if name not in CLASS_NUMBERS:
        raise ImageError(f"classes: {label!r} is to be {name!r}; give one of {', '.join(CLASS_NUMBERS)}")
    return CLASS_NUMBERS[name]


def parse_classes(text: str) -> dict[str, str]:
    """VALUE=CLASS,... of a command line as a mapping.

    Raises:
        ValueError: it is no such thing.
    """
    parts = [[word.strip() for word in part.partition("=")] for part in text.split(",")]
    if not all(value and name for value, _, name in parts):
        raise ValueError(f"{text!r} is not VALUE=CLASS,...")
    return {value: name for value, _, name in parts}


def values_of(mask: Image.Image, *, grey: bool) -> NDArray[np.int64]:
    """(H, W) the values of a mask's pixels: grey ones and palette indices, or colours as 0xrrggbb."""
    if grey:
        return np.array(mask, np.uint8).astype(np.int64) * (255 if mask.mode == "1" else 1)
    rgb = np.array(mask.convert("RGB"), np.int64)
    return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Grey values, or RGB colours, of masks as class numbers.

    Attributes:
        grey: value -> class; also of palette indices.
        colours: (red, green, blue) -> class, for colour masks and the colours of palettes.
    """

    grey: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[tuple[int, int, int], int], ...] = ()

    @classmethod
    def parse(cls, classes: Mapping[str, str]) -> Self:
        """Of text.

        Args:
            classes: "0".."255" or a colour as in HTML ("#ff8c00", "red") -> "background", "cat", "dog" or
                "ignored". All keys are of one kind.

        Raises:
            ImageError: no such value, colour or class; or both kinds.
        """
        grey, colours = [], []
        for key, name in classes.items():
            number = class_number(key, name)
            if key.isascii() and key.isdigit() and int(key) <= 255:
                grey.append((int(key), number))
                continue
            try:
                red, green, blue = ImageColor.getrgb(key)[:3]
            except ValueError as error:
                raise ImageError(
                    f"classes: {key!r} is neither a value of 0..255 nor a colour such as #ff8c00"
                ) from error
            colours.append(((red, green, blue), number))
        if grey and colours:
            raise ImageError("classes: give grey values or colours, not both")
        return cls(tuple(grey), tuple(colours))

    def apply(self, image: Image.Image, path: Path) -> NDArray[np.uint8]:
        """The classes of a mask, (H, W) uint8.

        Raises:
            ImageError: it holds a value or a colour that is not in the mapping.
        """
        if self.grey and image.mode not in ("L", "P", "1"):
            raise ImageError(
                f"mask {path} has mode {image.mode}, but classes maps grey values; map its colours"
            )
        values = values_of(image, grey=bool(self.grey))
        table = dict(self.grey)
        if not self.grey:
            table = {red << 16 | green << 8 | blue: number for (red, green, blue), number in self.colours}
        classes = np.empty(values.shape, np.uint8)
        for value in np.unique(values).tolist():
            if value not in table:
                shown = f"value {value}" if self.grey else f"colour #{value:06x}"
                raise ImageError(f"mask {path} holds the {shown}, which classes does not name; add it there")
            classes[values == value] = table[value]
        return classes


def check_known(labels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """The labels, if each is a class or ignored.

    Raises:
        ImageError: one is not; the message names the file and the way out.
    """
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    unknown = [int(value) for value in present if value not in _KNOWN]
    if unknown:
        raise ImageError(
            f"mask {path} holds the label {unknown[0]}, which no class has (0 background, 1 cat, 2 dog, "
            f"255 ignored); {WAY_OUT}"
        )
    return labels
