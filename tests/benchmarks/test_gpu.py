"""The program for a card runs on the CPU too, and refuses without a card."""

from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from petseg.measure import report_file


def test_all_of_it_runs_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gpu", "--device", "cpu", "--quick", "--models", "autoencoder", "prompt"]
    monkeypatch.setattr("sys.argv", [*words, "--json", str(tmp_path / "gpu.json")])
    assert gpu.main() == 0
    said, report = capsys.readouterr().out, report_file.read(tmp_path / "gpu.json")
    assert report["quick"] is True
    assert set(report["models"]) == {"autoencoder", "prompt"}
    assert set(report["ceilings"]) == {"copy_bytes", "matrix_float32", "matrix_float16"}
    for found in report["models"].values():
        assert found["photos"] == 10
        assert found["operations"] > 1e8
        assert found["float32"]["equal"] == 1, "the CPU answers as the CPU does"
        assert found["float32"]["largest_difference"] == 0
        assert 0.9 < found["float16"]["equal"] <= 1
        for row in (found["float32"], found["float16"]):
            assert set(row["photos_per_second"]) == {"1", "2"}
            assert min(row["photos_per_second"].values()) > 0
            assert row["of_ceiling"] > 0
    for precision in ("float32", "bfloat16"):
        assert report["training"][precision]["steps_per_second"] > 0
    assert "steps/s in bfloat16" in said


def test_without_a_card_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 1
    assert "finds no CUDA device" in capsys.readouterr().err


def test_another_answer_than_the_cpus_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"equal": 0.99, "photos_per_second": {"1": 1.0}}
    rates = {"steps_per_second": 1.0}
    report = {
        "models": {"unet": {"float32": row, "float16": row}},
        "ceilings": {"copy_bytes": 1.0, "matrix_float32": 1.0, "matrix_float16": 1.0},
        "training": {"model": "unet", "size": 1, "batch": 1, "float32": rates, "bfloat16": rates},
        "card": "a card",
        "seconds": 1.0,
    }
    monkeypatch.setattr(gpu, "measure", lambda *arguments: report)
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu"])
    assert gpu.main() == 1
    assert "other answers than the CPU's: unet" in capsys.readouterr().err
