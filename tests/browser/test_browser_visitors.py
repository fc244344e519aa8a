"""Two visitors at once, who must not see each other's photos."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from benchmarks.visitor import Visitor

pytestmark = pytest.mark.browser

SERVED = re.compile(r"/gradio_api/file=(.+)/([0-9a-f]{32,64})/([^/?]+)")
"""Address of a file: where it lies, what nobody can guess, its name."""


@pytest.fixture
def mirrored(two_pets: Path) -> Path:
    """The photo from the right to the left."""
    path = two_pets.with_name("mirrored.png")
    with Image.open(two_pets) as image:
        Image.fromarray(np.asarray(image)[:, ::-1]).save(path)
    return path


def files_of(visitor: Visitor) -> dict[str, str]:
    """What was served to a visitor: hash -> address."""
    return {found[2]: url for url in visitor.requested if (found := SERVED.search(url))}


def nearly(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    return bool(np.abs(one.astype(int) - other).mean() < 3)


def test_two_visitors_see_their_own_photos(
    arrive: Callable[..., Visitor], two_pets: Path, mirrored: Path
) -> None:
    one, other = arrive(), arrive()
    nobody = set(files_of(one)) & set(files_of(other))
    for visitor, photo in ((one, two_pets), (other, mirrored)):
        visitor.give(photo)
    for visitor in (one, other):
        expect(visitor.page.locator("#facts")).to_contain_text("2000 x 1200 pixels")
        visitor.settle()
    one_saw, other_saw = one.picture(), other.picture()
    assert nearly(one_saw, other_saw[:, ::-1])
    assert not nearly(one_saw, other_saw)

    one.click(0.7, 0.5)
    np.testing.assert_array_equal(other.picture(), other_saw)
    expect(other.page.locator("#badge")).to_have_text("1 cat and 1 dog")
    other.tab("Compare")
    expect(other.page.locator("#compare-tiny")).to_contain_text("ms")
    compared = other.picture("#compare-tiny img").astype(int)
    cat = compared[compared.shape[0] // 2, compared.shape[1] * 3 // 4]
    assert cat[0] > cat[2], "the red cat of the mirrored photo"

    with other.page.expect_download() as started:
        other.tab("Segment")
        other.open("developers")
        other.page.click("#save-mask")
    assert started.value.suggested_filename == "mirrored.mask.png"
    shared = set(files_of(one)) & set(files_of(other))
    assert shared == nobody, "no file but the examples was served to both"
    for visitor, stranger in ((one, other), (other, one)):
        text = visitor.page.content()
        assert not [secret for secret in set(files_of(stranger)) - nobody if secret in text]


def test_files_of_others_cannot_be_listed_or_guessed(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    """Who knows an address of a file gets it; so an address must hold what nobody else knows."""
    one, other = arrive(), arrive()
    examples = set(files_of(one))
    one.upload(two_pets)
    with one.page.expect_download():
        one.page.click("#save")
    secret, address = next((key, url) for key, url in files_of(one).items() if key not in examples)
    found = SERVED.search(address)
    assert found is not None
    root, name = found[1], found[3]
    assert one.context.request.get(address).ok
    prefix = f"{other.url}gradio_api/file="
    for guess in (
        root,
        f"{root}/",
        f"{root}/{secret}",
        f"{root}/{secret}/",
        f"{root}/{'0' * 64}/{name}",
        f"{root}/{secret[:-1]}/../{secret}/../",
        f"{root}/../../../../../../etc/hostname",
        "/etc/hostname",
        quote("../etc/hostname", safe=""),
        str(two_pets),
        __file__,
    ):
        answer = other.context.request.get(prefix + guess)
        assert answer.status in (403, 404), guess
        assert secret in guess or secret not in answer.text()
    for path in ("gradio_api/info", "config", "gradio_api/queue/status"):
        assert secret not in other.context.request.get(other.url + path).text()


@pytest.mark.parametrize("path", ["/etc/hostname", __file__, "../../../../../../etc/hostname"])
def test_a_file_of_the_server_is_no_photo(visitor: Visitor, path: str) -> None:
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    address = f"{visitor.url}gradio_api/call/segment"
    asked = visitor.context.request.post(address, data={"data": [photo, "", "", "", 0]})
    if asked.ok:
        answer = visitor.context.request.get(f"{address}/{asked.json()['event_id']}").text()
        assert "event: error" in answer
        assert "event: complete" not in answer
