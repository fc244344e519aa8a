"""ROC curves of pixels, from histograms: exact to a bin, whatever the number of photos.

A curve over all pixels of a split would need hundreds of millions of probabilities in memory. Instead, each
falls into one of `BINS` bins of equal width in log-odds, which are fine where a sure model's probabilities
crowd, near 0 and 1. Pixels of one bin count as ties.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from petseg.pixels.classes import BORDER, CLASSES

BINS = 4096
SMALLEST = 2.0**-23
"""Probabilities below this, and above 1 minus this, are not told apart: float32 hardly does, near 1."""

_FARTHEST = float(np.log((1 - SMALLEST) / SMALLEST))


@dataclass
class Roc:
    """Running histograms of each class against the others: `add` each photo, then `curve` and `auc`.

    Attributes:
        counts: (3, 2, BINS) int64: class, whether a pixel is of it, bin of its probability, ascending.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(CLASSES), 2, BINS), np.int64))

    def add(self, truth: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Count one photo.

        Args:
            truth: (H, W) uint8, 0..2 or `BORDER`, which is ignored.
            probabilities: (3, H, W) float32.
        """
        keep = truth != BORDER
        labels = truth[keep]
        for number, counts in enumerate(self.counts):
            chosen = np.clip(probabilities[number][keep], SMALLEST, 1 - SMALLEST)
            share = np.log(chosen / (1 - chosen)) / (2 * _FARTHEST) + 0.5
            bins = np.clip(share * BINS, 0, BINS - 1).astype(np.int64)
            bins += BINS * (labels == number)
            counts += np.bincount(bins, minlength=2 * BINS).reshape(2, BINS)

    def curve(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False and true positive rate of a class, each (BINS + 1,), from (0, 0), the strictest, to (1, 1).

        nan where no pixel is of that class, or all are.
        """
        rising = np.cumsum(self.counts[number][:, ::-1], axis=1).astype(np.float64)
        totals = rising[:, -1:]
        rates = np.divide(rising, totals, out=np.full_like(rising, np.nan), where=totals > 0)
        false, true = np.pad(rates, ((0, 0), (1, 0)))
        return false, true

    def auc(self) -> NDArray[np.float64]:
        """Area under each class's curve, (3,): trapezoids, so that a tie counts half; nan as in `curve`."""
        curves = [self.curve(number) for number in range(len(CLASSES))]
        return np.array([np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) for x, y in curves])
