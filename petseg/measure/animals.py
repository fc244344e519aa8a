"""How well the animals of a photo are told apart, in numpy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.measure.metrics import binary_iou, mean

FOUND = 0.5
"""IoU from which on an animal counts as found."""


def matched(truth: Sequence[NDArray[np.bool_]], found: Sequence[NDArray[np.bool_]]) -> list[float]:
    """The IoU of each true animal with a mask of its own.

    Pairs are made from the highest IoU down, as in COCO's evaluation, so each mask is used once.

    Args:
        truth, found: (H, W) bool each, of one shape.

    Returns:
        One for each of `truth`; 0 for an animal that no mask is left for.

    Example:
        >>> import numpy as np
        >>> left, right = np.array([[True, False]]), np.array([[False, True]])
        >>> matched([left, right], [left | right])
        [0.5, 0.0]
    """
    pairs = sorted(
        (
            (binary_iou(animal, mask), number, other)
            for number, animal in enumerate(truth)
            for other, mask in enumerate(found)
            if (animal & mask).any()
        ),
        key=lambda pair: -pair[0],
    )
    result = [0.0] * len(truth)
    done: set[int] = set()
    used: set[int] = set()
    for iou, number, other in pairs:
        if number not in done and other not in used:
            result[number] = iou
            done.add(number)
            used.add(other)
    return result


@dataclass
class AnimalEvaluation:
    """Figures of animals by themselves: `add` each photo, then `report`.

    Attributes:
        ious: of each true animal with its own mask.
        counts: for each photo how many animals there are, and how many were found.
    """

    ious: list[float] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)

    def add(self, truth: Sequence[NDArray[np.bool_]], found: Sequence[NDArray[np.bool_]]) -> None:
        """Count one photo; arguments as for `matched`."""
        self.ious += matched(truth, found)
        self.add_count(len(truth), len(found))

    def add_count(self, truth: int, found: int) -> None:
        """Count a photo of which only the number of animals is known."""
        self.counts.append((truth, found))

    def report(self) -> dict[str, Any]:
        """All figures as plain numbers, ready for JSON; nan where there was nothing to measure.

        Returns:
            "photos", "animals", "iou" (mean over animals; one without a mask counts 0), "found" (share with
            at least `FOUND`), "right_count" (share of photos with as many as there are), "more" and "fewer".
        """
        counts = np.array(self.counts).reshape(-1, 2)
        extra = counts[:, 1] - counts[:, 0]
        return {
            "photos": len(counts),
            "animals": len(self.ious),
            "iou": mean(np.array(self.ious)),
            "found": mean(np.array([iou >= FOUND for iou in self.ious], float)),
            "right_count": mean((extra == 0).astype(float)),
            "more": mean((extra > 0).astype(float)),
            "fewer": mean((extra < 0).astype(float)),
        }
