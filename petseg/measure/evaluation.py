"""Run any predictor over photos with true masks, at their native resolution."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.errors import ImageError, ImageWarning
from petseg.measure.labels import WAY_OUT
from petseg.measure.metrics import Evaluation, mean, species_of
from petseg.measure.pair import Pair, hides_pets, misfit, turned_alike
from petseg.measure.tables import aligned
from petseg.pixels.classes import CLASSES
from petseg.pixels.image import load

Predictor = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Upright photo (H, W, 3) uint8 -> classes (H, W) uint8."""


@dataclass(frozen=True, slots=True)
class PhotoScore:
    """One photo's own mIoU, border ignored."""

    name: str
    miou: float


def evaluate(
    pairs: Iterable[Pair], predict: Predictor, *, progress: bool = True
) -> tuple[Evaluation, list[PhotoScore]]:
    """Compare `predict` with the truth of every pair.

    Masks that may be wrong are pointed out in an `ImageWarning`.

    Returns:
        The figures of the whole split, and each photo's, worst first; those without a labelled pixel
        (nan) come last.
    """
    evaluation = Evaluation()
    scores = []
    hidden: list[Path] = []
    unturned: list[Path] = []
    for pair in tqdm(pairs, desc="evaluate", unit="photo", disable=not progress, mininterval=1):
        truth, photo = pair.read_mask(), pair.read_image()
        if (wrong := misfit(photo.shape, truth.shape)) is not None:
            raise ImageError(f"mask {pair.mask} does not fit its photo: {wrong}")
        found = predict(photo)
        try:
            score = evaluation.add(truth, found)
        except ValueError as error:
            raise ImageError(f"mask {pair.mask} does not fit its photo: {error}") from error
        if hides_pets(truth) and not pair.trimap:
            hidden.append(pair.mask)
        turned = turned_alike(pair, truth)
        if turned is not None and np.mean(turned == found) > np.mean(truth == found):
            unturned.append(pair.mask)
        scores.append(PhotoScore(pair.name, score))
    warn_of_masks(hidden, unturned)
    return evaluation, sorted(scores, key=lambda score: (math.isnan(score.miou), score.miou))


def warn_of_masks(hidden: Sequence[Path], unturned: Sequence[Path]) -> None:
    """Point out masks that may be wrong.

    Args:
        hidden: those in which what is ignored may be a pet.
        unturned: those that may not be turned as their photos are.
    """
    if hidden:
        warnings.warn(
            f"masks that hold 255, which is ignored, and no pet: {len(hidden)} ({hidden[0]}, say); if those "
            f"are pets, {WAY_OUT}",
            ImageWarning,
            stacklevel=3,
        )
    if unturned:
        warnings.warn(
            f"masks that fit better when they are turned: {len(unturned)} ({unturned[0]}, say); their photos "
            "are turned by their EXIF orientation, and the masks are not; turn those as well",
            ImageWarning,
            stacklevel=3,
        )


def count_false_alarms(
    evaluation: Evaluation, photos: Iterable[Path], predict: Predictor, *, progress: bool = True
) -> None:
    """Add photos without pets, which need no masks, to the figures.

    Raises:
        ImageError: one of them cannot be read.
    """
    for path in tqdm(photos, desc="without pets", unit="photo", disable=not progress, mininterval=1):
        evaluation.add_empty(predict(load(path)))


def count_named(
    photos: Sequence[tuple[Path, int]], predict: Predictor, *, progress: bool = True
) -> dict[str, Any]:
    """How often a pet is found, and named rightly, on photos of which only the species is known.

    Returns:
        "photos", and the shares "found" and "named".

    Raises:
        ImageError: one of them cannot be read.
    """
    shown = tqdm(photos, desc="species alone", unit="photo", disable=not progress, mininterval=1)
    answers = [(species_of(predict(load(path))), species) for path, species in shown]
    return {
        "photos": len(answers),
        "found": mean(np.array([found != 0 for found, _ in answers], float)),
        "named": mean(np.array([found == species for found, species in answers], float)),
    }


def format_report(report: dict[str, Any]) -> str:
    """`Evaluation.report()` as a table for people."""
    iou, dice = report["iou"], report["dice"]
    classes = [("class", "IoU", "Dice")]
    classes += [(name, f"{iou[name]:.4f}", f"{dice[name]:.4f}") for name in CLASSES]
    classes.append(("mean", f"{report['miou']:.4f}", f"{report['mean_dice']:.4f}"))
    figures = {
        "photos": "photos",
        "pixel_accuracy": "pixel accuracy",
        "pet_iou": "pet IoU, border ignored",
        "pet_iou_border_as_pet": "pet IoU, border counted as pet",
        "coursework_miou": "mIoU per photo, border as background",
        "species_confusion": "animals given the other species",
        "missed": "animals missed",
        "named": "photos with a pet found and named rightly",
        "photos_without_pets": "photos without pets",
        "false_alarms": "pet on more than 1 % of those",
        "large_false_alarms": "pet on more than 5 % of those",
    }
    rows = [
        (title, f"{value:.4f}" if isinstance(value, float) else str(value))
        for key, title in figures.items()
        if not math.isnan(value := report[key])  # else there was nothing to measure it on
    ]
    return f"{aligned(classes, right=(1, 2))}\n{aligned(rows, right=(1,))}"
