from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from petseg.errors import ImageError
from petseg.measure.datasets import read_pairs
from petseg.measure.metrics import Evaluation
from petseg.measure.pair import Pair
from petseg.pixels.classes import BORDER
from tests.support.drawing import ByColour, draw_labels, write_plain
from train.report.comparison import WARM_UP, Result, compare, examples, format_table, worst
from train.report.inference import Model


def colours(name: str = "colours", size: int = 64) -> Model:
    return Model.of_network(name, ByColour(), size)


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Four photos of 40 x 30 pixels, the last column of each border."""
    masks = {f"{'ab'[index % 2]}_{index}": draw_labels(index, 40, 30) for index in range(4)}
    for labels in masks.values():
        labels[:, -1] = BORDER
    return read_pairs(write_plain(tmp_path / "pets", masks))


def test_figures_at_both_sizes(pairs: list[Pair]) -> None:
    (result,) = compare([colours(size=20)], pairs)
    native = Evaluation()
    for pair in pairs:
        native.add(pair.read_mask(), result.model(pair.read_image()).segmentation.mask)
    assert str(result.native.report()) == str(native.report())  # nan among them
    assert result.native.matrix.sum() == 4 * 30 * 39
    # The square of 20 shows the photo in 20 x 15 of its pixels; of the border, half a pixel wide, one column.
    assert result.small.matrix.sum() == 4 * 15 * 19
    assert result.small.border_as_pet.sum() == 4 * 15 * 20
    assert 0.7 < result.small.report()["miou"] < 1
    assert result.roc.auc().min() > 0.97
    extra = result.report(threads=2)["comparison"]
    assert (extra["size"], extra["parameters"], extra["bytes"]) == (20, 0, 0)
    latency = extra["latency"]
    assert (latency["photos"], latency["threads"]) == (4, 2)
    assert 0 < latency["median"] <= latency["p95"]


def test_models_take_turns(pairs: list[Pair]) -> None:
    calls = []

    def named(name: str) -> Model:
        network = ByColour()

        def run(batch: Tensor) -> np.ndarray:
            calls.append(name)
            return network(batch)[0].numpy()

        return Model(name, 32, 1, 1, run)

    results = compare([named("a"), named("b")], pairs)
    assert calls[: 2 * WARM_UP] == ["a"] * WARM_UP + ["b"] * WARM_UP
    assert calls[2 * WARM_UP :] == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert results[0].scores == results[1].scores
    lines = format_table(results, 3).splitlines()
    assert "4 photos" in lines[0]
    assert "3 threads" in lines[2]
    assert [line.split()[:2] for line in lines[5:]] == [
        ["a", "native"],
        ["32", "px"],
        ["b", "native"],
        ["32", "px"],
    ]


@pytest.mark.parametrize(
    ("mask", "wrong"),
    [
        (np.zeros((30, 41), np.uint8), "does not fit its photo"),
        (np.full((30, 40), 7, np.uint8), "holds the label 7"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(pairs: list[Pair], mask: np.ndarray, wrong: str) -> None:
    Image.fromarray(mask).save(pairs[2].mask)
    with pytest.raises(ImageError, match=rf"{pairs[2].name}\.png {wrong}"):
        compare([colours()], pairs)


def test_photos_worth_a_look() -> None:
    pairs = [Pair(name, Path(), Path()) for name in "abcde"]
    one, two = Result(colours("one")), Result(colours("two"))
    one.scores, two.scores = [0.9, 0.2, np.nan, 0.5, 0.7], [0.7, 0.4, np.nan, 0.9, 0.1]
    assert [score.name for score in worst(one, pairs, 2)] == ["b", "d"]
    assert [score.name for score in worst(two, pairs, 9)] == ["e", "b", "a", "d"]
    # By the mean of both: b 0.3, e 0.4, d 0.7, a 0.8; c has no labelled pixel.
    assert [pair.name for pair in examples([one, two], pairs, 4)] == ["b", "e", "d", "a"]
    assert [pair.name for pair in examples([one, two], pairs, 2)] == ["b", "a"]
    assert examples([one, two], pairs, 0) == []
