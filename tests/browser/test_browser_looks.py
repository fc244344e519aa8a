"""Phones, keyboards, screen readers, and both themes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from benchmarks.visitor import Visitor

pytestmark = pytest.mark.browser

CONTROLS = {"button", "textbox", "slider", "spinbutton", "radio", "combobox", "checkbox", "link", "tab"}
"""Roles of what a visitor can use."""

_FAINT = """() => {
  const parse = (text) => {
    const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a === undefined ? 1 : a];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") return null;
      layers.push(parse(style.backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || element.closest("script, style, svg")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element), below = ground(element);
    if (!below || !element.getClientRects().length) continue;
    const colour = over(parse(style.color), below);
    const [dark, bright] = [light(colour), light(below)].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)} ${text.slice(0, 50)}`);
  }
  return [...new Set(faint)];
}"""
"""Texts whose contrast is less than WCAG 2.2 asks for (1.4.3); those on pictures are left out."""


def used(visitor: Visitor, photo: Path) -> Iterator[str]:
    """The page in all its states, one after the other; yields their names."""
    yield "empty"
    visitor.upload(photo)
    visitor.click(0.25, 0.5)
    visitor.page.click("#typed-click > button")
    visitor.page.click("#code > button")
    expect(visitor.page.locator("#code-client code")).to_be_visible()
    with visitor.new_picture():
        visitor.choose("#model", "tiny")
    yield "Segment"
    visitor.tab("Robustness")
    visitor.page.locator("#robustness-pair img").last.wait_for()
    visitor.page.click("#robustness-advanced > button")
    visitor.page.click("#sweep")
    expect(visitor.page.locator("#sweep-curves .curves svg")).to_have_count(2)
    yield "Robustness"
    visitor.tab("Compare")
    expect(visitor.page.locator("#compare-tiny-prompt")).to_contain_text("Outline")
    yield "Compare"


@pytest.mark.parametrize("width", [390, 320])
def test_phones_scroll_in_one_direction(arrive: Callable[..., Visitor], two_pets: Path, width: int) -> None:
    visitor = arrive(viewport={"width": width, "height": 844}, has_touch=True, is_mobile=True)
    wide = {}
    for state in used(visitor, two_pets):
        # A phone zooms out while something too wide is still on its way to its place.
        visitor.page.wait_for_function("(width) => innerWidth === width", arg=width)
        wide[state] = visitor.page.evaluate("document.scrollingElement.scrollWidth")
    assert max(wide.values()) <= width, wide


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_are_readable(arrive: Callable[..., Visitor], two_pets: Path, theme: str) -> None:
    visitor = arrive(query=f"?__theme={theme}")
    ground = visitor.page.locator("gradio-app").evaluate("(app) => getComputedStyle(app).backgroundColor")
    assert (int(ground.split("(")[1].split(",")[0]) < 128) == (theme == "dark")
    faint = {state: visitor.page.evaluate(_FAINT) for state in used(visitor, two_pets)}
    assert not any(faint.values()), faint


def test_everything_has_a_name(visitor: Visitor, two_pets: Path) -> None:
    """As Chromium tells it to screen readers."""
    session = visitor.context.new_cdp_session(visitor.page)
    for domain in ("Accessibility", "DOM"):
        session.send(f"{domain}.enable")

    def outline(node: dict[str, Any]) -> str:
        return str(session.send("DOM.getOuterHTML", {"backendNodeId": node["backendDOMNodeId"]})["outerHTML"])

    nameless, roles = [], set()
    for state in used(visitor, two_pets):
        for node in session.send("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value")
            question = role in ("group", "radiogroup") and outline(node).startswith("<fieldset")
            if node.get("ignored") or not (role in CONTROLS or question):
                continue
            roles.add(role)
            if not node.get("name", {}).get("value", "").strip():
                nameless.append(f"{state}: {role} {outline(node)[:80]}")
    assert {"button", "slider", "spinbutton", "radio", "tab"} <= roles
    assert nameless == []


def tab_to(visitor: Visitor, selector: str, most: int = 80) -> None:
    """Press Tab until what is focused is that, or is inside of it."""
    for _ in range(most):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate("(wanted) => Boolean(document.activeElement.closest(wanted))", selector):
            return
    pytest.fail(f"{selector} is not reached by {most} presses of Tab")


def test_a_keyboard_is_enough(visitor: Visitor, two_pets: Path) -> None:
    press = visitor.page.keyboard.press
    with visitor.page.expect_file_chooser() as chooser:
        tab_to(visitor, "#photo button")
        press("Enter")
    with visitor.new_picture():
        chooser.value.set_files(two_pets)
    everything = visitor.picture()

    visitor.page.evaluate("document.activeElement.blur()")
    mode = visitor.page.locator("#click-mode")
    tab_to(visitor, "#click-mode")
    press("ArrowRight")
    expect(mode.get_by_label("Not pet")).to_be_checked()
    press("ArrowLeft")
    expect(mode.get_by_label("Pet", exact=True)).to_be_checked()
    tab_to(visitor, "#typed-click > button")
    press("Enter")
    visitor.page.wait_for_timeout(500)
    for field, value in (("#click-x", "1400"), ("#click-y", "600")):
        tab_to(visitor, field)
        visitor.page.keyboard.press("Control+A")
        visitor.page.keyboard.type(value)
    with visitor.new_picture():
        tab_to(visitor, "#add-click")
        press("Enter")
    expect(visitor.page.locator("#legend .found strong")).to_have_text("Dog")
    for selector in ("#model", "#view", "#opacity", "#threshold", "#download-mask", "#download-json"):
        tab_to(visitor, selector)
    with visitor.new_picture():
        for _ in range(80):
            press("Shift+Tab")
            if visitor.page.evaluate("document.activeElement.id") == "undo":
                break
        press("Enter")
    assert (visitor.picture() == everything).all()

    visitor.page.get_by_role("tab", name="Segment").focus()
    tab_to(visitor, "#tab-robustness-button")
    press("Enter")
    tab_to(visitor, "#damage-level input[type=range]")
    press("ArrowRight")
    expect(visitor.page.locator("#robustness-said .verdict")).to_contain_text("at level 7 of 10")
