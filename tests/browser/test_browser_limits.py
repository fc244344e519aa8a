"""A page that is full, and what is left of a visit."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from benchmarks.visitor import Visitor

pytestmark = pytest.mark.browser

TOAST = "[data-testid=toast-body]"
KEPT = 6
"""Seconds."""


def test_a_full_page_says_that_it_is_busy(
    tiny_pages: Callable[..., tuple[str, Path]], arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    """Two are answered at a time and one may wait; the fourth is told, and served when it comes back."""
    url, _ = tiny_pages(delay=3, limits="waiting=1")
    visitors = [arrive(url) for _ in range(4)]
    for visitor in visitors:
        visitor.give(two_pets)
        visitor.page.wait_for_timeout(300)
    last = visitors[-1]
    expect(last.page.locator(TOAST)).to_contain_text("busy")
    for visitor in visitors[:3]:
        expect(visitor.page.locator("#legend .found strong")).to_have_text("Cat")
    last.upload(two_pets)
    expect(last.page.locator("#legend .found strong")).to_have_text("Cat")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_a_visitor_leaves_is_deleted(
    tiny_pages: Callable[..., tuple[str, Path]], arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    url, folder = tiny_pages(limits=f"kept={KEPT}")
    visitor = arrive(url)
    visitor.upload(two_pets)
    left = {path.name for path in files(folder)}
    with visitor.page.expect_download():
        visitor.page.click("#download-mask")
    left |= {path.name for path in files(folder)}
    assert {"two pets.png", "two pets.mask.png"} <= left
    for _ in range(10 * KEPT):
        if not files(folder):
            break
        visitor.page.wait_for_timeout(500)
    assert files(folder) == []
    visitor.page.click("#download-mask")
    expect(visitor.page.locator(TOAST)).to_contain_text("choose a photo first")
    visitor.page.click("#new-photo")
    expect(visitor.page.locator("#drop-area")).to_be_visible()
    visitor.upload(two_pets)
    expect(visitor.page.locator("#legend .found strong")).to_have_text("Cat")
