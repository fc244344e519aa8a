import json
import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassJaccardIndex,
)

from petseg.measure import metrics
from petseg.measure.metrics import ClickEvaluation, Evaluation
from petseg.pixels.classes import BORDER

RNG = np.random.default_rng(0)


def split(photos: int = 6) -> list[tuple[np.ndarray, np.ndarray]]:
    """Photos of different sizes, with borders, mostly right."""
    pairs = []
    for i in range(photos):
        truth = RNG.choice([0, 1, 2, BORDER], (20 + i, 30), p=[0.5, 0.2, 0.2, 0.1]).astype(np.uint8)
        wrong = RNG.random(truth.shape) < 0.3
        prediction = np.where(wrong, RNG.integers(0, 3, truth.shape), truth % BORDER).astype(np.uint8)
        pairs.append((truth, prediction))
    return pairs


def test_whole_split_agrees_with_torchmetrics() -> None:
    pairs = split()
    evaluation = Evaluation()
    shared = {"num_classes": 3, "ignore_index": BORDER}
    theirs = {
        "miou": MulticlassJaccardIndex(average="macro", **shared),
        "iou": MulticlassJaccardIndex(average="none", **shared),
        "mean_dice": MulticlassF1Score(average="macro", **shared),
        "dice": MulticlassF1Score(average="none", **shared),
        "pixel_accuracy": MulticlassAccuracy(average="micro", **shared),
        "confusion_matrix": MulticlassConfusionMatrix(**shared),
    }
    for truth, prediction in pairs:
        evaluation.add(truth, prediction)
        for metric in theirs.values():
            metric.update(torch.tensor(prediction).flatten(), torch.tensor(truth).flatten().long())
    report = evaluation.report()
    for name, metric in theirs.items():
        ours = list(report[name].values()) if isinstance(report[name], dict) else report[name]
        np.testing.assert_allclose(ours, metric.compute().numpy(), rtol=1e-5, err_msg=name)


def test_border_counts_as_pet_only_where_it_says_so() -> None:
    truth = np.array([[0, 1, BORDER, BORDER]], np.uint8)
    evaluation = Evaluation()
    evaluation.add(truth, np.array([[0, 1, 0, 1]], np.uint8))
    report = evaluation.report()
    assert report["pet_iou"] == 1
    assert report["pet_iou_border_as_pet"] == pytest.approx(2 / 3)
    assert report["coursework_miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)  # border as background
    assert report["pixel_accuracy"] == 1


def test_species_of_whole_animals() -> None:
    cat, dog, nothing = (np.full((2, 2), label, np.uint8) for label in (1, 2, 0))
    evaluation = Evaluation()
    for truth, prediction in ((cat, cat), (cat, dog), (dog, nothing), (nothing, dog)):
        evaluation.add(truth, prediction)
    report = evaluation.report()
    assert (report["animals"], report["species_confused"], report["missed"]) == (3, 1, 1)
    assert report["species_confusion"] == pytest.approx(1 / 3)


def test_absent_classes_do_not_count() -> None:
    evaluation = Evaluation()
    own = evaluation.add(np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint8))
    report = evaluation.report()
    assert own == report["miou"] == 1
    assert math.isnan(report["iou"]["dog"])


def test_report_of_nothing_is_plain_numbers() -> None:
    report = Evaluation().report()
    assert math.isnan(report["miou"])
    json.dumps(report)


def test_binary_iou() -> None:
    a, b = np.array([True, True, False]), np.array([False, True, True])
    assert metrics.binary_iou(a, b) == pytest.approx(1 / 3)
    assert metrics.binary_iou(a & ~a, b & ~b) == 1


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "differ in shape"),
        (np.full((2, 2), 3), np.zeros((2, 2), int), "truth has a label outside 0..2"),
        (np.zeros((2, 2), int), np.full((2, 2), BORDER), "prediction has a label outside 0..2"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "prediction has a label outside 0..2"),
    ],
)
def test_bad_labels(truth: np.ndarray, prediction: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(truth, prediction)


@pytest.mark.parametrize(
    ("ious", "target", "needed"),
    [([0.5, 0.9, 0.8], 0.9, 2), ([0.85], 0.85, 1), ([0.5, 0.84], 0.85, None), ([], 0.85, None)],
)
def test_clicks_needed(ious: list[float], target: float, needed: int | None) -> None:
    assert metrics.clicks_needed(ious, target) == needed


def test_click_figures_by_hand() -> None:
    evaluation = ClickEvaluation()
    evaluation.add([0.6, 0.8, 0.86, 0.7, 0.92], True)  # 85 after 3, 90 after 5
    evaluation.add([0.5] * 20, False)  # neither
    evaluation.add([0.9, 1.0], True)  # both after 1; nothing was left to correct
    report = evaluation.report()
    assert report["animals"] == 3
    assert report["iou"] == pytest.approx({"1": 2 / 3, "2": 2.3 / 3, "3": 2.36 / 3, "5": 2.42 / 3})
    assert report["noc"] == pytest.approx({"85": (3 + 20 + 1) / 3, "90": (5 + 20 + 1) / 3})
    assert report["never"] == pytest.approx({"85": 1 / 3, "90": 1 / 3})
    assert report["species"] == pytest.approx(2 / 3)
    json.dumps(report, allow_nan=False)


def test_click_figures_keep_to_their_limit() -> None:
    evaluation = ClickEvaluation(limit=3)
    evaluation.add([0.5, 0.6, 0.7], True)
    report = evaluation.report()
    assert list(report["iou"]) == ["1", "2", "3"]
    assert report["noc"] == {"85": 3, "90": 3}
    once = ClickEvaluation(limit=1)
    once.add([0.95], True)
    assert "noc" not in once.report()
    assert math.isnan(ClickEvaluation().report()["iou"]["1"])


@pytest.mark.parametrize("ious", [[], [0.5] * 4])
def test_wrong_numbers_of_clicks(ious: list[float]) -> None:
    with pytest.raises(ValueError, match=f"{len(ious)} clicks, must have 1 to 3"):
        ClickEvaluation(limit=3).add(ious, True)


def test_false_alarms_by_hand() -> None:
    evaluation = Evaluation()
    nothing, cat = np.zeros((10, 20), np.uint8), np.ones((10, 20), np.uint8)
    for found in (0, 2, 3, 10, 11):  # of 200 pixels: 0, 1, 1.5, 5 and 5.5 %
        prediction = nothing.copy()
        prediction.ravel()[:found] = 2
        evaluation.add(nothing, prediction)
    evaluation.add_empty(cat)
    evaluation.add(np.full_like(nothing, BORDER), cat)  # nothing is known of it
    evaluation.add(cat, cat)
    evaluation.add(cat, cat * 2)
    evaluation.add(cat, nothing)
    report = evaluation.report()
    assert report["photos_without_pets"] == 6
    assert report["false_alarms"] == pytest.approx(4 / 6)
    assert report["large_false_alarms"] == pytest.approx(2 / 6)
    assert report["named"] == pytest.approx(1 / 3)


def test_no_photo_without_pets_has_no_false_alarms() -> None:
    report = Evaluation().report()
    assert report["photos_without_pets"] == 0
    assert math.isnan(report["false_alarms"])
    assert math.isnan(report["named"])
