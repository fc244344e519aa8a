"""Says what a file is that is no photo, for people who chose it by mistake."""

WORKS = "choose a JPEG, PNG or WebP photo"
_BEGINNINGS = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"ID3", "a sound"),
    (b"OggS", "a sound or a video"),
)
_PHOTOS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of HEIF files, ISO/IEC 23008-12, annex B."""


def explain(name: str, data: bytes) -> str:
    """What a file is that no decoder takes, and what to do.

    Args:
        name: as the visitor knows it.
        data: its first bytes; none of them is repeated in the answer.
    """
    if data[4:8] == b"ftyp" and data[8:12] in _PHOTOS:
        return (
            f"“{name}” is an iPhone HEIC photo, which this page cannot read; save it as JPEG, "
            "or set the camera to Most Compatible"
        )
    return f"“{name}” is {_kind(data)}, not a photo; {WORKS}"


def _kind(data: bytes) -> str:
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    if data[4:8] == b"ftyp" or (data[:4] == b"RIFF" and data[8:12] == b"AVI "):
        return "a video"
    start = data.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if b"<svg" in start:
        return "an SVG drawing"
    return "a text" if data and b"\0" not in data and _is_text(data) else "a file of another kind"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # The last character may be cut off.
        return error.start > len(data) - 4
    return True
