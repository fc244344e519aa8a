"""Pictures that compare models, with matplotlib; `train.report.plots` draws the progress of training."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from petseg.measure.perturbations import PERTURBATIONS
from petseg.pixels.classes import CLASSES, COLORS
from train.report.inference import Photo
from train.report.plots import save_figure
from train.report.roc import Roc

MARKERS = "os^Dv<>P"
"""Of the models in turn: colour alone is not enough for every eye."""
CELL = 2.1
"""Side of a photo in a grid, in inches."""
TITLE, CAPTION = 0.45, 0.42
"""Heights of a picture's title and of the captions of a row, in inches."""
THUMBNAIL = 360
"""Longest side of a photo in a grid, in pixels: more than a cell shows."""
AS_PUBLISHED = "Study D's U-Net, as published"
LEGEND = "orange: cat, blue: dog, white: border, ignored"


def file_name(model: str) -> str:
    """A model's name as part of a file's."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", model).strip("-.")


@dataclass(frozen=True)
class Panel:
    """One cell of a grid.

    Attributes:
        photo: (H, W, 3) uint8.
        classes: (H, W) uint8, laid over it in colour; None shows the photo alone.
        caption: above it.
    """

    photo: Photo
    caption: str
    classes: NDArray[np.uint8] | None = None

    def picture(self) -> Photo:
        """What is shown, (h, w, 3) uint8."""
        height, width = self.photo.shape[:2]
        scale = min(1.0, THUMBNAIL / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        photo = np.asarray(Image.fromarray(self.photo).resize(size, Image.Resampling.BILINEAR))
        if self.classes is None:
            return photo
        classes = np.asarray(Image.fromarray(self.classes).resize(size, Image.Resampling.NEAREST))
        tints = np.full((256, 3), 255, np.uint8)
        tints[: len(CLASSES)] = [COLORS[name] for name in CLASSES]
        blended = (photo * 0.4 + tints[classes] * 0.6).round().astype(np.uint8)
        # The background keeps its own light, a little less, so that pets stand out.
        return np.where((classes == 0)[..., None], (photo * 0.75).astype(np.uint8), blended)


def plot_panels(rows: Sequence[Sequence[Panel]], path: Path, title: str) -> None:
    """A grid of photos, all rows of one length."""
    columns = len(rows[0])
    # A row is as high as its highest photo wants, a tall one at most half as high again as it is wide.
    shapes = [[panel.photo.shape[:2] for panel in row] for row in rows]
    heights = [CELL * min(1.5, max(height / width for height, width in row)) for row in shapes]
    size = CELL * columns, TITLE + sum(heights) + CAPTION * len(rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, panel in zip(axes_row, row, strict=True):
            axes.imshow(panel.picture())
            axes.set_title(panel.caption, fontsize=7.5)
            axes.axis("off")
    figure.suptitle(f"{title}\n{LEGEND}", fontsize=9)
    save_figure(figure, path)


def plot_roc(curves: Mapping[str, Roc], path: Path, classes: Sequence[str] = CLASSES) -> None:
    """One panel a class, one line a model; false positives on a logarithmic axis, since they are few."""
    figure = Figure(figsize=(12, 4.6 + 0.2 * len(curves)), layout="constrained")
    for number, (panel, name) in enumerate(zip(figure.subplots(1, len(classes)), classes, strict=True)):
        for model, roc in curves.items():
            false, true = roc.curve(number)
            panel.plot(false, true, label=f"{model}: {roc.auc()[number]:.4f}")
        chance = np.geomspace(1e-4, 1, 100)
        panel.plot(chance, chance, color="grey", linestyle=":", label="chance: 0.5")
        panel.set(
            title=name, xscale="log", xlim=(1e-4, 1), ylim=(0, 1.01), xlabel="false positive rate (log)"
        )
        panel.grid(alpha=0.3)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        panel.legend(title="area under the curve", fontsize=8, title_fontsize=8, **below)
    figure.axes[0].set_ylabel("true positive rate")
    figure.suptitle("Pixels of each class against the others, border ignored", fontsize=10)
    save_figure(figure, path)


def plot_confusion(
    matrices: Mapping[str, NDArray[np.int64]], path: Path, classes: Sequence[str] = CLASSES
) -> None:
    """One panel a model: the share of each true class's pixels, and their number."""
    columns = min(4, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    figure = Figure(figsize=(3.4 * columns + 0.6, 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel, (model, matrix) in zip(panels, matrices.items(), strict=False):
        _draw_matrix(panel, matrix, classes)
        panel.set_title(model, fontsize=9)
    for panel in figure.axes[len(matrices) :]:
        panel.axis("off")
    figure.suptitle("Share of the true class (row) given each class (column), and pixels", fontsize=9)
    save_figure(figure, path)


def _draw_matrix(panel: Axes, matrix: NDArray[np.int64], classes: Sequence[str]) -> None:
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.2%}\n{matrix[row, column]:,}"
        colour = "white" if share > 0.5 else "black"
        panel.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    numbers = range(len(classes))
    panel.set_xticks(numbers, classes, fontsize=8)
    panel.set_yticks(numbers, classes, fontsize=8, rotation=90, va="center")
    panel.set_xlabel("prediction", fontsize=8)
    panel.set_ylabel("truth", fontsize=8)


def plot_robustness(curves: Mapping[str, Any], path: Path, published: Mapping[str, Any]) -> None:
    """Eight panels of mIoU above eight of Dice, one line a model, over the strength of the damage.

    Args:
        curves: model -> what `train.robustness.measure` says of it.
        path: of the PNG.
        published: perturbation -> "strengths", "miou" and "mean_dice" of Study D's U-Net, in black.
    """
    figure = Figure(figsize=(13, 11), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False).flat
    for part, (figures, title) in zip(parts, (("miou", "mIoU"), ("mean_dice", "mean Dice")), strict=True):
        panels = part.subplots(2, 4, sharey=True)
        for panel, (kind, perturbation) in zip(panels.flat, PERTURBATIONS.items(), strict=True):
            for number, (model, rows) in enumerate(curves.items()):
                marker = MARKERS[number % len(MARKERS)]
                row = rows[kind]
                panel.plot(row["strengths"], row[figures], marker=marker, markersize=4, label=model)
            if kind in published:
                row = published[kind]
                panel.plot(row["strengths"], row[figures], "k*:", markersize=6, label=AS_PUBLISHED)
            panel.set(xlabel=perturbation.unit, ylim=(0, 1))
            panel.set_title(perturbation.title, fontsize=10)
            if perturbation.strengths[-1] < perturbation.strengths[0]:
                panel.invert_xaxis()
            panel.grid(alpha=0.3)
        part.suptitle(f"{title} of background, cat and dog, border ignored", fontsize=11, weight="bold")
        for panel in panels[:, 0]:
            panel.set_ylabel(title)
        panels[0, 0].legend(fontsize=8, loc="lower left")
    save_figure(figure, path, dpi=100)


def plot_clicks(curves: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """IoU over the number of clicks, one line a model, clicks as the protocol puts them and jittered.

    Args:
        curves: model -> "exact" and "jittered" -> number of clicks -> mean IoU of the animals.
        path: of the PNG.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    for panel, way in zip(figure.subplots(1, 2, sharey=True), ("exact", "jittered"), strict=True):
        for number, (model, ways) in enumerate(curves.items()):
            clicks = [int(count) for count in ways[way]]
            panel.plot(clicks, list(ways[way].values()), marker=MARKERS[number % len(MARKERS)], label=model)
            panel.set_xticks(clicks)
        panel.set(title=f"{way} clicks", xlabel="clicks", ylim=(0, 1))
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("IoU of the clicked animal")
    figure.axes[0].legend(fontsize=8)
    save_figure(figure, path)
