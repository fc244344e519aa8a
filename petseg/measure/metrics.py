"""The numbers petseg reports, defined once, in numpy.

Figures of whole photos derive from one confusion matrix over a whole split: rows are the truth, columns
the prediction, classes 0 background, 1 cat, 2 dog. Pixels whose truth is `BORDER` are ignored, unless a
figure says otherwise. A class that occurs neither in truth nor in prediction has no IoU or Dice
(nan) and is left out of the means. Figures of clicks are means over animals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.pixels.classes import BORDER, CLASSES

FALSE_ALARM, LARGE_FALSE_ALARM = 0.01, 0.05
"""Shares of a photo without pets: pet on more of it is a false alarm, and a large one."""

CLICKS = (1, 2, 3, 5)
"""Numbers of clicks after which the IoU of a clicked animal is reported."""
TARGETS = (0.85, 0.90)
"""IoUs for which the number of clicks is reported (NoC@85, NoC@90)."""
CLICK_LIMIT = 20
"""Clicks after which a simulated person gives up."""


def confusion_matrix(
    truth: NDArray[np.integer[Any]], prediction: NDArray[np.integer[Any]], classes: int = 3
) -> NDArray[np.int64]:
    """Count pixels by (truth, prediction).

    Args:
        truth: labels 0..classes-1 or `BORDER`, any shape.
        prediction: labels 0..classes-1, the same shape.

    Returns:
        (classes, classes) int64.

    Raises:
        ValueError: shapes differ, or a label is out of range.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    keep = truth != BORDER
    rows, columns = truth[keep].astype(np.int64), prediction[keep].astype(np.int64)
    for name, labels in (("truth", rows), ("prediction", columns)):
        if labels.size and (labels.min() < 0 or labels.max() >= classes):
            raise ValueError(f"{name} has a label outside 0..{classes - 1}")
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    result = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def iou(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class, from a confusion matrix.

    Example:
        >>> import numpy as np
        >>> iou(np.array([[8, 2], [0, 10]])).round(3).tolist()
        [0.8, 0.833]
    """
    hits = np.diag(matrix)
    return _ratio(hits, matrix.sum(0) + matrix.sum(1) - hits)


def dice(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Dice coefficient (F1) of each class, from a confusion matrix."""
    return _ratio(2 * np.diag(matrix), matrix.sum(0) + matrix.sum(1))


def pixel_accuracy(matrix: NDArray[np.int64]) -> float:
    """Share of the pixels whose class is right; nan without pixels."""
    return float(_ratio(np.trace(matrix), matrix.sum()))


def mean(values: NDArray[np.float64]) -> float:
    """Mean over the classes that have a value; nan if none has."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def binary_iou(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> float:
    """IoU of two boolean masks of one shape; two empty masks agree (1.0)."""
    union = np.count_nonzero(truth | prediction)
    return float(np.count_nonzero(truth & prediction) / union) if union else 1.0


def species_of(labels: NDArray[np.integer[Any]]) -> int:
    """The pet class (1 or 2) that covers most pixels, 0 where there is none."""
    cat, dog = (int(np.count_nonzero(labels == c)) for c in (1, 2))
    return 0 if cat == dog == 0 else 1 if cat >= dog else 2


@dataclass
class Evaluation:
    """Running figures of a model over a split: `add` each photo, then `report`.

    Besides the whole-split confusion matrix it keeps pet-versus-rest counts with the border counted
    as pet, the coursework-style mean over photos, how often the species of a whole animal is wrong, and of
    each photo that shows no pet the share in which one is found.
    """

    matrix: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 3), np.int64))
    border_as_pet: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 2), np.int64))
    coursework: list[float] = field(default_factory=list)
    photos: int = 0
    animals: int = 0
    confused: int = 0
    missed: int = 0
    alarms: list[float] = field(default_factory=list)

    def add(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> float:
        """Count one photo.

        Args:
            truth: (H, W) uint8, 0..2 or `BORDER`.
            prediction: (H, W) uint8, 0..2.

        Returns:
            The photo's own mIoU, border ignored (for finding the worst photos).
        """
        matrix = confusion_matrix(truth, prediction)
        self.matrix += matrix
        pet = (truth != 0).astype(np.uint8)
        self.border_as_pet += confusion_matrix(pet, (prediction != 0).astype(np.uint8), 2)
        without_border = np.where(truth == BORDER, 0, truth)
        self.coursework.append(mean(iou(confusion_matrix(without_border, prediction))))
        self.photos += 1
        species = species_of(truth[truth != BORDER])
        if species:
            found = species_of(prediction)
            self.animals += 1
            self.missed += found == 0
            self.confused += found not in (0, species)
        elif (truth == 0).any():  # else nothing is known of the photo
            self.add_empty(prediction)
        return mean(iou(matrix))

    def add_empty(self, prediction: NDArray[np.uint8]) -> None:
        """Count the false alarm of a photo without pets that is not among the others; (H, W) uint8, 0..2."""
        self.alarms.append(np.count_nonzero(prediction) / prediction.size)

    def report(self) -> dict[str, Any]:
        """All figures as plain numbers, ready for JSON."""
        pet = np.array(
            [
                [self.matrix[0, 0], self.matrix[0, 1:].sum()],
                [self.matrix[1:, 0].sum(), self.matrix[1:, 1:].sum()],
            ]
        )
        per_class = iou(self.matrix)
        return {
            "photos": self.photos,
            "miou": mean(per_class),
            "iou": dict(zip(CLASSES, per_class.tolist(), strict=True)),
            "mean_dice": mean(dice(self.matrix)),
            "dice": dict(zip(CLASSES, dice(self.matrix).tolist(), strict=True)),
            "pixel_accuracy": pixel_accuracy(self.matrix),
            "pet_iou": float(iou(pet)[1]),
            "pet_iou_border_as_pet": float(iou(self.border_as_pet)[1]),
            "coursework_miou": mean(np.asarray(self.coursework)),
            "animals": self.animals,
            "species_confused": self.confused,
            "species_confusion": self.confused / self.animals if self.animals else float("nan"),
            "missed": self.missed,
            "named": (self.animals - self.missed - self.confused) / self.animals
            if self.animals
            else float("nan"),
            "photos_without_pets": len(self.alarms),
            "false_alarms": mean(np.greater(self.alarms, FALSE_ALARM).astype(np.float64)),
            "large_false_alarms": mean(np.greater(self.alarms, LARGE_FALSE_ALARM).astype(np.float64)),
            "confusion_matrix": self.matrix.tolist(),
        }


def clicks_needed(ious: Sequence[float], target: float) -> int | None:
    """The first click, from 1, whose answer has an IoU of at least `target`; None if there is none."""
    return next((click for click, value in enumerate(ious, 1) if value >= target), None)


@dataclass
class ClickEvaluation:
    """Figures of simulated clicks at animals: `add` each animal, then `report`.

    The number of clicks (NoC) follows arXiv:2102.06583: the first click that reaches the target, and the
    limit for an animal that never does; the share of those stands beside it.

    Attributes:
        limit: clicks that an animal gets at most.
        ious: for each animal its IoU after each click.
        right: for each animal whether its species was right after the first click.
    """

    limit: int = CLICK_LIMIT
    ious: list[Sequence[float]] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def add(self, ious: Sequence[float], right: bool) -> None:
        """Count one animal.

        Args:
            ious: after each click, at least one; fewer than the limit if nothing was left to correct or
                to find out: the last value stands for the clicks that were not made.
            right: whether the species was right after the first click.

        Raises:
            ValueError: no click, or more than the limit.
        """
        if not 1 <= len(ious) <= self.limit:
            raise ValueError(f"an animal has {len(ious)} clicks, must have 1 to {self.limit}")
        self.ious.append(ious)
        self.right.append(right)

    def report(self) -> dict[str, Any]:
        """All figures as plain numbers, ready for JSON; nan without animals.

        Returns:
            "animals", "species" (share right after the first click), "iou" by number of clicks, and "noc" and
            "never" (share that did not reach it) by target in per cent. Numbers of clicks beyond the limit
            have no "iou", and a limit of one click no "noc".
        """
        after = {
            str(click): mean(np.array([ious[min(click, len(ious)) - 1] for ious in self.ious]))
            for click in CLICKS
            if click <= self.limit
        }
        report = {"animals": len(self.ious), "species": mean(np.array(self.right, float)), "iou": after}
        if self.limit == 1:
            return report
        needed = {f"{100 * t:.0f}": [clicks_needed(ious, t) for ious in self.ious] for t in TARGETS}
        return report | {
            "noc": {name: mean(np.array([n or self.limit for n in row])) for name, row in needed.items()},
            "never": {name: mean(np.array([n is None for n in row], float)) for name, row in needed.items()},
        }
