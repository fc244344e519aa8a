"""Many visitors at once: each gets the masks of its own photos, and hears of nobody else's."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

pytest.importorskip("httpx", reason='visitors speak HTTP: pip install "petseg[app]"')

from benchmarks.crowd import ROOT, Guest, Mask, by_petseg, crowd
from export.space.trial import running
from petseg import Segmenter
from petseg.app import launch
from petseg.app.page import Limits


def check(report: dict[str, Any]) -> None:
    assert report["faults"] == []
    assert report["shared"] == []
    assert report["fewest"] >= 1, "everybody was served in the end"
    assert set(report["statuses"]) <= {200, 503}, "503 is the declared busy; all else is among the faults"
    assert report["statuses"].get(503, 0) == report["busy"]


@pytest.fixture
def page(
    segmenters: dict[str, Segmenter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_catalogue: None
) -> Iterator[gr.Blocks]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    page = launch(segmenters, host="127.0.0.1", block=False, limits=Limits(waiting=2))
    yield page
    page.close()


def test_a_few_at_once(page: gr.Blocks, segmenters: dict[str, Segmenter], tmp_path: Path) -> None:
    def answers(photo: Path, click: tuple[int, int] | None) -> Mask:
        return segmenters["tiny-prompt" if click else "tiny"].segment(photo, click).mask

    report = crowd(page.local_url, tmp_path, visitors=4, seconds=0, answers=answers)
    check(report)
    assert report["visits"] == 4


def test_what_is_wrong_is_noticed(page: gr.Blocks, tmp_path: Path) -> None:
    def wrong(photo: Path, click: tuple[int, int] | None) -> Mask:
        return np.full((1, 1), 7, np.uint8)

    report = crowd(page.local_url, tmp_path, visitors=2, seconds=0, answers=wrong)
    assert {fault.partition(":")[2] for fault in report["faults"]} == {" not the mask of this photo"}

    guest = Guest(page.local_url, (), ["of-another.jpg"])
    guest.note(200, f"/tmp/{'a' * 64}/of-another.jpg")
    assert guest.faults == ["was told of of-another.jpg"]
    assert guest.told == {"a" * 64}
    assert guest.ask("GET", f"{guest.url}nowhere").status_code == 404


@pytest.mark.slow
def test_fifty_for_five_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(Path(sys.executable), ROOT, tmp_path) as url:
        report = crowd(url, tmp_path, visitors=50, seconds=300, answers=by_petseg)
    with capsys.disabled():
        print(f"\n{json.dumps(report)}")
    check(report)
