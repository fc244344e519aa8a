"""Photos of iPhones, which no browser here shows, but the page reads where pillow-heif is installed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from benchmarks.visitor import Visitor

pytestmark = pytest.mark.browser


def test_a_heic_photo_is_answered(visitor: Visitor, two_pets: Path, tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra [heif]")
    path = tmp_path / "IMG_0001.HEIC"
    with Image.open(two_pets) as photo:
        pillow_heif.from_pillow(photo.convert("RGB")).save(path, quality=90)
    assert path.read_bytes()[4:12] == b"ftypheic"
    visitor.upload(path)
    expect(visitor.page.locator("#badge")).to_have_text("1 cat and 1 dog")
    visitor.open("developers")
    with visitor.page.expect_download() as started:
        visitor.page.click("#save-mask")
    assert started.value.suggested_filename == "IMG_0001.mask.png"
    started.value.save_as(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as mask:
        classes = np.asarray(mask)
    assert classes.shape == (1200, 2000)
    assert [classes[600, 500], classes[600, 1400], classes[50, 1000]] == [1, 2, 0]
