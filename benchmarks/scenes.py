"""Drawn scenes: a cat and a dog of ellipses and polygons, so that every pixel's class is known.

Made by code rather than kept as files: they are nobody's photos, and the true mask is exact.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from petseg.app.state import Pixels

SIZE = (512, 384)
"""Width and height, in pixels."""
_FINE = 3
"""Drawn so much larger, then shrunk, for smooth edges."""

Colour = tuple[int, int, int] | int
Shape = tuple[str, Sequence[float]]
"""("ellipse", (x0, y0, x1, y1)), ("polygon", (x, y, ...)) or ("line", (width, x, y, ...)), in pixels."""


CAT: tuple[Shape, ...] = (
    ("line", (26, 330, 330, 392, 322, 410, 280, 396, 236)),
    ("ellipse", (186, 180, 352, 362)),
    ("ellipse", (196, 200, 300, 356)),
    ("polygon", (200, 96, 196, 26, 250, 70)),
    ("polygon", (300, 96, 306, 26, 250, 70)),
    ("ellipse", (188, 56, 314, 178)),
    ("ellipse", (210, 140, 300, 240)),
    ("ellipse", (196, 326, 250, 366)),
    ("ellipse", (252, 326, 306, 366)),
)
WALL, FLOOR, FLOOR_FROM = (196, 200, 190), (150, 118, 88), 0.72
"""Colours (RGB), and where the floor begins, as a share of the height."""


def cat() -> tuple[Pixels, Pixels]:
    """A ginger cat that sits: photo (384, 512, 3) and true mask (384, 512), both uint8."""
    return _scene(CAT, (244, 190, 120), (120, 66, 26), 0.05, _cat_face, seed=1, label=1)


def _scene(
    shapes: Sequence[Shape],
    light: tuple[int, int, int],
    dark: tuple[int, int, int],
    fur: float,
    face: Callable[[ImageDraw.ImageDraw], None],
    *,
    seed: int,
    label: int,
) -> tuple[Pixels, Pixels]:
    """An animal in a room: its body between `light` and `dark` (RGB), its fur `fur` rough, then its face."""
    generator = np.random.default_rng(seed)
    body = _silhouette(shapes)[..., None]
    room = _room(generator, body[..., 0])
    lit = _relief(shapes) + 0.03 * _clouds(generator, 10)
    strands = _clouds(generator, 2)
    lit += fur * sum(np.roll(strands, step, 0) for step in range(3))
    lit = np.clip(lit, 0, 1)[..., None]
    coat = np.array(dark) * (1 - lit) + np.array(light) * lit
    pixels = np.clip(room * (1 - body) + coat * body, 0, 255).astype(np.uint8)
    fine = (SIZE[0] * _FINE, SIZE[1] * _FINE)
    image = Image.fromarray(pixels).resize(fine, Image.Resampling.BICUBIC)
    face(ImageDraw.Draw(image))
    photo = np.asarray(image.resize(SIZE, Image.Resampling.LANCZOS))
    return photo, np.where(body[..., 0] >= 0.5, label, 0).astype(np.uint8)


def _silhouette(shapes: Sequence[Shape]) -> NDArray[np.float64]:
    """What the shapes cover, (h, w), 0..1."""
    image = Image.new("L", (SIZE[0] * _FINE, SIZE[1] * _FINE))
    draw = ImageDraw.Draw(image)
    for kind, numbers in shapes:
        scaled = [number * _FINE for number in numbers]
        if kind == "ellipse":
            draw.ellipse(scaled, 255)
        elif kind == "polygon":
            draw.polygon(scaled, 255)
        else:
            width, points = scaled[0], list(zip(scaled[1::2], scaled[2::2], strict=True))
            draw.line(points, 255, int(width), joint="curve")
            for x, y in points:
                _disc(draw, x / _FINE, y / _FINE, width / 2 / _FINE, width / 2 / _FINE, 255)
    return np.asarray(image.reduce(_FINE)) / 255


def _relief(shapes: Sequence[Shape]) -> NDArray[np.float64]:
    """How much light falls on the body from the upper left, (h, w), about 0..1: each shape is a cushion."""
    height = np.zeros(SIZE[::-1])
    for shape in shapes:
        flat = _silhouette([shape])
        height = np.maximum(height, flat * _blurred(flat, 9))
    down, across = np.gradient(_blurred(height, 3))
    return np.asarray(0.55 - 9 * across - 11 * down + 0.25 * (height - 0.5))


def _room(generator: np.random.Generator, body: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wall, floor and the animal's shadow, (h, w, 3)."""
    width, height = SIZE
    y = (np.arange(height) / height)[:, None, None]
    rough, fine = _clouds(generator, 24)[..., None], _clouds(generator, 3)[..., None]
    wall = np.array(WALL) * (1.05 - 0.2 * y) + 5 * rough
    floor = np.array(FLOOR) * (0.8 + 0.4 * y) + 5 * rough + 5 * fine
    shadow = _blurred(np.pad(body, ((14, 0), (18, 0)))[:height, :width], 26)
    return np.where(y > FLOOR_FROM, floor, wall) * (1 - 0.45 * shadow[..., None])


def _clouds(generator: np.random.Generator, grain: int) -> NDArray[np.float64]:
    """Smooth noise, (h, w), about -3..3, with blobs of `grain` pixels."""
    width, height = SIZE
    coarse = generator.normal(size=(height // grain, width // grain))
    return _resized(coarse, SIZE, Image.Resampling.BICUBIC)


def _blurred(plane: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A plane, (h, w), blurred by about a Gaussian: three boxes in each direction.

    Much blur leaves so little to see that it is worked out on a smaller plane.
    """
    step = max(1, round(sigma / 3))
    height, width = plane.shape
    plane = _resized(plane, (width // step, height // step), Image.Resampling.BOX)
    radius = max(1, round(sigma / step))
    window = 2 * radius + 1
    for axis in (0, 1):
        for _ in range(3):
            edges = [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)]
            sums = np.cumsum(np.pad(plane, edges, "edge"), axis)
            upper, lower = np.split(sums, [window], axis)[1], np.split(sums, [-window], axis)[0]
            plane = (upper - lower) / window
    return _resized(plane, (width, height), Image.Resampling.BICUBIC)


def _resized(
    plane: NDArray[np.floating[Any]], size: tuple[int, int], method: Image.Resampling
) -> NDArray[np.float64]:
    """A plane, (h, w), at another size (width, height)."""
    return np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, method), np.float64)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
    draw.ellipse([(x - rx) * _FINE, (y - ry) * _FINE, (x + rx) * _FINE, (y + ry) * _FINE], colour)


def _stroke(draw: ImageDraw.ImageDraw, points: Sequence[float], colour: Colour, width: int) -> None:
    draw.line([number * _FINE for number in points], colour, width, joint="curve")


def _cat_face(draw: ImageDraw.ImageDraw) -> None:
    disc, stroke = partial(_disc, draw), partial(_stroke, draw)
    for x in (226, 276):
        disc(x, 112, 14, 12, (40, 30, 20))
        disc(x, 112, 12, 10.5, (190, 190, 70))
        disc(x, 112, 3.4, 10, (10, 10, 8))
        disc(x + 3, 108, 2.2, 2.2, (255, 255, 255))
    for x in (240, 262):
        disc(x, 146, 15, 12, (236, 214, 186))
    nose = (243, 133, 259, 133, 251, 143)
    draw.polygon([number * _FINE for number in nose], (196, 110, 110))
    stroke((251, 143, 251, 150, 240, 156), (60, 40, 30), 4)
    stroke((251, 150, 262, 156), (60, 40, 30), 4)
    for side in (-1, 1):
        ear = (251 + side * 46, 84, 251 + side * 50, 42, 251 + side * 20, 72)
        draw.polygon([number * _FINE for number in ear], (206, 150, 130))
        for slant in (-6, 0, 7):
            whisker = (251 + side * 14, 146 + slant / 3, 251 + side * 74, 142 + slant * 2)
            stroke(whisker, (245, 240, 230), 2)
    for x in (214, 223, 232, 270, 279, 288):
        stroke((x, 350, x, 364), (90, 60, 40), 4)
