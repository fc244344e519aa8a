"""Figures of animals by themselves."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.measure.animals import AnimalEvaluation, matched


def columns(*which: int) -> NDArray[np.bool_]:
    mask = np.zeros((4, 10), bool)
    mask[:, list(which)] = True
    return mask


def test_each_mask_is_used_once_and_none_counts_nothing() -> None:
    truth = [columns(0, 1, 2, 3), columns(4, 5, 6, 7)]
    assert matched(truth, truth[::-1]) == [1, 1]
    assert matched(truth, [columns(*range(8))]) == [0.5, 0]
    assert matched(truth, [columns(0, 1, 2), columns(0, 1, 2, 3, 4)]) == [0.8, 0]
    assert matched(truth, [columns(9)]) == [0, 0]
    assert matched(truth, []) == [0, 0]
    assert matched([], truth) == []


def test_the_best_pair_goes_first() -> None:
    truth = [columns(0, 1, 2, 3), columns(3, 4, 5, 6)]
    assert matched(truth, [columns(2, 3, 4, 5, 6), columns(0, 1, 2)]) == [0.75, 0.8]


def test_report() -> None:
    evaluation = AnimalEvaluation()
    evaluation.add([columns(0, 1), columns(4, 5)], [columns(0, 1), columns(4, 5, 6, 7)])
    evaluation.add([columns(0, 1)], [columns(0, 1), columns(9)])
    evaluation.add([columns(0, 1)], [])
    report = evaluation.report()
    assert (report["photos"], report["animals"]) == (3, 4)
    assert report["iou"] == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert report["found"] == pytest.approx(3 / 4)
    assert [report[key] for key in ("right_count", "more", "fewer")] == pytest.approx([1 / 3] * 3)


def test_a_photo_of_which_only_the_number_is_known() -> None:
    evaluation = AnimalEvaluation()
    evaluation.add_count(1, 1)
    report = evaluation.report()
    assert math.isnan(report["iou"])
    assert report["right_count"] == 1
    assert math.isnan(AnimalEvaluation().report()["right_count"])
