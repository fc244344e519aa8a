"""Any Pillow image as sRGB: modes, profiles and transparency.

Phones save Display P3, cameras Adobe RGB, printers CMYK; what their numbers mean stands in an ICC profile.
"""

import io
from collections.abc import Iterable
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias, cast

import numpy as np
from PIL import Image

from petseg.errors import ImageError
from petseg.pixels.values import Depth

Profile: TypeAlias = bytes | float | None
"""Of an image's colours: the bytes of an ICC profile, or the power of light that its values are."""

_LARGEST = 1 << 24
"""Profiles of more bytes are ignored; no JPEG can hold a larger one."""
_CHAINS = b"mpet"
"""Marks a tag with any number of steps for a pixel: such profiles, which no camera writes, are ignored."""
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""Mode of an image -> the colour space that a profile for it has."""
_SAME = 2
"""A profile that moves no colour by more, of 255, is sRGB already."""
_USUAL, _NEARLY = 2.2, 0.12
"""One over the gamma of a PNG in sRGB, and by what share one may differ: 1 / 2 and 1 / 2.4 are as good."""
_LEAST, _MOST = 0.3, 1.2
"""Others are no gamma that anybody has: of 1, values are light itself."""
_CLEAR = 1
"""An alpha that is nowhere higher, of 255, hides the whole photo."""


def profile_of(image: Image.Image) -> Profile:
    """What an image's file says of its colours: an ICC profile, or of a PNG its gamma; None for sRGB.

    A profile is more than a gamma, and so is a PNG's mark of sRGB. PNG, third edition, 4.3.
    """
    info = image.info
    if (profile := info.get("icc_profile")) or image.format != "PNG" or "srgb" in info:
        return profile if isinstance(profile, bytes) else None
    gamma = info.get("gamma")
    if not isinstance(gamma, float) or not _LEAST <= gamma <= _MOST:
        return None
    return gamma if abs(gamma * _USUAL - 1) > _NEARLY else None


def to_rgb(image: Image.Image, depth: Depth | None = None, profile: Profile = None) -> Image.Image:
    """An image of any mode in RGB, transparent pixels laid over white.

    Args:
        image: decoded.
        depth: of 16-bit, 32-bit and float modes.
        profile: as `profile_of` gives it; a broken one is ignored.
    """
    if depth is not None:
        values = np.asarray(image)
        grey = depth.to_uint8(values)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        return _to_srgb(Image.fromarray(grey), profile)
    if not image.has_transparency_data:
        return _to_srgb(image, profile)
    if image.mode == "La":
        image = image.convert("LA")  # Pillow takes the premultiplied grey no further in one step
    rgba = image.convert("RGBA")
    colours = image.getchannel("L") if image.mode == "LA" else rgba.convert("RGB")
    rgb = Image.new("RGB", image.size, "white")
    rgb.paste(_to_srgb(colours, profile), mask=rgba.getchannel("A"))
    return rgb


def check_alpha(strips: Iterable[Image.Image], name: str) -> None:
    """Raise `ImageError` if an image has colours, and its alpha hides them all.

    An alpha of 0 or 1 everywhere is a fourth channel that was never filled, or one in 0..1.

    Args:
        strips: the parts of an image with transparency.
        name: how messages name it.
    """
    colours: set[tuple[tuple[Any, Any], ...]] = set()
    for part in strips:
        rgba = (part.convert("LA") if part.mode == "La" else part).convert("RGBA")
        *ends, (_, highest) = cast("tuple[tuple[Any, Any], ...]", rgba.getextrema())
        if highest > _CLEAR:
            return
        colours.add(tuple(ends))
    if len(colours) > 1 or any(low != high for ends in colours for low, high in ends):
        raise ImageError(
            f"{name} is clear everywhere, its alpha is 0 or 1 of 255: it would be a white sheet; give its "
            "colours alone (image[..., :3], or image.convert('RGB')), or an alpha of 0..255"
        )


def _to_srgb(image: Image.Image, profile: Profile) -> Image.Image:
    """An image without alpha in RGB; with the colours that its profile says."""
    if isinstance(profile, float):
        return image.convert("RGB").point(_curve(profile) * 3)
    if isinstance(profile, bytes) and 0 < len(profile) <= _LARGEST:
        if image.mode not in (*_SPACES, "1", "LAB"):  # Lab means what it says
            image = image.convert("RGB")
        transform = _transform(profile, image.mode)
        if transform is not None:
            try:
                converted: Image.Image = transform.apply(image)
                return converted
            except Exception:
                return image.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=8)
def _curve(gamma: float) -> list[int]:
    """Values 0..255, the light of each to the power of `gamma`, as sRGB's. IEC 61966-2-1."""
    light = (np.arange(256) / 255) ** (1 / gamma)
    bright = 1.055 * light ** (1 / 2.4) - 0.055
    curve: list[int] = (
        np.round(255 * np.where(light <= 0.0031308, 12.92 * light, bright)).astype(int).tolist()
    )
    return curve


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Any:
    """The `PIL.ImageCms.ImageCmsTransform` to sRGB; None if it is not needed, or the profile is no use."""
    if mode not in _SPACES or _CHAINS in profile:
        return None
    try:
        from PIL import ImageCms

        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if _changes_nothing(transform, mode) else transform
    except Exception:  # LittleCMS is there or not, and says what it likes of broken profiles
        return None


def _changes_nothing(transform: Any, mode: str) -> bool:
    steps = range(0, 256, 51) if mode == "CMYK" else range(0, 256, 15)
    bands = Image.getmodebands(mode)
    probe = np.array(list(product(steps, repeat=bands)), np.uint8)
    image = Image.frombytes(mode, (len(probe), 1), probe.tobytes())
    plain, converted = np.asarray(image.convert("RGB")), np.asarray(transform.apply(image))
    return bool(np.abs(plain.astype(int) - converted).max() <= _SAME)
