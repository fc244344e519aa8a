"""Simulated clicks: from the report into the manifest and the card."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.card.click_figures import FIGURES, click_figures
from export.card.measured import clicks
from export.graph.describe import read_metrics

NOC = {"85": 1.5, "90": 2.25}


def way(first: float) -> dict[str, Any]:
    iou = {"1": first, "2": 0.8, "3": 0.85, "5": 0.9}
    return {"animals": 12, "species": 0.75, "iou": iou, "noc": NOC, "never": {"85": 0.1, "90": 0.2}}


def method(first: float, box: float) -> dict[str, Any]:
    return {"limit": 20, "exact": way(first + 0.1), "jittered": way(first), "box_iou": box}


REPORT: dict[str, Any] = {
    "definitions": {
        "single": "photos of one",
        "multi": "photos of several",
        "noc": "clicks until",
        "nothing": "one click",
    },
    "seed": 3,
    "max_clicks": 20,
    "sets": {
        "single": {"methods": {"mine": method(0.7, 0.95), "peer": method(0.1, 0.2)}},
        "multi": {"methods": {"mine": method(0.5, 0.65) | {"by_size": {"tiny": method(0.3, 0.4)}}}},
    },
}


def test_headlines_are_jittered_and_of_the_first_model(tmp_path: Path) -> None:
    expected = {
        "click_iou": 0.7,
        "click_species": 0.75,
        "box_iou": 0.95,
        "multi_click_iou": 0.5,
        "multi_click_iou_3": 0.85,
        "multi_box_iou": 0.65,
    }
    assert click_figures(REPORT) == expected
    assert set(expected) == set(FIGURES)
    (tmp_path / "metrics.json").write_text(json.dumps({"prompt": REPORT}))
    assert read_metrics(tmp_path / "metrics.json", Path("anything")) == expected


def test_clicks_on_nothing_stand_beside_the_quality() -> None:
    found = {"photos": 3, "found": 0.25, "large": 0.125, "clear": 2, "clear_found": 0.0}
    figures = click_figures(REPORT | {"nothing": {"beside pets": found}})
    assert figures == click_figures(REPORT) | {"click_alarms": 0.25}
    both = {"beside pets": found, "without pets": found | {"found": 0.5}}
    assert click_figures(REPORT | {"nothing": both})["empty_click_alarms"] == 0.5
    assert "| without pets | 3 | 50.0% | 12.5% | 2 | 0.0% |" in clicks(REPORT | {"nothing": both})
    none_clear = {"beside pets": found | {"clear": 0, "clear_found": None}}
    assert "| beside pets | 3 | 25.0% | 12.5% | 0 | - |" in clicks(REPORT | {"nothing": none_clear})


def test_a_report_that_lacks_a_set() -> None:
    with pytest.raises(ValueError, match="nothing of multi_click_iou; make it again"):
        click_figures(REPORT | {"sets": {"single": REPORT["sets"]["single"]}})


def test_the_card_tells_of_each_set_and_size() -> None:
    said = clicks(REPORT)
    assert "| all of single | jittered | 12 | 0.7000 | 0.8000 | 0.8500 | 0.9000 | 1.5000 | 2.2500 |" in said
    assert "| tiny | exact | 12 | 0.4000 |" in said
    assert "- noc: clicks until" in said
    assert "seed 3" in said
