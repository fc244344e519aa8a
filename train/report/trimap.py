"""Figures of models whose classes are those of a trimap: background, pet of any species, border."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from petseg.measure.metrics import confusion_matrix, iou, mean, pixel_accuracy
from petseg.measure.pair import Pair
from petseg.measure.tables import aligned
from petseg.models.manifest import OTHER_CLASSES as TRIMAP
from petseg.pixels.margins import softmax
from train.checkpoint import load_checkpoint, load_checkpoint_config
from train.data.samples import TrimapSample
from train.report.inference import Fits, Photo, fits, is_checkpoint, letterboxed
from train.report.roc import Roc

PREFIX = "trimap_"
"""Begins the names of all figures, which are not those of background, cat and dog."""


@dataclass
class TrimapResult:
    """Running figures of one model at the photos' own size.

    Attributes:
        matrix: (3, 3) int64, truth by prediction.
        roc: of each class against the others.
        scores: each photo's own mIoU.
    """

    matrix: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 3), np.int64))
    roc: Roc = field(default_factory=Roc)
    scores: list[float] = field(default_factory=list)

    def add(self, truth: NDArray[np.uint8], logits: NDArray[np.float32]) -> None:
        """Count one photo: truth (H, W) uint8 of 0..2, logits (3, H, W)."""
        counts = confusion_matrix(truth, logits.argmax(0).astype(np.uint8))
        self.matrix += counts
        self.roc.add(truth, softmax(logits[1] - logits[0], logits[2] - logits[0]))
        self.scores.append(mean(iou(counts)))

    def report(self) -> dict[str, Any]:
        """All figures as plain numbers, ready for JSON."""
        figures = {
            "miou": mean(iou(self.matrix)),
            "iou": dict(zip(TRIMAP, iou(self.matrix).tolist(), strict=True)),
            "pixel_accuracy": pixel_accuracy(self.matrix),
            "auc": dict(zip(TRIMAP, self.roc.auc().tolist(), strict=True)),
            "confusion_matrix": self.matrix.tolist(),
        }
        return {"photos": len(self.scores)} | {PREFIX + name: value for name, value in figures.items()}


def tells_trimap(model: str) -> bool:
    """Whether a model is a checkpoint whose classes are those of a trimap."""
    return is_checkpoint(model) and load_checkpoint_config(model).data.labels == "trimap"


@torch.inference_mode()
def answer(network: nn.Module, photo: Photo, size: int, fit: Fits) -> NDArray[np.float32]:
    """Logits (3, H, W) of an (H, W, 3) uint8 photo, enlarged to its size."""
    box, batch = letterboxed(photo, size, **fit)
    planes: NDArray[np.float32] = network(batch)[0].float().numpy()
    return np.stack([box.restore(plane) for plane in planes])


def evaluate(
    models: Sequence[str], pairs: Sequence[Pair], size: int | None = None
) -> dict[str, TrimapResult]:
    """Every checkpoint on every photo.

    Raises:
        ValueError: one of them has other classes; or a mask is no trimap.
    """
    others = [model for model in models if not tells_trimap(model)]
    if others:
        raise ValueError(f"{others[0]} has other classes than a trimap; evaluate it by itself")
    if strange := next((pair.name for pair in pairs if not pair.trimap), None):
        raise ValueError(f"{strange} has no trimap, which is what these models are held against")
    results = {}
    for name in models:
        network, config = load_checkpoint(name)
        results[name] = result = TrimapResult()
        for pair in tqdm(pairs, desc="trimaps", unit="photo", mininterval=1):
            logits = answer(network, pair.read_image(), size or config.data.size, fits(config))
            result.add(TrimapSample(pair).read_mask(), logits)
    return results


def table(results: dict[str, TrimapResult]) -> str:
    """The figures for people."""
    rows = [["model", *TRIMAP, "mIoU", "accuracy", *(f"AUC of {name}" for name in TRIMAP)]]
    for model, result in results.items():
        values = [*iou(result.matrix), mean(iou(result.matrix)), pixel_accuracy(result.matrix)]
        rows.append([model, *(f"{value:.4f}" for value in [*values, *result.roc.auc()])])
    return aligned(rows, right=range(1, len(rows[0])))
