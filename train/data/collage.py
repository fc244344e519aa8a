"""Pets pasted on photos without pets: several, at any size, over each other, cut off by the frame.

Photos of one pet show it large, in the middle, on the sofa. A collage teaches what they leave open: that a
pet may be small, far out, or beside one of the other species, and that what surrounds it need not be pet.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from petseg.pixels.classes import BORDER
from train.data.dataset import Arrays, PhotoDataset
from train.data.samples import Sample, is_trimap
from train.data.scenes import Scene, paste_anywhere
from train.data.sources import say
from train.sections import CollageConfig

PETS = (1, 2, 3, 4)
"""Numbers of animals that are pasted..."""
SHARES = (0.55, 0.25, 0.12, 0.08)
"""... and how often each."""
FLAT = 0.1
"""Probability of a drawn sheet instead of a photo as the ground."""


class CollageDataset(PhotoDataset):
    """A `PhotoDataset` some of whose photos give way to collages of others that it has.

    Args:
        samples, size, options: see `PhotoDataset`.
        config: see there.
        or_none: without what collages are made of there are none, which is said; else that is an error.

    Raises:
        ValueError: there is no photo without pets, or none of the Oxford layout, or photos are not kept in
            memory.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: int,
        config: CollageConfig,
        *,
        or_none: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(samples, size, **options)
        self._config = config
        if not self.cache:
            raise ValueError("collage.probability needs data.cache_side above 0: its photos come from memory")
        kept = {id(sample): sample for sample in samples}
        self._grounds: list[Arrays] = []
        self._donors: list[Arrays] = []
        for key, arrays in self.cache.items():
            counts = np.bincount(arrays[1].ravel(), minlength=256)
            if counts[0] == arrays[1].size:
                self._grounds.append(arrays)
            # Several animals of one species would be pasted as one.
            elif counts[1:3].any() and is_trimap(kept[key]):
                self._donors.append(arrays)
        if not self._grounds or not self._donors:
            lacking = (
                "needs photos without pets and photos of the Oxford layout, "
                f"got {len(self._grounds)} and {len(self._donors)}"
            )
            if not or_none:
                raise ValueError(f"collage.probability {lacking}")
            say(f"no collages: that {lacking}")
            self._config = config.model_copy(update={"probability": 0.0})

    def arrays(self, index: int) -> Arrays:
        """Photo (H, W, 3) and mask (H, W): the sample's, or a collage in its place."""
        generator = np.random.default_rng([self.seed, self.epoch, index, 1])
        if generator.random() >= self._config.probability:
            return super().arrays(index)
        return collage(self._grounds, self._donors, self._config, generator)


def collage(
    grounds: Sequence[Arrays], donors: Sequence[Arrays], config: CollageConfig, generator: np.random.Generator
) -> Arrays:
    """A photo and its mask, as many pixels as the ground has.

    Args:
        grounds: photos (H, W, 3) without pets and their masks.
        donors: photos with pets and their masks (H, W), 0 background, 1 cat, 2 dog, 255 ignored.
        config: see there.
        generator: what is drawn comes from it.
    """
    flat = generator.random() < FLAT
    image = sheet(generator) if flat else grounds[int(generator.integers(len(grounds)))][0]
    scene = Scene(image, np.zeros(image.shape[:2], np.uint8), _species(0))
    if generator.random() < config.distractor:
        scene = paste_anywhere(scene, _disguised(grounds, donors, generator), generator)
        # What is no pet is ground, and may be pasted over.
        scene = Scene(scene.image, np.zeros_like(scene.instances), _species(0))
    if generator.random() >= config.empty:
        for _ in range(generator.choice(PETS, p=SHARES)):
            scene = paste_anywhere(scene, _one(donors, generator), generator)
    return scene.image, scene.species[scene.instances]


def sheet(generator: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a flat colour or a slow change between two, with a little noise or none."""
    height, width = generator.integers(160, 361, 2)
    corners = generator.uniform(0, 255, (2, 2, 3))
    if generator.random() < 0.5:
        corners[:] = corners[0, 0]
    if generator.random() < 0.3:
        corners[:] = corners.mean(2, keepdims=True)
    surface = cv2.resize(corners.astype(np.float32), (int(width), int(height)))
    surface += generator.normal(0, generator.choice((0.0, 2.0, 8.0)), surface.shape)
    return np.clip(surface, 0, 255).astype(np.uint8)


def _one(donors: Sequence[Arrays], generator: np.random.Generator) -> Scene:
    image, mask = donors[int(generator.integers(len(donors)))]
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=3)[1:3]) + 1
    species = int(generator.choice(present))
    instances = np.where(mask == species, np.uint8(1), np.where(mask == BORDER, mask, np.uint8(0)))
    return Scene(image, instances, _species(species))


def _disguised(grounds: Sequence[Arrays], donors: Sequence[Arrays], generator: np.random.Generator) -> Scene:
    """A pet's outline filled with a photo that shows none."""
    outline = _one(donors, generator)
    other = grounds[int(generator.integers(len(grounds)))][0]
    height, width = outline.instances.shape
    filled = np.asarray(cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return Scene(filled, outline.instances, outline.species)


def _species(first: int) -> NDArray[np.uint8]:
    """(256,) uint8 for a scene whose animal 1 is of this class."""
    species = np.zeros(256, np.uint8)
    species[1], species[BORDER] = first, BORDER
    return species
