"""Files that are made to hurt: bombs, endless headers, broken metadata, two formats at once."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

from tests.fuzz.samples import encode, exif, picture, srgb

_GREY = ((258, 3, 1, 16), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))
"""TIFF entries: 16 bits of grey, deflated."""


def png(width: int, height: int, *extra: bytes, rows: bytes = b"", colour: int = 2, bits: int = 8) -> bytes:
    """A PNG by hand; `extra` are chunks, kind and data, before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = [b"IHDR" + header, *extra, b"IDAT" + zlib.compress(rows, 3), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, body))


def _chunk(kind_and_data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind_and_data))
    return struct.pack(">I", len(kind_and_data) - 4) + kind_and_data + crc


def segment(marker: int, data: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def tiff(*entries: tuple[int, int, int, int], following: int = 0, data: bytes = b"") -> bytes:
    """A TIFF of one directory: (tag, type, count, value); `data` starts right behind it."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", following) + data


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG that is refined again and again: some bytes a scan, work for every pixel."""
    plain = encode(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = plain[plain.rfind(b"\xff\xda") : -2]
    return plain[:-2] + last * count + b"\xff\xd9"


@cache
def bombs() -> dict[str, bytes]:
    """Name -> file: all must be refused."""
    return dict(_bombs())


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "header-only.png", png(65535, 65535)
    yield "one-bit.png", png(20_000, 20_000, rows=bytes(2501 * 20_000), colour=0, bits=1)
    yield "too-wide.png", png(2**31 - 1, 1)
    yield "endless.png", png(2**31 - 1, 2**31 - 1)
    wide = bytearray(encode(picture(), "JPEG"))
    at = wide.index(b"\xff\xc0")
    wide[at + 5 : at + 9] = b"\xff" * 4
    yield "header-only.jpg", bytes(wide)
    yield "header-only.gif", b"GIF89a" + b"\xff" * 4 + encode(picture("P"), "GIF")[10:]
    screen = b"GIF89a\x01\0\x01\0\0\0\0" + b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x08\0\x3b"
    yield "frame-beyond-the-screen.gif", screen
    bitmap = struct.pack("<IHHIIiiHHII", 99, 0, 0, 54, 40, 90_000, 90_000, 1, 24, 0, 0)
    yield "header-only.bmp", b"BM" + bitmap + bytes(8)
    yield "header-only.ppm", b"P6 100000 100000 255\n"
    for side in (16_384, 8000):
        lossless = struct.pack("<IBI", 9, 0x2F, side - 1 | side - 1 << 14) + bytes(5)
        yield f"header-only-{side}.webp", b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8L" + lossless
    yield "header-only.tiff", tiff((256, 4, 1, 200_000), (257, 4, 1, 200_000), *_GREY, (273, 4, 1, 8))
    tiles = ((322, 4, 1, 15_000), (323, 4, 1, 15_000), (324, 4, 1, 8), (325, 4, 1, 99))
    yield "tile.tiff", tiff((256, 4, 1, 16), (257, 4, 1, 16), *_GREY, *tiles)
    inner = png(11_000, 11_000, rows=bytes(1376 * 11_000), colour=0, bits=1)
    entry = b"\x10\x10\0\0\1\0\x08\0" + struct.pack("<II", len(inner), 22)
    yield "inside.ico", b"\0\0\1\0\1\0" + entry + inner
    yield "scans.jpg", scans(1000, 3000)
    yield "chunks.png", png(8, 8, *[b"teXt"] * 150_000, rows=bytes(25 * 8))
    yield "comments.gif", _comments(400_000)
    plain = encode(picture(), "JPEG")
    yield "segments.jpg", plain[:2] + segment(0xFE, b"") * 400_000 + plain[2:]
    yield "tags.tiff", tiff(*[(256, 4, 1, 8)] * 65_535)


def _comments(count: int) -> bytes:
    plain = encode(picture("P"), "GIF")
    at = 13 + 3 * 2 ** ((plain[10] & 7) + 1)
    return plain[:at] + b"\x21\xfe\x01a\0" * count + plain[at:]


def oddities() -> Iterator[tuple[str, bytes]]:
    """(name, file): an answer or an error, both are right."""
    rows = bytes(25 * 8)
    text = zlib.compress(bytes(20_000_000))
    yield "text-bomb.png", png(8, 8, b"zTXtkey\0\0" + text, rows=rows)
    yield "profile-bomb.png", png(8, 8, b"iCCPkey\0\0" + text, rows=rows)
    yield "international-bomb.png", png(8, 8, b"iTXtkey\0\1\0\0\0" + text, rows=rows)
    yield "pixels-left-over.png", png(8, 8, rows=bytes(30_000_000))
    yield "no-palette.png", png(8, 8, rows=bytes(9 * 8), colour=3)
    yield "bad-colour.png", png(8, 8, rows=rows, colour=7)
    yield "interlaced-odd.png", png(8, 8, rows=rows, bits=3)
    yield "loop.tiff", tiff((256, 4, 1, 8), (257, 4, 1, 8), following=8)
    yield "count.tiff", tiff((256, 4, 2**32 - 1, 8), (257, 4, 1, 8), (273, 4, 2**31, 9))
    tiles = ((322, 4, 1, 4000), (323, 4, 1, 4000), (324, 4, 1, 8), (325, 4, 1, 99))
    yield "tile.tiff", tiff((256, 4, 1, 16), (257, 4, 1, 16), *_GREY, *tiles)
    yield "big.tiff", b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + struct.pack("<Q", 2**40)
    yield "scans-few.jpg", scans(64, 300)
    plain = encode(picture(), "JPEG")
    yield "two-frames.jpg", plain[:-2] + plain[plain.index(b"\xff\xc0") :]
    yield "no-tables.jpg", plain[:2] + plain[plain.index(b"\xff\xc0") :]


def metadata() -> Iterator[tuple[str, bytes]]:
    """(name, file): the pixels are sound, what is said about them is not; all must be answered."""
    place = exif(6).tobytes()
    broken = {
        "cut": place[: len(place) // 2],
        "noise": b"Exif\0\0" + np.random.default_rng(3).bytes(300),
        "no-directory": b"Exif\0\0MM\0*\xff\xff\xff\xff",
        "loop": b"Exif\0\0II*\0\x08\0\0\0\x01\0"
        + struct.pack("<HHII", 0x8769, 4, 1, 8)
        + struct.pack("<I", 8),
        "endless": b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 2**32 - 1, 8),
        "orientation-0": exif(0).tobytes(),
        "orientation-9": exif(9).tobytes(),
        "orientation-65535": exif(65535).tobytes(),
        "orientation-text": b"Exif\0\0II*\0\x08\0\0\0\x01\0"
        + struct.pack("<HHI4sI", 0x0112, 2, 4, b"six\0", 0),
        "empty": b"Exif\0\0",
    }
    for name, data in broken.items():
        for file_format in ("JPEG", "PNG", "WEBP"):
            yield f"exif-{name}.{file_format.lower()}", encode(picture(), file_format, exif=data)
    profile = srgb()
    random = np.random.default_rng(4).bytes(2000)
    for name, data in (("cut", profile[:200]), ("noise", random), ("long", profile + bytes(200_000))):
        yield f"icc-{name}.jpg", encode(picture(), "JPEG", icc_profile=data)
        yield f"icc-{name}.png", encode(picture(), "PNG", icc_profile=data)
        yield f"icc-{name}.webp", encode(picture(), "WEBP", icc_profile=data)
    plain = encode(picture(), "JPEG")
    parts = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([at, 3]) + profile[:99]) for at in (9, 0, 9))
    yield "icc-out-of-order.jpg", plain[:2] + parts + plain[2:]
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(12))
    packet = f'<?xml version="1.0"?><!DOCTYPE x [{laughs}]><x tiff:Orientation="6">&l11;</x>'.encode()
    yield "xmp-laughs.jpg", plain[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet) + plain[2:]
    text = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + packet
    yield "xmp-laughs.png", png(8, 8, text, rows=bytes(25 * 8))


def polyglots() -> Iterator[tuple[str, bytes]]:
    """(name, file, which is right for the first three only): two formats at once, or another one."""
    plain, archive = encode(picture(), "JPEG"), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as inside:
        inside.writestr(zipfile.ZipInfo("../../evil.py"), "raise SystemExit")
    yield "good-and-zip.jpg", plain + archive.getvalue()
    yield "good-and-page.png", encode(picture(), "PNG") + b"<script>alert(1)</script>"
    yield "good-with-script.gif", _comments(1).replace(b"\x01a\0", b"\x08alert(1)\0")
    yield "bad-script.gif", b"GIF89a/*" + bytes(9) + b"*/=1;alert(1)"
    yield "bad-pdf.jpg", b"%PDF-1.4\n" + plain
    yield (
        "bad-drawing.png",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    )
    yield "bad-page.jpg", b"<html><body>no photo</body></html>"
    yield (
        "bad-postscript.jpg",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n%%EOF\n",
    )
    yield "bad-program.png", b"\x7fELF" + bytes(200)
    yield "bad-zip.png", archive.getvalue()
    yield "bad-onnx.jpg", b"\x08\x08:5\n\x0e\n\x01x"
