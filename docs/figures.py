"""Draw the README's pictures: `python docs/figures.py`."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

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


def clicked(photo: Image.Image, point: tuple[int, int], radius: int = 9) -> Image.Image:
    """The overlay of the animal under a click, and the click."""
    picture = petseg.segment(photo, point).overlay()
    x, y = point
    circle = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(picture).ellipse(circle, "#16a34a", "white", width=3)
    return picture


def main() -> None:
    """The photo, its overlay and its cutout; and two cats, one click on each."""
    photo = Image.open(FOLDER / "chelsea.jpg")
    result = petseg.segment(photo)
    cutout = Image.alpha_composite(checkerboard(*photo.size), result.cutout())
    strip([photo, result.overlay(), cutout]).save(FOLDER / "example.jpg", quality=88)
    pixels = np.asarray(photo)
    twins = Image.fromarray(np.concatenate([pixels, pixels[:, ::-1]], axis=1))
    x, y = photo.width // 2, photo.height // 2
    answers = [clicked(twins, point) for point in ((x, y), (twins.width - x, y))]
    small = [each.resize((each.width * 2 // 3, each.height * 2 // 3)) for each in answers]
    strip(small).save(FOLDER / "clicks.jpg", quality=85)


if __name__ == "__main__":
    main()
