"""A promptable network that takes all pixels of the clicked colour for the animal, in plain numpy."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY, RED, PURPLE, BLUE = (128, 128, 128), (255, 0, 0), (200, 0, 60), (0, 0, 255)
"""Background, a cat, another cat, a dog."""


def colourful() -> NDArray[np.uint8]:
    """(60, 100, 3) uint8: a red cat, a purple one that touches it, and a blue dog by itself."""
    pixels = np.full((60, 100, 3), GREY, np.uint8)
    pixels[10:50, 5:30], pixels[10:50, 30:50], pixels[15:45, 65:95] = RED, PURPLE, BLUE
    return pixels


def _manifest(**changes: Any) -> SimpleNamespace:
    habits = {
        "zoom": False,
        "mirror": False,
        "semantic": False,
        "apart": False,
        "presence": None,
        "sure": 0.95,
        "prompts": ("point", "box"),
    }
    return SimpleNamespace(
        **{"name": "colours", "size": 64, "fill": 127, "precision": "float32"} | habits | changes
    )


@dataclass(eq=False)
class ColourClicks:
    """Stands in for `petseg.engine.network.Network`.

    Attributes:
        greedy: whether it takes both cats for the animal, unless it is told not to.
        semantic: whether it says where there are pets.
        asked: how often it was asked, encoded: how many photos it was shown.
    """

    greedy: bool = False
    semantic: bool = False
    asked: int = 0
    encoded: int = 0
    device: str = "cpu"
    manifest: Any = field(init=False)

    def __post_init__(self) -> None:
        self.manifest = _manifest(semantic=self.semantic)

    def encode(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The photos (B, 3, S, S) themselves, and what of all pets."""
        self.encoded += len(images)
        if not self.semantic:
            return {"image": images}
        pets = np.ptp(images.astype(int), axis=1) > 60
        logits = np.stack([np.zeros(pets.shape), np.where(pets, 6, -9), np.full(pets.shape, -20)], 1)
        return {"image": images, "features_1": logits.astype(np.float32)}

    def answer(self, features: dict[str, NDArray[Any]], prompts: NDArray[np.float32]) -> NDArray[np.float32]:
        """The colours under clicks, or in the middle of the box, of each prompt (B, 2, S, S)."""
        self.asked += 1
        return np.stack(
            [
                self._one(image, *prompt)
                for image, prompt in zip(features["image"].astype(int), prompts, strict=True)
            ]
        )

    def _one(
        self, image: NDArray[np.int64], positive: NDArray[np.float32], negative: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        found = np.zeros(positive.shape, bool)
        wanted = np.argwhere(positive > 0.8)
        if not len(wanted):
            wanted = np.argwhere(positive == positive.max()).mean(0).astype(int)[None]
        for row, column in wanted:
            found |= self._same(image, row, column)
        for row, column in np.argwhere(negative > 0.8):
            found &= np.abs(image - image[:, row, column][:, None, None]).max(0) >= 30
        dogs = image[2] > image[0]
        pets = np.where(found, 6, -9)
        return np.stack([np.zeros(found.shape), np.where(dogs, -20, pets), np.where(dogs, pets, -20)]).astype(
            np.float32
        )

    def _same(self, image: NDArray[np.int64], row: int, column: int) -> NDArray[np.bool_]:
        colour = image[:, row, column]
        if np.ptp(colour) <= 60:
            return np.zeros(image.shape[1:], bool)
        near = 90 if self.greedy else 30
        return np.asarray(
            (np.abs(image - colour[:, None, None]).max(0) < near) & (np.ptp(image, axis=0) > 60)
        )
