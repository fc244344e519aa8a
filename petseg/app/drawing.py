"""Pictures for the page: all are (h, w, 3) uint8 RGB, unless it says otherwise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from petseg import Segmentation
from petseg.app.state import Pixels, Step
from petseg.pixels.classes import COLORS

GREEN, RED, YELLOW = (22, 163, 74), (220, 38, 38), (250, 204, 21)
"""Of clicks on the pet, clicks beside it, and boxes."""
CHECKERS = (238, 205)
"""Light and dark grey behind a cutout."""
PALETTE = np.array(list(COLORS.values()), np.uint8)


def overlay(result: Segmentation, opacity: float) -> Pixels:
    """The photo with its pets tinted and outlined."""
    return outlined(np.array(result.overlay(opacity)), result.mask)


def outline(result: Segmentation) -> Pixels:
    """The photo with its pets outlined."""
    return outlined(result.photo.copy(), result.mask)


def mask(result: Segmentation) -> Pixels:
    """The mask in the colours of its classes."""
    return PALETTE[result.mask]


def cutout(result: Segmentation) -> Pixels:
    """The pets on a chequered ground."""
    rgba = result.cutout()
    ground = Image.fromarray(checkerboard(*rgba.size))
    ground.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(ground)


def checkerboard(width: int, height: int) -> Pixels:
    """What stands for transparency."""
    field = max(6, max(width, height) // 64)
    rows, columns = np.arange(height) // field, np.arange(width) // field
    light = (rows[:, None] + columns) % 2 == 0
    return np.repeat(np.where(light, *CHECKERS).astype(np.uint8)[..., None], 3, 2)


def outlined(picture: Pixels, classes: Pixels) -> Pixels:
    """Draw the borders of a mask's classes into a picture of its size, in place."""
    thickness = max(1, round(max(classes.shape) / 400))
    inner, outer = _borders(classes, thickness)
    picture[outer] = 255
    picture[inner] = PALETTE[classes[inner]]
    return picture


def _borders(classes: Pixels, thickness: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels of a pet next to another class, and those of the background next to a pet; both (h, w) bool."""
    differs = np.zeros(classes.shape, bool)
    across, down = classes[:, 1:] != classes[:, :-1], classes[1:] != classes[:-1]
    for place, where in (
        ((slice(None), slice(1, None)), across),
        ((slice(None), slice(-1)), across),
        ((slice(1, None),), down),
        ((slice(-1),), down),
    ):
        differs[place] |= where
    inner = differs
    for _ in range(thickness - 1):
        inner = _grown(inner)
    pet = classes != 0
    return inner & pet, _grown(differs) & ~pet


def _grown(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = area.copy()
    grown[1:] |= area[:-1]
    grown[:-1] |= area[1:]
    grown[:, 1:] |= area[:, :-1]
    grown[:, :-1] |= area[:, 1:]
    return grown


def marked(
    picture: Pixels,
    size: tuple[int, int],
    steps: Sequence[Step],
    box: tuple[int, int, int, int] | None,
) -> Pixels:
    """Draw the clicks into a picture.

    Args:
        picture: of any size.
        size: (width, height) of the photo that the clicks are pixels of.
        steps: the clicks; boxes among them are left out.
        box: in pixels of the photo.
    """
    if not steps:
        return picture
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    across, down = image.width / size[0], image.height / size[1]
    radius = max(7, max(image.size) // 60)
    if box is not None:
        x0, y0, x1, y1 = box
        corners = (x0 * across, y0 * down, x1 * across, y1 * down)
        draw.rectangle(corners, outline="black", width=radius // 2)
        draw.rectangle(corners, outline=YELLOW, width=radius // 3)
    for step in steps:
        x, y = (step.x + 0.5) * across, (step.y + 0.5) * down
        if step.kind in ("pet", "not pet"):
            _pin(draw, x, y, radius, positive=step.kind == "pet")
        elif step.kind == "corner":
            draw.line((x - 2 * radius, y, x + 2 * radius, y), YELLOW, radius // 3)
            draw.line((x, y - 2 * radius, x, y + 2 * radius), YELLOW, radius // 3)
    return np.asarray(image)


def _pin(draw: ImageDraw.ImageDraw, x: float, y: float, radius: int, *, positive: bool) -> None:
    """A disc with a plus or a minus: the sign tells them apart without the colour."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), "white")
    inner = radius * 0.8
    draw.ellipse((x - inner, y - inner, x + inner, y + inner), GREEN if positive else RED)
    arm, width = radius * 0.45, max(2, radius // 4)
    draw.line((x - arm, y, x + arm, y), "white", width)
    if positive:
        draw.line((x, y - arm, x, y + arm), "white", width)
