"""Every command that measures leaves other people's files alone."""

import importlib
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "train.evaluate": ["unet"],
    "train.robustness": ["unet"],
    "train.oracle": ["checkpoint"],
    "train.study": ["E"],
    "train.zeroshot": ["checkpoint"],
    "export.verify": ["checkpoint", "model.onnx"],
    "export.quantize": ["checkpoint"],
    "benchmarks.app": [],
    "benchmarks.clicks": ["prompt"],
    "benchmarks.edges": [],
    "benchmarks.folder": [],
    "benchmarks.gpu": [],
    "benchmarks.large": [],
    "benchmarks.peer": [],
    "benchmarks.pets": ["--data", "photos"],
    "benchmarks.refine": [],
    "benchmarks.speed": [],
    "benchmarks.web": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_petseg_did_not_write_stays(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes.json"
    notes.write_text("mine")
    monkeypatch.setattr(sys, "argv", [command, *COMMANDS[command], "--json", str(notes)])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(command).main()
    assert ended.value.code == 2
    assert "no result of petseg's; give another name, or --force" in " ".join(capsys.readouterr().err.split())
    assert notes.read_text() == "mine"


def test_all_of_them_are_tried() -> None:
    root = Path(__file__).parents[2]
    found = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for room in ("train", "export", "benchmarks")
        for path in (root / room).rglob("*.py")
        if "report_file.parse(" in path.read_text(encoding="utf-8")
    }
    assert found == COMMANDS.keys()
