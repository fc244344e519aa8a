"""A page that is full, and what is left of a visit."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from benchmarks.visitor import Visitor

pytestmark = pytest.mark.browser

_QUICK = """(places) => {
  document.querySelector("#tools input[value=pet]").click();
  const canvas = document.querySelector("#result canvas"), box = canvas.getBoundingClientRect();
  const began = performance.now();
  for (const [x, y] of places) {
    for (const kind of ["pointerdown", "pointerup"]) {
      const [clientX, clientY] = [box.left + x * box.width, box.top + y * box.height];
      canvas.dispatchEvent(new PointerEvent(kind, {bubbles: true, isPrimary: true, clientX, clientY}));
    }
  }
  window.took = performance.now() - began;
}"""
KEPT = 6
"""Seconds."""


def test_a_full_page_says_that_it_is_busy(
    tiny_pages: Callable[..., tuple[str, Path]], arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    """Two are answered at a time and one may wait; the fourth is told, and served when it comes back."""
    url, _ = tiny_pages(delay=6, limits="waiting=1")
    visitors = [arrive(url) for _ in range(4)]
    for visitor in visitors:
        visitor.give(two_pets)
        visitor.page.wait_for_timeout(300)
    last = visitors[-1]
    expect(last.page.locator(".alarm")).to_contain_text("busy")
    for visitor in visitors[:3]:
        expect(visitor.page.locator("#badge")).to_have_text("1 cat and 1 dog")
    last.upload(two_pets)
    expect(last.page.locator("#badge")).to_have_text("1 cat and 1 dog")


def test_every_click_counts_however_quick(
    tiny_pages: Callable[..., tuple[str, Path]], arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    """Four clicks in less than 0.4 s, Pet then Not pet, three quick Undos, with 0.7 s of latency."""
    url, _ = tiny_pages(delay=0.7)
    visitor = arrive(url)
    visitor.upload(two_pets)
    visitor.page.evaluate(_QUICK, [[0.2, 0.4], [0.22, 0.42], [0.24, 0.44], [0.26, 0.46]])
    expect(visitor.page.locator(".line")).to_be_visible()
    assert visitor.page.evaluate("window.took") < 400
    steps = "JSON.parse(sessionStorage.getItem('petseg-photo')).steps.filter((step) => !step.seed)"
    visitor.settle()
    assert visitor.page.evaluate(f"{steps}.map((step) => step.kind)") == ["pet"] * 4
    expect(visitor.page.locator(".line")).to_be_hidden()
    visitor.page.evaluate("() => { for (let i = 0; i < 3; i++) document.getElementById('undo').click(); }")
    visitor.choose("#tools", "Not pet")
    visitor.click(0.3, 0.5)
    assert visitor.page.evaluate(f"{steps}.map((step) => step.kind)") == ["pet", "not pet"]


def test_the_first_tap_on_one_of_many_pets_is_prepared_while_it_is_aimed(
    tiny_pages: Callable[..., tuple[str, Path]], arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    """What asks about all of them takes 2 s there; a further tap asks about one."""
    url, _ = tiny_pages(delay=2)
    visitor = arrive(url)
    visitor.upload(two_pets)
    visitor.choose("#tools", "Not pet")
    visitor.page.wait_for_timeout(3500)
    visitor.click(0.7, 0.5)
    facts = str(visitor.page.locator("#facts").text_content())
    assert "tiny-prompt · " in facts
    assert int(facts.split(" · ")[1].removesuffix(" ms")) < 1500, facts


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
        visitor.page.click("#save")
    left |= {path.name for path in files(folder)}
    assert {"two pets.png", "two pets.sticker.png"} <= left
    for _ in range(10 * KEPT):
        if not files(folder):
            break
        visitor.page.wait_for_timeout(500)
    assert files(folder) == []
    visitor.page.click("#save")
    expect(visitor.page.locator(".alarm")).to_contain_text("choose it again")
    visitor.upload(two_pets)
    expect(visitor.page.locator("#badge")).to_have_text("1 cat and 1 dog")
