"""Drawn photos whose colour tells the class, written in the layouts that training reads."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

COLOURS = np.array([(60, 60, 60), (230, 40, 40), (40, 40, 230)], np.uint8)
"""Class -> RGB of the drawn photos: a cat is red, a dog blue."""

Labels = NDArray[np.uint8]


class ByColour(nn.Module):
    """Logits by how near each pixel is to the colours of the drawn photos: right nearly everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = torch.tensor(COLOURS).float()[None, :, :, None, None]
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        assert image.dtype == torch.uint8
        self.shapes.append(tuple(image.shape))
        return -(image[:, None].float() - self.colours).square().sum(2) / 1000


def draw_labels(index: int, width: int = 32, height: int = 32) -> Labels:
    """(height, width) uint8: a rectangle of class 1 or 2, by turns, whose place `index` decides."""
    generator = np.random.default_rng(index)
    labels = np.zeros((height, width), np.uint8)
    top, left = generator.integers(0, height // 3), generator.integers(0, width // 3)
    rows, columns = generator.integers(height // 3, height // 2), generator.integers(width // 3, width // 2)
    labels[top : top + rows, left : left + columns] = 1 + index % 2
    return labels


def paint(labels: Labels, noise: float = 8.0, seed: int = 0) -> NDArray[np.uint8]:
    """The photo that shows these labels, (H, W, 3) uint8; 255 looks like background."""
    colours = COLOURS[np.where(labels == 255, 0, labels)].astype(float)
    colours += np.random.default_rng(seed).normal(0, noise, colours.shape)
    return np.clip(colours, 0, 255).astype(np.uint8)


def write_plain(folder: Path, masks: Mapping[str, Labels], mask_folder: str = "masks") -> Path:
    """Photos and class masks as images/ and masks/."""
    for name in ("images", mask_folder):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for seed, (name, labels) in enumerate(masks.items()):
        Image.fromarray(paint(labels, seed=seed)).save(folder / f"images/{name}.png")
        Image.fromarray(labels).save(folder / f"{mask_folder}/{name}.png")
    return folder


def write_oxford(folder: Path, masks: Mapping[str, Labels], split: str = "trainval") -> Path:
    """Photos, trimaps (pet 1, background 2, and 3 where the mask is 255) and the list of one split."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "annotations/trimaps").mkdir(parents=True, exist_ok=True)
    lines = []
    for seed, (name, labels) in enumerate(masks.items()):
        Image.fromarray(paint(labels, seed=seed)).save(folder / f"images/{name}.jpg", quality=95)
        trimap = np.select([labels == 0, labels == 255], [2, 3], 1).astype(np.uint8)
        Image.fromarray(trimap).save(folder / f"annotations/trimaps/{name}.png")
        lines.append(f"{name} 1 {1 if name[0].isupper() else 2} 1")
    (folder / f"annotations/{split}.txt").write_text("\n".join(lines) + "\n")
    return folder
