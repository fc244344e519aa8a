"""Images as bytes, also such as Pillow does not write."""

import io
import struct
import zlib

from PIL import Image


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """The bytes of its file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(width: int, height: int, colour: int, rows: bytes, *extra: bytes, bits: int = 8) -> bytes:
    """A PNG by hand, for what Pillow does not write."""

    def chunk(kind_and_data: bytes) -> bytes:
        crc = zlib.crc32(kind_and_data)
        return struct.pack(">I", len(kind_and_data) - 4) + kind_and_data + struct.pack(">I", crc)

    header = chunk(b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT" + zlib.compress(rows)) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(map(chunk, extra)) + body


class Stream(io.RawIOBase):
    """Readable and not seekable, like a socket."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        return self._inner.readinto(buffer)
