"""The scripts in benchmarks/ measure what they say; how fast anything is, is not for tests."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import folder, refine
from tests.support.tiny_models import PROMPTABLE, save_parts


def test_a_folder_is_filled_with_drawn_or_given_photos(tmp_path: Path) -> None:
    for data, kinds in ((None, {".jpg"}), (tmp_path / "data", {".jpg", ".png"})):
        root = tmp_path / str(data is None)
        root.mkdir()
        (tmp_path / "data").mkdir(exist_ok=True)
        for name in ("a.png", "b.jpg", "notes.txt"):
            Image.new("RGB", (9, 9)).save(tmp_path / "data" / name, "PNG")
        folder.fill(root / "photos", 5, data)
        found = sorted((root / "photos").iterdir())
        assert len(found) == folder.tally(root / "photos") == 5
        assert {path.suffix for path in found} == kinds
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no photos"):
        folder.fill(tmp_path / "none" / "photos", 5, tmp_path / "none")


@pytest.mark.slow
def test_everything_about_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "LARGE", (1600, 1200))
    options = argparse.Namespace(photos=3, data=None, threads=1, workers=2, rounds=1)
    report = folder.measure(options, tmp_path)
    assert report["folder"]["photos"] == 3
    assert len(list((tmp_path / "masks").iterdir())) == 3
    mask = np.asarray(Image.open(tmp_path / "large" / "large.mask.png"))
    assert mask.shape == (1200, 1600)
    assert mask.any()
    lines = folder.table(report | {"machine": "here"})
    assert "3 photos" in lines
    assert lines.endswith("here")


@pytest.mark.parametrize(("large", "size"), [(True, (451, 300)), (False, (1353, 900))])
def test_two_clicks_on_photos_that_nobody_saw_before(large: bool, size: tuple[int, int]) -> None:
    drawn = list(refine.photos(large, 2))
    assert not np.array_equal(drawn[0][0], drawn[1][0])
    for photo, clicks in drawn:
        assert photo.shape[1::-1] == size
        assert ((clicks > 0) & (clicks < size)).all()


def test_the_cost_of_a_second_click(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_parts(tmp_path / "tiny", PROMPTABLE)
    words = ["refine", str(model), "--rounds", "2", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr("sys.argv", words)
    assert refine.main() == 0
    assert capsys.readouterr().out.count("aim 0.33") == 2
    report = json.loads((tmp_path / "out.json").read_text())
    for name in ("large", "small"):
        found = report[name]
        assert found["ratio"] == found["second"]["median"] / found["first"]["median"] > 0
    monkeypatch.setattr("sys.argv", ["refine", "unet"])
    assert refine.main() == 1
    assert "takes no point" in capsys.readouterr().err
