"""What can be pointed at: petseg itself, a checkpoint, and, in `benchmarks.clicks`, others."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from petseg import Segmentation, Segmenter
from petseg.clicks.prompts import Prompt, encode
from petseg.pixels import decision
from petseg.pixels.geometry import FILL
from train.checkpoint import load_checkpoint
from train.config import Config
from train.models.promptable import Promptable
from train.report.inference import Fits, check_species, fits, is_checkpoint, letterboxed

Photo = NDArray[np.uint8]
Classes = NDArray[np.uint8]


class Clicked(Protocol):
    """What can be pointed at: it is asked about one animal after the other."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def most(self) -> int | None:
        """Clicks that it takes for an animal, None for any number."""

    @property
    def boxes(self) -> bool:
        """Whether it takes a box."""

    @property
    def species(self) -> bool:
        """Whether its answers tell cats from dogs."""

    def start(self, photo: Photo) -> None:
        """Turn to an animal of this (H, W, 3) uint8 photo, often that of the last one; forget its clicks."""

    def click(self, point: tuple[float, float], positive: bool) -> Classes:
        """Answer (H, W) uint8 classes to one more click, the first of which is positive."""

    def box(self, corners: NDArray[np.float64]) -> Classes:
        """Answer (H, W) uint8 classes to a box x0, y0, x1, y1 in the place of clicks."""


class ClickedSegmenter:
    """What a user of petseg gets.

    Raises:
        PromptError: the model takes no clicks.
    """

    most, species = None, True

    def __init__(self, segmenter: Segmenter) -> None:
        segmenter.check_takes(["point"])
        self.name, self.boxes = segmenter.name, "box" in segmenter.manifest.prompts
        self._segmenter = segmenter
        self._last: Segmentation | None = None

    def start(self, photo: Photo) -> None:
        """See `Clicked`."""
        self._photo, self._last = photo, None

    def click(self, point: tuple[float, float], positive: bool) -> Classes:
        """See `Clicked`."""
        if self._last is None:
            self._last = self._segmenter.segment(self._photo, points=[point], labels=[positive])
        else:
            self._last = self._segmenter.refine(self._last, point, label=int(positive))
        return self._last.mask

    def box(self, corners: NDArray[np.float64]) -> Classes:
        """See `Clicked`."""
        return self._segmenter.segment(self._photo, box=corners).mask


class ClickedCheckpoint:
    """A promptable torch model. It always sees the whole photo: close-ups are `petseg.Segmenter`'s.

    Args:
        name: for people.
        model: a `train.models.prompt.PromptNet`, say.
        size: side of its square.
        fit: how photos come into it.

    Raises:
        ValueError: the model takes no clicks.
    """

    most, species = None, True

    def __init__(self, name: str, model: nn.Module, size: int, fit: Fits | None = None) -> None:
        if not (isinstance(model, Promptable) and "point" in model.prompts):
            raise ValueError(f"{name} takes no clicks; give a promptable model")
        self.name, self.boxes = f"{name}, whole photo", "box" in model.prompts
        self._model, self._size = model, size
        self._fit = fit or Fits(fill=FILL, stretch=False)
        self._photo: Photo | None = None

    @torch.inference_mode()
    def start(self, photo: Photo) -> None:
        """See `Clicked`."""
        if photo is not self._photo:
            self._letterbox, batch = letterboxed(photo, self._size, **self._fit)
            self._features = self._model.encode(batch)
        self._photo = photo
        self._points: list[tuple[float, float]] = []
        self._positive: list[bool] = []

    def click(self, point: tuple[float, float], positive: bool) -> Classes:
        """See `Clicked`."""
        self._points.append(point)
        self._positive.append(positive)
        return self._answer(Prompt(np.array(self._points), np.array(self._positive)))

    def box(self, corners: NDArray[np.float64]) -> Classes:
        """See `Clicked`."""
        return self._answer(Prompt(np.zeros((0, 2)), np.zeros(0, bool), corners))

    @torch.inference_mode()
    def _answer(self, prompt: Prompt) -> Classes:
        fed = torch.from_numpy(encode(prompt, self._letterbox))[None]
        logits = self._model.decode(self._features, fed)[0].float().numpy()
        return decision.mask(self._letterbox, *decision.margins(logits), None)


def open_clicked(model: str, size: int | None = None) -> tuple[Clicked, Config | None]:
    """A checkpoint folder with its config, or anything that `petseg.Segmenter` opens.

    Args:
        model: where or which.
        size: square that a checkpoint is run at, by default the one it was trained at.

    Raises:
        ValueError: a checkpoint that takes no clicks or has other classes, or a size for something else.
        petseg.PromptError: it takes no clicks.
        petseg.ModelError: there is no such model, or it is damaged.
    """
    if not is_checkpoint(model):
        if size is not None:
            raise ValueError("an exported model has one size; leave the size out, or give a checkpoint")
        return ClickedSegmenter(Segmenter(model)), None
    network, config = load_checkpoint(model)
    check_species(model, config)
    return ClickedCheckpoint(config.name, network, size or config.data.size, fits(config)), config
