"""What the page says of files that are no photos."""

from pathlib import Path

import gradio as gr
import pytest

from petseg import ImageError
from petseg.app import refused, state
from petseg.app.parts import guarded


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7\n<script>", "a PDF"),
        (b"PK\x03\x04\0\0", "a ZIP archive"),
        (b"\0\0\0\x20ftypisom\0\0", "a video"),
        (b"<!DOCTYPE html><img src=x onerror=alert(1)>", "a web page"),
        (b'<?xml version="1.0"?><svg onload="alert(1)"/>', "an SVG drawing"),
        ("miau, größer".encode(), "a text"),
        (bytes(range(1, 250)), "a file of another kind"),
    ],
)
def test_a_wrong_file_is_named_and_its_bytes_are_not_repeated(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        state.read(path)
    assert str(caught.value).startswith(f"“cat.jpg” is {kind}")
    assert str(caught.value).endswith(refused.WORKS)
    assert "alert" not in str(caught.value)
    assert "<" not in str(caught.value)


def test_a_photo_of_an_iphone_is_named() -> None:
    said = refused.explain("IMG_1.HEIC", b"\0\0\0\x24ftypheic\0\0\0\0mif1heic")
    assert said.startswith("“IMG_1.HEIC” is an iPhone HEIC photo")
    assert "JPEG" in said


def test_a_name_does_not_become_html() -> None:
    def ask() -> None:
        raise ImageError("<img src=x onerror=alert(1)>.jpg is wrong")

    with pytest.raises(gr.Error) as caught:
        guarded(ask)()
    assert caught.value.message == "&lt;img src=x onerror=alert(1)&gt;.jpg is wrong."
