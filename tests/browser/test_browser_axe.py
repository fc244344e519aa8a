"""axe-core finds nothing wrong on any tab: https://github.com/dequelabs/axe-core."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from benchmarks.visitor import Visitor

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

pytestmark = pytest.mark.browser


def states(visitor: Visitor, photo: Path) -> Iterator[str]:
    """The page, tab by tab, first the example and then a photo; yields what is shown."""
    yield "first"
    visitor.upload(photo)
    yield "Segment"
    parts = visitor.page.locator(".bar button")
    for part in parts.all() if parts.first.is_visible() else ():
        part.click()
        yield f"Segment, {part.inner_text()}"
    visitor.open("advanced")
    visitor.open("developers")
    yield "Segment, all of it"
    visitor.tab("Robustness")
    visitor.page.locator("#robustness-pair img").last.wait_for()
    yield "Robustness"
    visitor.page.click("#robustness-advanced > button")
    visitor.page.click("#sweep")
    expect(visitor.page.locator("#sweep-curves .curves svg")).to_have_count(2)
    yield "Robustness, Advanced"
    visitor.tab("Compare")
    expect(visitor.page.locator("#compare-tiny-prompt")).to_contain_text("Outline")
    yield "Compare"


def violations(visitor: Visitor) -> list[str]:
    """What axe finds: rule, element, and what is wrong with it."""
    found: list[dict[str, Any]] = axe.Axe().run(visitor.page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]} ({node['failureSummary'][:300]})"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(arrive: Callable[..., Visitor], two_pets: Path, theme: str) -> None:
    visitor = arrive(query=f"?__theme={theme}")
    found = {state: violations(visitor) for state in states(visitor, two_pets)}
    assert not any(found.values()), found


def test_axe_finds_nothing_on_a_phone(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    visitor = arrive(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    found = {state: violations(visitor) for state in states(visitor, two_pets)}
    assert not any(found.values()), found
