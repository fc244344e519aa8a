"""Photos with masks that can be read, and what their masks are taken for."""

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import OxfordIIITPet

from petseg.measure.pair import Pair
from petseg.pixels.classes import BORDER


class Sample(Protocol):
    """A named photo and mask that can be read; `petseg.measure.datasets.Pair` is one."""

    @property
    def name(self) -> str:
        """File name without suffix."""

    @property
    def breed(self) -> str:
        """What the validation split is stratified by."""

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""

    def read_mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 background, 1 cat, 2 dog, 255 ignored."""


AnySample = TypeVar("AnySample", bound=Sample)


class TorchvisionSample:
    """An item of torchvision's `OxfordIIITPet`."""

    def __init__(self, dataset: OxfordIIITPet, index: int, pair: Pair) -> None:
        self._dataset, self._index, self.pair = dataset, index, pair
        self.name, self.breed = pair.name, pair.breed

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        # Not the dataset's photo: it has lost transparency, which petseg lays over white.
        return self.pair.read_image()

    def read_mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 background, 1 cat, 2 dog, 255 ignored."""
        trimap = np.asarray(self._dataset[self._index][1], np.uint8)
        return self.pair.classes(trimap)


class TrimapSample:
    """A sample whose classes are those of a trimap: 0 background, 1 pet of any species, 2 border."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self.name, self.breed = sample.name, sample.breed

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        return self._sample.read_image()

    def read_mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8."""
        mask = self._sample.read_mask()
        return np.where(mask == BORDER, np.uint8(2), np.minimum(mask, 1))


class RimSample(TrimapSample):
    """A sample whose border is background, like all else that its mask leaves open."""

    def read_mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8."""
        mask = self._sample.read_mask()
        return np.where(mask == BORDER, np.uint8(0), mask)


def is_trimap(sample: Sample) -> bool:
    """Whether its mask is one of the Oxford layout: one animal, outlined by a person."""
    return isinstance(sample, TorchvisionSample) or (isinstance(sample, Pair) and sample.trimap)
