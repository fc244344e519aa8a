"""Several models over the same photos: figures, curves, latency, and the photos worth looking at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from petseg.errors import ImageError
from petseg.measure.evaluation import PhotoScore
from petseg.measure.metrics import Evaluation, confusion_matrix
from petseg.measure.pair import Pair
from petseg.measure.tables import aligned
from petseg.pixels.classes import CLASSES
from train.report.inference import Answer, Model, Photo
from train.report.roc import BINS, Roc

WARM_UP = 3
"""Answers that are not timed: the first ones pay for memory and choice of kernels."""


@dataclass
class Result:
    """What is found out about one model, photo by photo.

    Attributes:
        model: it.
        native: figures at the photos' own size.
        small: figures in the model's pixels, the truth scaled by nearest neighbour; padding is left out.
        roc: at the photos' own size.
        scores: each photo's own mIoU at its own size, in order.
        seconds: from photo to full-size mask, by photo.
    """

    model: Model
    native: Evaluation = field(default_factory=Evaluation)
    small: Evaluation = field(default_factory=Evaluation)
    roc: Roc = field(default_factory=Roc)
    scores: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, photo: Photo, truth: NDArray[np.uint8]) -> None:
        """Answer for a photo (H, W, 3), and count how well and how fast; truth: (H, W) uint8."""
        start = perf_counter()
        answer = self.model(photo)
        mask = answer.segmentation.mask
        self.seconds.append(perf_counter() - start)
        self.scores.append(self.native.add(truth, mask))
        self.small.add(_shrink(truth, answer), answer.classes)
        self.roc.add(truth, answer.segmentation.probabilities)

    def latency(self) -> tuple[float, float]:
        """Median and 95th percentile, in milliseconds."""
        median, p95 = np.percentile(self.seconds, [50, 95])
        return 1000 * float(median), 1000 * float(p95)

    def report(self, threads: int) -> dict[str, Any]:
        """`Evaluation.report` at the photos' own size, and under "comparison" all else, ready for JSON."""
        median, p95 = self.latency()
        return self.native.report() | {
            "comparison": {
                "parameters": self.model.parameters,
                "bytes": self.model.bytes,
                "size": self.model.size,
                "latency": {
                    "what": "from photo to full-size mask on the CPU, milliseconds, all models in turn on "
                    "each photo",
                    "median": median,
                    "p95": p95,
                    "photos": len(self.seconds),
                    "threads": threads,
                },
                "auc": dict(zip(CLASSES, self.roc.auc().tolist(), strict=True)),
                "auc_bins_of_log_odds": BINS,
                "at_model_size": self.small.report(),
            }
        }


def _shrink(truth: NDArray[np.uint8], answer: Answer) -> NDArray[np.uint8]:
    height, width = answer.classes.shape
    return np.asarray(Image.fromarray(truth).resize((width, height), Image.Resampling.NEAREST))


def compare(models: Sequence[Model], pairs: Sequence[Pair]) -> list[Result]:
    """Every model on every photo.

    Models take turns on each photo, and the first of them changes from photo to photo, so that whatever
    else the machine does slows all of them alike.

    Raises:
        ImageError: a photo or a mask cannot be read, or they do not fit together.
    """
    results = [Result(model) for model in models]
    for model in models:
        for _ in range(WARM_UP):
            _ = model(pairs[0].read_image()).segmentation.mask
    for turn, pair in enumerate(tqdm(pairs, desc="compare", unit="photo", mininterval=1)):
        photo, truth = read_checked(pair)
        first = turn % len(results)
        for result in [*results[first:], *results[:first]]:
            result.add(photo, truth)
    return results


def count_false_alarms(results: Sequence[Result], photos: Sequence[Photo]) -> None:
    """Let every model answer for photos (H, W, 3) without pets, and add their false alarms to the figures."""
    for photo in tqdm(photos, desc="without pets", unit="photo", mininterval=1):
        for result in results:
            result.native.add_empty(result.model(photo).segmentation.mask)


def read_checked(pair: Pair) -> tuple[Photo, NDArray[np.uint8]]:
    """Photo (H, W, 3) and truth (H, W); raises ImageError unless size and labels fit."""
    photo, truth = pair.read_image(), pair.read_mask()
    try:
        confusion_matrix(truth, np.zeros(photo.shape[:2], np.uint8))
    except ValueError as error:
        raise ImageError(f"mask {pair.mask} does not fit its photo: {error}") from error
    return photo, truth


def worst(result: Result, pairs: Sequence[Pair], count: int) -> list[PhotoScore]:
    """The photos that the model did worst on, worst first; those without a labelled pixel have no score."""
    scores = [PhotoScore(pair.name, score) for pair, score in zip(pairs, result.scores, strict=True)]
    return sorted((s for s in scores if not math.isnan(s.miou)), key=lambda score: score.miou)[:count]


def examples(results: Sequence[Result], pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Photos at even steps from the hardest to the easiest, by the mean of the models' scores.

    Chosen so, they flatter no model and leave neither failures nor successes out.
    """
    means = np.mean([result.scores for result in results], axis=0)
    order = [index for index in np.argsort(means) if np.isfinite(means[index])]
    steps = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [pairs[order[step]] for step in steps]


def format_table(results: Sequence[Result], threads: int) -> str:
    """All figures for people, two rows a model: at the photos' own size, and in the model's pixels."""
    figures = ["mIoU", "Dice", "accuracy", "pet IoU", "AUC of " + CLASSES[0], *CLASSES[1:]]
    table = [["model", "at", *CLASSES, *figures, "weights", "MB", "median ms", "p95 ms"]]
    for result in results:
        median, p95 = result.latency()
        areas = [f"{area:.5f}" for area in result.roc.auc()]
        model = result.model
        costs = [f"{model.parameters:,}", f"{model.bytes / 1e6:.2f}", f"{median:.1f}", f"{p95:.1f}"]
        table += [
            [model.name, "native", *_cells(result.native), *areas, *costs],
            ["", f"{model.size} px", *_cells(result.small), *[""] * (len(areas) + len(costs))],
        ]
    note = f"""{results[0].native.photos} photos
IoU of each class: border ignored; pet IoU: cat and dog together, border as pet; AUC: pixels, border ignored
milliseconds: from photo to full-size mask, CPU, {threads} threads, models in turn on each photo"""
    return f"{note}\n\n{aligned(table, right=range(2, len(table[0])))}"


def _cells(evaluation: Evaluation) -> list[str]:
    report = evaluation.report()
    values = [*report["iou"].values(), report["miou"], report["mean_dice"]]
    return [f"{value:.4f}" for value in [*values, report["pixel_accuracy"], report["pet_iou_border_as_pet"]]]
