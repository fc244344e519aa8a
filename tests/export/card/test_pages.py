import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export import card
from export.card import pages, text
from export.card.facts import ROOT, Facts
from export.errors import CardError
from petseg.measure.metrics import Evaluation
from petseg.models.index import File
from petseg.models.manifest import Manifest
from tests.support.tiny_models import manifest

BLOCK = "before\n\n<!-- numbers: {} -->\nold\n<!-- end of numbers -->\n\nafter\n"
CLICKS = {
    "jittered": {"animals": 3, "species": 1.0, "iou": {"1": 0.5, "2": 0.6, "3": 0.7}},
    "box_iou": 0.8,
}


def facts(name: str, **measured: Mapping[str, Any]) -> Facts:
    return Facts(
        name,
        {},
        Manifest.from_document(manifest(), "tiny"),
        {f"{name}.onnx": File(f"{name}.onnx", "ab" * 32, 1_234_567)},
        {},
        {what: dict(report) for what, report in measured.items()},
        (),
    )


@pytest.fixture
def known() -> dict[str, Facts]:
    """A U-Net of which photos without pets and speed were measured, and a promptable model."""
    report = Evaluation().report() | {
        "photos": 10,
        "miou": 0.91254,
        "pet_iou": 0.9,
        "pet_iou_border_as_pet": 0.8,
        "species_confusion": 0.25,
        "photos_without_pets": 1200,
        "false_alarms": 0.0254,
    }
    latency = {of: {"median": ms, "p95": 2 * ms} for of, ms in (("petseg", 12.4), ("peer", 31.0))}
    run = {"photo": "500 x 375", "threads": 2, "latency": latency | {"ratio": 0.4}}
    animals = {"methods": {"prompt": CLICKS | {"by_size": {"over 5 %": CLICKS}}}}
    return {
        "unet": facts("unet", metrics=report, speed=run),
        "prompt": facts("prompt", metrics={"sets": {"single": animals, "multi": animals}}),
    }


def test_headline(known: dict[str, Facts]) -> None:
    said = pages.headline(known)
    assert len(said.splitlines()) == 2 + 5
    for row in (
        "10 test photos | 0.913 |",
        "covers over 1 % | 2.5% of 1,200 |",
        "several | 0.500, 0.500 |",
        "several | 0.800, 0.800 |",
        "its network alone) | 12 ms (31 ms) |",
    ):
        assert row in said


def test_what_was_not_measured_is_said(known: dict[str, Facts]) -> None:
    report = known["unet"].measured["metrics"] | {"photos_without_pets": 0, "false_alarms": float("nan")}
    known["unet"] = replace(known["unet"], measured={"metrics": report})
    assert pages.headline(known).count("not measured") == 2, "false alarms, time"
    del report["photos_without_pets"], report["false_alarms"]  # as older evaluations are
    assert pages.headline(known).count("not measured") == 2
    for table in (pages.int8, pages.damage, pages.speed, pages.parity, pages.zero_shot):
        assert table(known) == "Not measured."


def test_tables_name_the_models(known: dict[str, Facts]) -> None:
    assert (
        "| `unet` | 0.0 M | 1.2 MB | 64 px | 0.913 | 0.900 | 0.800 | 25.0% | 2.5% of 1,200 |"
        in pages.models(known)
    )
    assert "| several, over 5 % of the photo | 3 | 0.500 | 0.600 | 0.700 | 100.0% | 0.800 |" in pages.clicks(
        known
    )
    assert "| `unet` in float32, 500 x 375, 2 threads | 12.4 ms | 24.8 ms |" in pages.speed(known)


def test_figures_without_a_file_say_what_they_were_measured_with(known: dict[str, Facts]) -> None:
    sha256 = known["unet"].manifest.checkpoint_sha256
    assert pages.measured_with(known, "unet", sha256[:12]) == "Measured with the embedded `unet`."
    assert "earlier `unet` (checkpoint 123456789abc)" in pages.measured_with(known, "unet", "123456789abc")


def test_recipes_are_those_of_the_cards(known: dict[str, Facts]) -> None:
    known["unet"] = replace(known["unet"], words={"train": ["train it"]})
    said = pages.recipe(known, "unet")
    assert said.startswith("```bash\ntrain it\npython -m train.evaluate train/checkpoints/unet")
    assert said in text.reproduce("unet", ["train it"], known["unet"].manifest, None)


def test_only_what_is_between_the_marks_changes(known: dict[str, Facts]) -> None:
    page = BLOCK.format("headline") + BLOCK.format("measured-with unet 123456789abc")
    filled = pages.fill(page, known)
    assert "old" not in filled
    assert filled.count("before\n\n<!-- numbers: ") == filled.count("<!-- end of numbers -->\n\nafter\n") == 2
    assert pages.fill(filled, known) == filled


@pytest.mark.parametrize("asked", ["headlines", "measured-with nobody 12"])
def test_wrong_marks(known: dict[str, Facts], asked: str) -> None:
    with pytest.raises(CardError, match=r"headlines|nobody"):
        pages.fill(BLOCK.format(asked), known)


def test_stale_pages_are_found_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "petseg/weights").mkdir(parents=True)
    (tmp_path / "petseg/weights/index.json").write_text(json.dumps({"models": {}, "default": None}))
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "page.md"
    page.write_text(BLOCK.format("parity"))
    (tmp_path / "docs" / "other.md").write_text("no numbers")
    assert card.main(["--check", "--root", str(tmp_path)]) == 1
    assert f"{page} shows other numbers" in capsys.readouterr().err
    assert card.main(["--root", str(tmp_path)]) == 0
    assert "Not measured." in page.read_text()
    assert card.main(["--check", "--root", str(tmp_path)]) == 0
    page.write_text(BLOCK.format("nothing-known"))
    assert card.main(["--check", "--root", str(tmp_path)]) == 1
    assert "there is no table 'nothing-known'" in capsys.readouterr().err


def test_the_pages_of_this_repository_are_fresh() -> None:
    assert pages.check(ROOT) == []
