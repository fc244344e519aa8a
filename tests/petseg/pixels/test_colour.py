"""Colours as sRGB whatever the file says they are, and transparency that hides no photo unsaid."""

import io
import struct
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from petseg.errors import ImageError
from petseg.pixels import colour
from petseg.pixels.image import load, load_reduced

RNG = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def matrix_profile(space: bytes = b"RGB ", gamma: float = 2.2, rotate: bool = False) -> bytes:
    """An ICC profile of version 2 by hand: Adobe RGB (1998)'s matrix and gamma, or a gamma of grey."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    columns = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
    if rotate:
        columns = columns[1:] + columns[:1]
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip(b"rgb", columns, strict=True):
            tags[bytes([letter]) + b"XYZ"] = xyz(*column)
            tags[bytes([letter]) + b"TRC"] = curve
    return assemble(b"mntr" + space + b"XYZ ", tags)


def assemble(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2: device class, colour space and connection space; and its tags."""
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = bytearray(128)
    header[0:4] = struct.pack(">I", offset + len(body))
    header[8:12] = b"\x02\x10\0\0"
    header[12:24] = kind
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">iii", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return bytes(header) + table + body


INKS = {
    **{"": (100, 0, 0), "c": (55, -35, -50), "m": (48, 74, -3), "y": (89, -5, 93)},
    **{"cm": (24, 22, -46), "cy": (50, -65, 27), "my": (47, 68, 48), "cmy": (23, 0, 0)},
}
"""Solid inks on paper in CIELAB, about those of offset printing (ISO 12647-2); black covers them all."""


def ink_profile() -> bytes:
    """An ICC profile of a printer by hand: a table of its solid inks, linear in between."""
    nodes = bytearray()
    for inks in product((0, 1), repeat=4):  # the last one, black, runs fastest
        name = "".join(letter for letter, ink in zip("cmy", inks, strict=False) if ink)
        light, a, b = (0, 0, 0) if inks[3] else INKS[name]
        nodes += bytes([round(light * 2.55), a + 128, b + 128])
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * value for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + bytes(nodes) + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1.0, 0.8249)))
    return assemble(b"prtrCMYKLab ", {b"wtpt": white, b"A2B0": table, b"A2B1": table})


ADOBE = matrix_profile()
SWAPPED = matrix_profile(rotate=True)
"""Whose red is Adobe's green, and so on: nobody can overlook that it was applied."""


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def adobe_to_srgb(values: np.ndarray) -> np.ndarray:
    """By the published formulas: gamma 563/256, and the two spaces' matrices to XYZ at D65."""
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    linear = (values / 255) ** 2.19921875 @ (from_xyz @ to_xyz).T
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_adobe_rgb_becomes_srgb(file_format: str) -> None:
    # Within sRGB, where nothing is clipped.
    blocks = RNG.integers(70, 200, (2, 3, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    data = encode(Image.fromarray(blocks), file_format, icc_profile=ADOBE, **options)
    centres = (slice(8, None, 16), slice(8, None, 16))
    expected = adobe_to_srgb(blocks[centres])
    np.testing.assert_allclose(load(data)[centres].astype(float), expected, atol=3)
    assert np.abs(expected - blocks[centres]).max() > 10


@pytest.mark.parametrize("opened", [True, False], ids=["opened", "bytes"])
def test_images_that_somebody_opened_keep_their_profile(opened: bool) -> None:
    data = encode(Image.new("RGB", (3, 2), (0, 200, 0)), "PNG", icc_profile=SWAPPED)
    loaded = load(Image.open(io.BytesIO(data)) if opened else data)
    assert loaded[0, 0].argmax() == 0 or loaded[0, 0].argmax() == 2


def test_a_reduced_jpeg_is_converted_too() -> None:
    data = encode(Image.new("RGB", (800, 640), (0, 200, 0)), "JPEG", icc_profile=SWAPPED)
    whole = load(data)
    reduced, size = load_reduced(data, 200)
    assert size == (800, 640)
    assert max(reduced.shape) == 200
    assert np.abs(reduced[0, 0].astype(int) - whole[0, 0]).max() <= 1
    assert whole[0, 0].argmax() != 1


def test_alpha_stays_with_its_colours() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[..., 1], rgba[0, :, 3] = 200, (255, 128, 0)
    loaded = load(encode(Image.fromarray(rgba), "PNG", icc_profile=SWAPPED)).astype(int)
    solid = load(encode(Image.fromarray(rgba[..., :3]), "PNG", icc_profile=SWAPPED)).astype(int)[0, 0]
    assert loaded[0, 2].tolist() == [255, 255, 255]
    np.testing.assert_allclose(loaded[0, 0], solid, atol=1)
    np.testing.assert_allclose(loaded[0, 1], (solid * 128 + 255 * 127) / 255, atol=2)


@pytest.mark.parametrize("alpha", [False, True])
def test_grey_with_a_gamma_of_its_own(alpha: bool) -> None:
    grey = Image.new("L", (2, 2), 128)
    if alpha:
        grey = Image.merge("LA", (grey, Image.new("L", (2, 2), 255)))
    loaded = load(encode(grey, "PNG", icc_profile=matrix_profile(b"GRAY", 1.0)))
    assert loaded[0, 0].tolist() == pytest.approx([188] * 3, abs=2)  # sRGB's code for half the light


def test_srgb_is_left_alone() -> None:
    pixels = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(load(encode(Image.fromarray(pixels), "PNG", icc_profile=SRGB)), pixels)
    assert colour._transform(SRGB, "RGB") is None
    assert colour._transform(ADOBE, "RGB") is not None


@pytest.mark.parametrize(
    "break_it",
    [
        lambda profile: b"",
        lambda profile: b"no profile",
        lambda profile: profile[:100],
        lambda profile: profile[: len(profile) // 2],
        lambda profile: profile[:128] + b"\xff\xff\xff\xff" + profile[132:],
        lambda profile: profile.replace(b"RGB ", b"CMYK"),
        lambda profile: profile.replace(b"curv", b"mpet"),
        lambda profile: profile + bytes(colour._LARGEST),
        lambda profile: matrix_profile(b"GRAY"),
    ],
)
def test_profiles_that_are_no_use_are_ignored(break_it: Callable[[bytes], bytes]) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8))
    image.info["icc_profile"] = break_it(SWAPPED)
    np.testing.assert_array_equal(load(image), np.asarray(image))


def test_damaged_profiles_break_nothing() -> None:
    image = Image.new("RGB", (4, 4), (10, 200, 30))
    for _ in range(200):
        damaged = bytearray(SWAPPED)
        for place in RNG.integers(0, len(damaged), 4):
            damaged[place] = RNG.integers(0, 256)
        image.info["icc_profile"] = bytes(damaged)
        assert load(image).shape == (4, 4, 3)


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "I;16", "YCbCr", "LAB", "HSV"])
def test_a_profile_of_another_mode_does_no_harm(mode: str) -> None:
    image = Image.new(mode, (4, 4)) if mode != "I;16" else Image.fromarray(np.full((4, 4), 40000, np.uint16))
    plain = load(image)
    image.info["icc_profile"] = matrix_profile(b"GRAY" if mode in ("CMYK", "P", "YCbCr") else b"RGB ")
    np.testing.assert_array_equal(load(image), plain)


# -- alpha ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("highest", [0, 1])
@pytest.mark.parametrize("kind", ["array", "image", "file"])
def test_an_alpha_that_hides_the_whole_photo_is_refused(highest: int, kind: str) -> None:
    rgba = RNG.integers(0, 256, (8, 8, 4), np.uint8)
    rgba[..., 3] = highest
    given: Any = {"array": rgba, "image": Image.fromarray(rgba)}.get(kind)
    with pytest.raises(ImageError, match=r"clear everywhere.*image\[\.\.\., :3\]"):
        load(encode(Image.fromarray(rgba), "PNG") if given is None else given)
    np.testing.assert_array_equal(load(rgba[..., :3]), rgba[..., :3])  # the fix


def test_nothing_is_hidden_where_there_is_nothing() -> None:
    """As in petseg's own cutout of a photo without a pet."""
    assert load(np.zeros((4, 4, 4), np.uint8)).min() == 255
    seen = np.zeros((4, 4, 4), np.uint8)
    seen[0, 0] = 9, 9, 9, 255
    assert load(seen)[0, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_is_what_its_profile_says(file_format: str) -> None:
    """Pillow alone takes full cyan for (0, 255, 255), which no printer has."""
    values = np.array(
        [[255 * (letter in name) for letter in "cmyk"] for name in [*INKS, "k", "cmyk"]], np.uint8
    )
    image = Image.frombytes("CMYK", (16 * len(values), 16), values.repeat(16, 0).tobytes() * 16)
    options = {"quality": 100, "subsampling": 0} if file_format == "JPEG" else {}
    pixels = load(encode(image, file_format, icc_profile=ink_profile(), **options))
    lab = np.array([*INKS.values(), (0, 0, 0), (0, 0, 0)], float) * (2.55, 1, 1)
    lab_image = Image.frombytes("LAB", (len(lab), 1), lab.round().astype(np.int64).astype(np.uint8).tobytes())
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    expected = ImageCms.buildTransform(*profiles, "LAB", "RGB", intent).apply(lab_image)
    assert np.abs(pixels[8, 8::16].astype(int) - np.asarray(expected)[0].astype(int)).max() <= 4
    plain = load(encode(image, file_format, **options))
    assert np.abs(pixels.astype(int) - plain).max() > 60


def png(image: Image.Image, *chunks: tuple[bytes, bytes], **options: Any) -> bytes:
    texts, file = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, data in chunks:
        texts.add(name, data)
    image.save(file, "PNG", pnginfo=texts, **options)
    return file.getvalue()


def gamma(of: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(of * 100_000))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16"])
@pytest.mark.parametrize("of", [1.0, 1 / 1.8])
def test_the_gamma_of_a_png_is_applied(mode: str, of: float) -> None:
    seen = Image.linear_gradient("L").convert("RGB" if mode == "I;16" else mode).convert("RGB")
    light = np.asarray(seen) / 255
    light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    stored = np.round(255 * light**of).astype(np.uint8)
    image = Image.fromarray(stored)
    if mode == "I;16":
        image = Image.fromarray(stored[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    loaded = load(png(image, gamma(of))).astype(int)
    bright = stored > 20  # of a linear file the dark is coarse
    np.testing.assert_allclose(loaded[bright], np.asarray(seen)[bright], atol=3)
    opened = Image.open(io.BytesIO(png(image, gamma(of))))
    np.testing.assert_array_equal(load(opened), loaded)


@pytest.mark.parametrize(
    ("chunks", "options"),
    [
        ([gamma(0.45455)], {}),
        ([gamma(0.5)], {}),
        ([gamma(0)], {}),
        ([gamma(20.0)], {}),
        ([gamma(1.0), (b"sRGB", b"\0")], {}),
        ([gamma(1.0)], {"icc_profile": SRGB}),
    ],
)
def test_a_gamma_that_says_nothing_changes_nothing(
    chunks: list[tuple[bytes, bytes]], options: dict[str, Any]
) -> None:
    colours = RNG.integers(0, 256, (4, 6, 3), np.uint8)
    np.testing.assert_array_equal(load(png(Image.fromarray(colours), *chunks, **options)), colours)
