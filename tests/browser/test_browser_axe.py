"""axe-core finds nothing wrong on any tab: https://github.com/dequelabs/axe-core."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.visitor import Visitor
from tests.browser.seen import states

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

pytestmark = pytest.mark.browser


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
