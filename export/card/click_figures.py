"""Headline figures of a promptable model, out of what `python -m train.evaluate --clicks --json` wrote."""

from collections.abc import Mapping
from typing import Any

FIGURES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "click_iou": ("single", ("jittered", "iou", "1"), "photos of one animal: IoU after one jittered click"),
    "click_species": (
        "single",
        ("jittered", "species"),
        "photos of one animal: share with the right species",
    ),
    "box_iou": ("single", ("box_iou",), "photos of one animal: IoU from a tight box"),
    "multi_click_iou": ("multi", ("jittered", "iou", "1"), "photos of several: IoU after one jittered click"),
    "multi_click_iou_3": ("multi", ("jittered", "iou", "3"), "photos of several: IoU after three of them"),
    "multi_box_iou": ("multi", ("box_iou",), "photos of several: IoU from a tight box"),
}
"""Name -> (set of animals, where it stands in what is said of the model there, what it is)."""
ALARMS: dict[str, tuple[str, str]] = {
    "click_alarms": ("beside pets", "photos of one animal: share of clicks beside it that find a pet"),
    "empty_click_alarms": ("without pets", "photos without pets: share of clicks that find one"),
}
"""Name -> (which photos, what it is), of clicks on nothing; photos without pets may be left out."""


def is_simulation(report: Mapping[str, Any]) -> bool:
    """Whether a report is of simulated clicks, rather than of whole photos."""
    return "sets" in report


def click_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Name -> value of every one of `FIGURES`, of the first model in the report.

    Raises:
        ValueError: the report lacks one of them.
    """
    figures = {}
    for name, (animals, path, _) in FIGURES.items():
        try:
            value: Any = next(iter(report["sets"][animals]["methods"].values()))
            for key in path:
                value = value[key]
            figures[name] = float(value)
        except (KeyError, StopIteration, TypeError) as error:
            raise ValueError(
                f"the simulation says nothing of {name}; make it again: python -m train.evaluate --clicks"
            ) from error
    nothing = report.get("nothing", {})
    alarms = {name: nothing[key]["found"] for name, (key, _) in ALARMS.items() if key in nothing}
    return figures | alarms
