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

from petseg import metrics
from petseg.metrics import BORDER, Evaluation

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
