"""Sound images of many kinds, small, and the same at every call: what the corpus is made from."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms, features

SIZE = WIDTH, HEIGHT = 48, 32


def picture(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """A red cat and a blue dog on noise, in a mode."""
    pixels = np.random.default_rng(7).integers(90, 160, (size[1], size[0], 3), np.uint8)
    pixels[size[1] // 4 : -size[1] // 4, : size[0] // 3] = 255, 0, 0
    pixels[size[1] // 4 : -size[1] // 4, -size[0] // 3 :] = 0, 0, 255
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(size))
        return image if mode == "RGBA" else image.convert("LA")
    return image.convert(mode)


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def animation(file_format: str) -> bytes:
    frames = [picture(), picture().rotate(90), picture().rotate(180)]
    return encode(frames[0], file_format, save_all=True, append_images=frames[1:], duration=40, loop=0)


def exif(orientation: int = 1) -> Image.Exif:
    """Orientation, maker and a place on Earth."""
    data = Image.Exif()
    data[0x0112], data[0x010F] = orientation, "petseg"
    data.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 59.0), 3: "E", 4: (13.0, 22.0, 39.0)})
    return data


def srgb() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # when it was made
    return bytes(profile)


def oriented() -> Iterator[tuple[str, bytes]]:
    """(name, file): every orientation of the formats that keep one."""
    for file_format in ("JPEG", "PNG", "WEBP", "TIFF"):
        for orientation in range(1, 9):
            yield (
                f"exif{orientation}.{file_format.lower()}",
                encode(picture(), file_format, exif=exif(orientation)),
            )


def sound() -> Iterator[tuple[str, bytes]]:
    """(name, file): kinds that Pillow reads."""
    yield "baseline.jpg", encode(picture(), "JPEG")
    yield "progressive.jpg", encode(picture(), "JPEG", progressive=True, quality=95, subsampling=0)
    yield "restarts.jpg", encode(picture(), "JPEG", restart_marker_blocks=2)
    yield "grey.jpg", encode(picture("L"), "JPEG")
    yield "cmyk.jpg", encode(picture("CMYK"), "JPEG")
    yield "icc.jpg", encode(picture(), "JPEG", icc_profile=srgb())
    yield "mpo.jpg", encode(picture(), "MPO", save_all=True, append_images=[picture().rotate(9)])
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"{mode.replace(';', '')}.png", encode(picture(mode), "PNG")
    yield "transparent-palette.png", encode(picture("P"), "PNG", transparency=bytes(range(256)))
    yield "transparent-colour.png", encode(picture(), "PNG", transparency=(255, 0, 0))
    yield "animated.png", animation("PNG")
    yield "plain.gif", encode(picture("P"), "GIF")
    yield "transparent.gif", encode(picture("P"), "GIF", transparency=3)
    yield "animated.gif", animation("GIF")
    yield "lossy.webp", encode(picture(), "WEBP")
    yield "lossless.webp", encode(picture("RGBA"), "WEBP", lossless=True)
    yield "animated.webp", animation("WEBP")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        yield f"{compression}.tiff", encode(picture(), "TIFF", compression=compression)
    for mode in ("I;16", "F", "CMYK", "LAB", "RGBA", "1"):
        image = picture("RGB").convert("F") if mode == "F" else picture("RGB" if mode == "LAB" else mode)
        yield f"{mode.replace(';', '')}.tiff", encode(image, "TIFF")
    yield "pages.tiff", animation("TIFF")
    for name, file_format in (("plain.bmp", "BMP"), ("plain.ppm", "PPM"), ("plain.tga", "TGA")):
        yield name, encode(picture(), file_format)
    yield "icon.ico", encode(picture(), "ICO", sizes=[(16, 16), (32, 32)])
    for name, feature in (("plain.avif", "avif"), ("plain.jp2", "jpg_2000")):
        if features.check(feature):
            yield name, encode(picture(), "AVIF" if feature == "avif" else "JPEG2000")
    for name, size in (("one.png", (1, 1)), ("wide.png", (65535, 1)), ("tall.png", (1, 65535))):
        yield name, encode(Image.new("RGB", size, "red"), "PNG")
    yield "wide.jpg", encode(Image.new("RGB", (65500, 1), "red"), "JPEG")
