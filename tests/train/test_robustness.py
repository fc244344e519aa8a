from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg import Segmenter
from petseg.pairs import Pair, read_pairs
from petseg.perturbations import PERTURBATIONS
from train.robustness import measure, plot


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """A red square, which the tiny model calls a cat, on grey."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    truth = np.zeros((80, 80), np.uint8)
    truth[20:60, 20:60] = 1
    photo = np.full((80, 80, 3), 128, np.uint8)
    photo[truth == 1] = (250, 20, 20)
    Image.fromarray(photo).save(tmp_path / "images" / "a.png")
    Image.fromarray(truth).save(tmp_path / "masks" / "a.png")
    return read_pairs(tmp_path)


def test_each_kind_is_measured_at_its_strengths(model_path: Path, pairs: list[Pair], tmp_path: Path) -> None:
    curves = measure(Segmenter(model_path), pairs, [1, 2, 10])
    assert list(curves) == list(PERTURBATIONS)
    for kind, row in curves.items():
        strengths = PERTURBATIONS[kind].strengths
        assert row["strengths"] == [strengths[0], strengths[1], strengths[9]]
        assert len(row["miou"]) == len(row["mean_dice"]) == 3
        assert row["miou"][0] > 0.9, "the clean photo is easy"
        assert row["kept"] == pytest.approx(row["miou"][2] / row["miou"][0])
    # Colours fade away; a black square of 45 pixels covers a part.
    assert curves["contrast_down"]["kept"] < 0.7
    assert curves["occlusion"]["kept"] < 1
    plot({"tiny": curves}, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[0] > 500


def test_levels_must_begin_with_the_clean_photo(model_path: Path, pairs: list[Pair]) -> None:
    with pytest.raises(ValueError, match="begin with 1"):
        measure(Segmenter(model_path), pairs, [2, 10])
