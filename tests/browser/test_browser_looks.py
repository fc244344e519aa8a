"""Phones, keyboards, screen readers, and both themes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from benchmarks.visitor import Visitor
from petseg.app.theme import RADIUS
from tests.browser.seen import DOG, states, uncovered

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


_SMALL = """() => [...document.querySelectorAll("#stage button, #stage label, #stage summary")]
  .filter((one) => one.checkVisibility() && !one.matches(".slider, .numbers label"))
  .map((one) => [one.textContent.trim() || one.title || one.className, one.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 44 || box.height < 44))
  .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
"""What is smaller than a finger."""


_CORNERS = """() => [...document.querySelectorAll(".gradio-container *")]
  .filter((one) => one.checkVisibility({ opacityProperty: true }) && one.getClientRects().length)
  .map((one) => [one, getComputedStyle(one)])
  .filter(([one, style]) => one.matches("img, canvas") || style.borderTopWidth !== "0px" ||
    style.backgroundColor !== "rgba(0, 0, 0, 0)")
  .map(([one, style]) => [style.borderTopLeftRadius, one.outerHTML.slice(0, 90)])
  .filter(([radius]) => radius !== "0px")"""
"""Radii of the corners of what has a ground or a frame, and whose they are."""


@pytest.mark.parametrize("width", [390, 360, 320])
def test_phones_scroll_in_one_direction(arrive: Callable[..., Visitor], two_pets: Path, width: int) -> None:
    visitor = arrive(viewport={"width": width, "height": 844}, has_touch=True, is_mobile=True)
    wide = {}
    for state in states(visitor, two_pets):
        # A phone zooms out while something too wide is still on its way to its place.
        visitor.page.wait_for_function("(width) => innerWidth === width", arg=width)
        wide[state] = visitor.page.evaluate("document.scrollingElement.scrollWidth")
    assert max(wide.values()) <= width, wide


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_are_readable(arrive: Callable[..., Visitor], two_pets: Path, theme: str) -> None:
    visitor = arrive(query=f"?__theme={theme}")
    ground = visitor.page.locator("gradio-app").evaluate("(app) => getComputedStyle(app).backgroundColor")
    assert (int(ground.split("(")[1].split(",")[0]) < 128) == (theme == "dark")
    faint = {state: visitor.page.evaluate(_FAINT) for state in states(visitor, two_pets)}
    assert not any(faint.values()), faint


def test_there_is_one_radius(visitor: Visitor, two_pets: Path) -> None:
    others = {
        state: [
            (radius, whose)
            for radius, whose in visitor.page.evaluate(_CORNERS)
            if radius not in (RADIUS, "50%", "10px") and 'type="range"' not in whose
        ]
        for state in states(visitor, two_pets)
    }
    assert not any(others.values()), others


def test_the_page_is_as_wide_on_each_tab_and_with_each_photo(
    visitor: Visitor, two_pets: Path, folder: Path
) -> None:
    Image.new("RGB", (200, 600), "#808080").save(folder / "tall.png")
    column = visitor.page.locator("#masthead")
    visitor.upload(folder / "tall.png")
    seen = {"a tall photo": column.bounding_box()}
    seen |= {state: column.bounding_box() for state in states(visitor, two_pets)}
    assert len({(box["x"], box["width"]) for box in seen.values() if box}) == 1, seen


def test_everything_has_a_name(visitor: Visitor, two_pets: Path) -> None:
    """As Chromium tells it to screen readers."""
    session = visitor.context.new_cdp_session(visitor.page)
    for domain in ("Accessibility", "DOM"):
        session.send(f"{domain}.enable")

    def outline(node: dict[str, Any]) -> str:
        return str(session.send("DOM.getOuterHTML", {"backendNodeId": node["backendDOMNodeId"]})["outerHTML"])

    nameless, roles = [], set()
    for state in states(visitor, two_pets):
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
        tab_to(visitor, "#photo input")
        press("Enter")
    with visitor.new_picture():
        chooser.value.set_files(two_pets)
    expect(visitor.page.locator("#result canvas")).to_be_focused()
    press("Shift+ArrowRight")  # a cross, on the dog by its third step
    for _ in range(2):
        press("Shift+ArrowRight")
    press("Enter")
    visitor.settle()
    expect(visitor.page.locator("#badge")).to_contain_text("Dog, ")
    expect(visitor.page.locator("#live")).to_have_text("Dog is picked.")
    for selector in (".split", ".full", "#pets", "#save", "#copy", "#cutout", "#tools"):
        tab_to(visitor, selector)
    tools = visitor.page.locator("#tools")
    for name in ("Pet", "Not pet"):
        press("ArrowRight")
        expect(tools.get_by_label(name, exact=True)).to_be_checked()
    visitor.page.locator("#result canvas").focus()
    press("ArrowRight")
    with visitor.new_picture():
        press("Enter")
    for selector in ("#undo", "#view", "#background", "#advanced > summary"):
        tab_to(visitor, selector)
    press("Enter")
    for selector in ("#level", "#opacity", "#model", "#tap-x", "#tap"):
        tab_to(visitor, selector)

    visitor.page.get_by_role("tab", name="Segment").focus()
    tab_to(visitor, "#tab-robustness-button")
    press("Enter")
    tab_to(visitor, "#damage-level input[type=range]")
    press("ArrowRight")
    expect(visitor.page.locator("#robustness-said .verdict")).to_contain_text("at level 7 of 10")


_ABOVE_THE_BAR = """(tool) => {
  const box = document.querySelector(tool).getBoundingClientRect();
  return box.height && box.bottom <= document.querySelector(".bar").getBoundingClientRect().top;
}"""


def phone(arrive: Callable[..., Visitor], width: int = 360) -> Visitor:
    return arrive(viewport={"width": width, "height": 740}, has_touch=True, is_mobile=True)


def test_on_a_phone_picture_and_tools_stay_in_sight(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    visitor = phone(arrive)
    choose = visitor.page.locator("#photo").bounding_box()
    assert choose is not None
    assert choose["height"] >= 44
    visitor.upload(two_pets)
    expect(visitor.page.locator("#examples")).to_be_hidden()
    visitor.page.locator("#advanced > summary").tap()
    visitor.page.mouse.wheel(0, 900)
    visitor.page.wait_for_function("scrollY > 150")
    for selector in ("#result canvas", "#save", ".bar"):
        box = visitor.page.locator(selector).bounding_box()
        assert box is not None
        assert box["y"] >= 0, selector
        assert box["y"] + box["height"] <= 741, selector
    small = visitor.page.evaluate(_SMALL)
    assert small == []


def test_on_a_phone_each_part_of_the_bar_brings_its_tools_into_sight(
    arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    visitor = phone(arrive)
    page = visitor.page
    visitor.upload(two_pets)
    for name, tool in (
        ("Background", "#ground-file"),
        ("View", "#view input[value=mask]"),
        ("Save", "#cutout"),
        ("Mark", "#tools input[value=box]"),
    ):
        page.locator(".bar button", has_text=name).tap()
        page.wait_for_function(_ABOVE_THE_BAR, arg=tool)
        assert uncovered(page.locator(tool)), f"{name}: something covers {tool}"
    visitor.click(*DOG)
    picked = page.locator(".chip[aria-pressed=true]", has_text="Dog")
    expect(picked, "it is seen in the row").to_be_in_viewport(ratio=0.98)  # rows scroll by whole pixels
