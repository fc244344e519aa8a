"""Figures in files: petseg's mark, and nobody else's file replaced."""

import argparse
import json
from pathlib import Path

import pytest

from petseg.errors import OutputError
from petseg.measure import report_file
from petseg.pixels.saving import is_ours


def parse(*words: object) -> argparse.Namespace:
    return report_file.parse(argparse.ArgumentParser(), [str(word) for word in words])


def test_a_report_is_read_as_it_was_and_is_petsegs(tmp_path: Path) -> None:
    report = {"unet": {"miou": 0.5, "worst": [1, 2]}}
    report_file.write(tmp_path / "report.json", report)
    assert is_ours(tmp_path / "report.json")
    assert report_file.read(tmp_path / "report.json") == report


@pytest.mark.parametrize("document", [{"petseg": {"miou": 0.5}}, {"unet": {}}, [1, 2]])
def test_what_has_no_mark_is_read_whole(tmp_path: Path, document: object) -> None:
    (tmp_path / "report.json").write_text(json.dumps(document))
    assert report_file.read(tmp_path / "report.json") == document


def test_a_command_ends_before_it_works_in_vain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tmp_path / "notes.json"
    notes.write_text('{"mine": true}')
    for path, reason in (
        (notes, "is there and no result of petseg's"),
        (tmp_path, "no regular file"),
    ):
        with pytest.raises(SystemExit) as ended:
            parse("--json", path)
        assert ended.value.code == 2
        assert reason in capsys.readouterr().err
    assert parse("--json", notes, "--force").json == notes
    assert parse("--json", tmp_path / "new.json").json == tmp_path / "new.json"
    assert parse("--json", tmp_path / "new" / "new.json").json
    assert parse().json is None
    report_file.write(notes, {})
    assert parse("--json", notes).json == notes, "now it is petseg's"


def test_files_of_somebody_else_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "roc.png").write_bytes(b"a drawing")
    with pytest.raises(OutputError, match=r"roc\.png"):
        report_file.check_files(tmp_path, ("new.png", "roc.png"), force=False)
    report_file.check_files(tmp_path, ("new.png", "roc.png"), force=True)
    report_file.check_files(tmp_path / "nowhere", ("roc.png",), force=False)
