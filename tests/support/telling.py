"""Photos that tell more than they show."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

SECRET = b"petseg-secret"


def telling_photo(pixels: NDArray[np.uint8], file_format: str) -> bytes:
    """The photo with all that cameras and programs put into a file: GPS, XMP, ICC, comments, texts."""
    secret = SECRET.decode()
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = secret
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (52.0, 30.0, 59.0), 29: secret})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + SECRET
    options: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    if file_format in ("JPEG", "WEBP"):
        options["xmp"] = b"<x:xmpmeta>" + SECRET
    if file_format == "JPEG":
        options["comment"] = SECRET
    if file_format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Author", secret)
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", secret)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    assert buffer.getvalue().count(SECRET) >= 2, "the photo tells nothing"
    return buffer.getvalue()
