"""Which of Pillow's formats a file is in."""

import contextlib
import struct
from typing import IO

from PIL import Image

from petseg.errors import ImageError
from petseg.pixels import decode_guard

_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""Brands of HEIF files, less AVIF's, which Pillow reads itself."""

_MARKED = frozenset({"JPEG", "PNG", "GIF", "TIFF", "WEBP"})
"""Formats whose files begin as no others do."""


def identify(file: IO[bytes], prefix: bytes, name: str) -> Image.Image:
    """`PIL.Image.open` less its own pixel limit.

    That limit warns through filters which belong to the whole process and cannot be silenced for one
    thread, and it raises below a `max_pixels` that the caller may have chosen on purpose.

    Args:
        file: an open photo; where it stands does not matter.
        prefix: its first 16 bytes.
        name: how messages name the photo.

    Raises:
        ImageError: no format that Pillow reads begins so, or what does is damaged.
    """
    tried, begins = set[str](), ""
    if _is_heif(prefix) and "HEIF" not in Image.OPEN:
        with contextlib.suppress(ImportError, OSError):  # a broken installation is as good as none
            import pillow_heif

            pillow_heif.register_heif_opener()
    for register in (Image.preinit, Image.init):  # the few common formats first: the rest load slowly
        register()
        for format_name, (factory, accept) in list(Image.OPEN.items()):
            if format_name in tried or (accept is not None and accept(prefix) is not True):
                continue
            tried.add(format_name)
            if format_name in decode_guard.REFUSED:
                continue
            try:
                file.seek(0)
                return factory(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error):
                begins = begins or (format_name if format_name in _MARKED else "")
                continue  # how a Pillow plugin says: not mine
    if begins:
        raise ImageError(
            f"{name} begins as {begins} and cannot be read: it is damaged or cut short, or of a kind that "
            "Pillow does not know; copy or download it again, or save it as JPEG or PNG"
        )
    if _is_heif(prefix):
        fix = "HEIF photos need `pip install pillow-heif`, nothing more"
    else:
        fix = "whatever its name says; convert it to JPEG or PNG"
    raise ImageError(f"{name} is in no image format that Pillow can read: it starts with {prefix!r}; {fix}")


def _is_heif(prefix: bytes) -> bool:
    """Whether a file begins as the HEIF photos of phones do. ISO/IEC 23008-12, annex B."""
    return prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF
