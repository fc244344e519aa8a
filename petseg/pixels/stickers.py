"""A cut-out pet as a sticker: a white outline and a soft shadow, on a clear square."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from petseg.pixels.geometry import Region
from petseg.pixels.opacity import Opacity
from petseg.pixels.pictures import cutout
from petseg.pixels.polygons import regions

SIDE = 512
"""Pixels of a sticker's side that messengers ask for."""

_OUTLINE = 11 / 512
"""Width of the outline, as a share of the side."""
_SHADOW, _DROP, _DARK = 5 / 512, 4 / 512, 0.4
"""Standard deviation of the shadow, how far below it lies, as shares of the side, and its opacity."""
_MARGIN = 31 / 512
"""What outline and shadow take on each side."""
_ROUND = 3 / 512
"""Standard deviation of the blur that rounds the outline."""

_CRUMB, _NEAR = 0.02, 9
"""Share of the largest piece below which another one is left out, and pixels around what stays."""
_SOLID, _PURE = 128, 230
"""Opacities: a sticker ends at the first, and from the second on a colour is the pet's own."""
_SOFT, _STEEP = 1.0, 4
"""Standard deviation, in pixels, of the blur that smooths the edge, and how many times steeper it becomes."""
_SPREAD = 16, 8, 4
"""Standard deviations, in pixels, of the blurs that bring the pet's own colours to its edge, nearest last."""


def sticker(opacity: Opacity, box: Region, side: int = SIDE) -> Image.Image:
    """What is in a box of a photo, as large as it fits, centred.

    Returns:
        (side, side) RGBA; what is clear holds no colour.
    """
    pet = _fitted(opacity, box, side)
    shape = np.asarray(pet.getchannel("A"))
    outline = _outline(shape, side)
    shadow = _shadow(outline, side)
    result = Image.fromarray(_black(shadow))
    result.alpha_composite(Image.fromarray(np.dstack([np.full((side, side, 3), 255, np.uint8), outline])))
    result.alpha_composite(pet)
    pixels = np.array(result)
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def _fitted(opacity: Opacity, box: Region, side: int) -> Image.Image:
    """The pet in the middle of the square, (side, side) RGBA."""
    room = max(1, side - 2 * round(_MARGIN * side))
    longest = max(box[2] - box[0], box[3] - box[1])
    image = _without_crumbs(cutout(opacity, box, max(1, longest // (2 * room))))
    seen = image.getchannel("A").point(lambda opacity: 255 if opacity >= _SOLID else 0).getbbox()
    result = Image.new("RGBA", (side, side))
    if seen is None:  # nothing but what is nearly clear
        return result
    left, top, right, bottom = seen
    scale = room / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    fitted = _crisp(image.resize(size, Image.Resampling.LANCZOS, seen))
    result.paste(fitted, ((side - size[0]) // 2, (side - size[1]) // 2))
    return result


def _without_crumbs(image: Image.Image) -> Image.Image:
    """An RGBA image, clear where what hangs together is small beside the largest piece."""
    pixels = np.array(image)
    pieces = regions((pixels[..., 3] >= _SOLID).view(np.uint8))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = (sizes >= max(1, _CRUMB * sizes.max()))[pieces]
    near = np.asarray(Image.fromarray(kept.view(np.uint8)).filter(ImageFilter.MaxFilter(_NEAR)))
    pixels[near == 0] = 0
    return Image.fromarray(pixels)


def _crisp(image: Image.Image) -> Image.Image:
    """An RGBA image with an edge as of scissors, and there the pet's own colours instead of the ground's."""
    alpha = np.asarray(image.getchannel("A").filter(ImageFilter.GaussianBlur(_SOFT)), np.float32)
    pure = Image.fromarray((alpha >= _PURE).view(np.uint8) * np.uint8(255)).filter(ImageFilter.MinFilter(3))
    result = image.convert("RGB")
    pet = image.copy()
    pet.putalpha(pure)
    for radius in _SPREAD:
        near = pet.convert("RGBa").filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        result.paste(near.convert("RGB"), mask=near.getchannel("A").point(lambda share: min(255, share * 8)))
    result.paste(image.convert("RGB"), mask=pure.filter(ImageFilter.GaussianBlur(1)))
    result.putalpha(Image.fromarray(np.clip((alpha - _SOLID) * _STEEP + 127.5, 0, 255).astype(np.uint8)))
    return result


def _outline(shape: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Opacity (side, side) of the pet's shape, wider by the outline, its corners rounded."""
    wide = _dilated(shape, max(1, round(_OUTLINE * side)))
    blurred = np.asarray(Image.fromarray(wide).filter(ImageFilter.GaussianBlur(_ROUND * side)), np.float32)
    opacity: NDArray[np.uint8] = np.clip((blurred - 127.5) * (_ROUND * side) + 127.5, 0, 255).astype(np.uint8)
    return opacity


def _dilated(values: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """(H, W) the highest value within a disc around each pixel."""
    height, width = values.shape
    padded = np.pad(values, radius)
    result = np.zeros_like(values)
    reach, row = 0, padded.copy()  # row: the highest value within `reach` to the left and right
    for down in range(radius, -1, -1):
        half = int((radius**2 - down**2) ** 0.5)
        for step in range(reach + 1, half + 1):
            np.maximum(row[:, step:], padded[:, :-step], out=row[:, step:])
            np.maximum(row[:, :-step], padded[:, step:], out=row[:, :-step])
        reach = half
        for top in {radius - down, radius + down}:
            np.maximum(result, row[top : top + height, radius : radius + width], out=result)
    return result


def _shadow(outline: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Opacity (side, side) of the shadow that the outline casts."""
    image = Image.new("L", (side, side))
    image.paste(Image.fromarray(outline), (0, round(_DROP * side)))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(_SHADOW * side)), np.float32)
    return (blurred * _DARK + 0.5).astype(np.uint8)


def _black(opacity: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([np.zeros((*opacity.shape, 3), np.uint8), opacity])
