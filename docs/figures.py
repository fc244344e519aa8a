"""Draw the README's picture: `python docs/figures.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

import petseg

FOLDER = Path(__file__).parent


def checkerboard(width: int, height: int, side: int = 12) -> Image.Image:
    """What shows through a transparent picture, RGBA."""
    rows, columns = np.indices((height, width)) // side
    grey = np.where((rows + columns) % 2, 225, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGBA")


def strip(pictures: list[Image.Image], gap: int = 8) -> Image.Image:
    """Pictures of one height side by side on white."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    result = Image.new("RGB", (width, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        result.paste(picture.convert("RGB"), (left, 0))
        left += picture.width + gap
    return result


def main() -> None:
    """The photo, its overlay and its cutout."""
    photo = Image.open(FOLDER / "chelsea.jpg")
    result = petseg.segment(photo)
    cutout = Image.alpha_composite(checkerboard(*photo.size), result.cutout())
    strip([photo, result.overlay(), cutout]).save(FOLDER / "example.jpg", quality=88)


if __name__ == "__main__":
    main()
