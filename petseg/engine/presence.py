"""Whether what was clicked on is a pet at all, by the model that finds all pets.

A promptable model learns which animal is meant, and takes it for granted that one is. Whether a part of a
photo shows a pet is what the other model learned, from photos with and without.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.engine.network import Network, open_model, planes
from petseg.engine.second_look import MAYBE, is_wide
from petseg.models import catalog
from petseg.pixels import decision
from petseg.pixels.geometry import Letterbox, Region


@dataclass(frozen=True)
class Seen:
    """What a model that finds all pets says of a part of a photo.

    Attributes:
        letterbox: that part.
        logits: (3, S, S) float32.
        sure: see `petseg.models.manifest.Manifest`.
    """

    letterbox: Letterbox
    logits: NDArray[np.float32]
    sure: float

    def shows_pet(self) -> bool:
        """Whether there is a pet (`petseg.pixels.decision`)."""
        return decision.shows_pet(self.letterbox, *decision.margins(self.logits), None, self.sure)

    def may_show_pet(self, corners: NDArray[np.float64]) -> bool:
        """Whether a second look between two corners (2, 2) of the photo, x0, y0 and x1, y1, might show one.

        In a photo so long that it is seen in tiles anything might, after a look at all of it.
        """
        box = self.letterbox
        if is_wide(box):
            return True
        low, high = box.to_model(corners)
        (left, top), (right, bottom) = (
            np.maximum(at, 0).astype(int) for at in (np.floor(low), np.ceil(high))
        )
        return bool((decision.margin(self.logits)[top:bottom, left:right] > MAYBE).any())


@dataclass(frozen=True)
class Presence:
    """Asks another model whether there is a pet.

    As `petseg.engine.apart.Separator`, it is but the wish for a model, opened when it is first needed.

    Attributes:
        model: its name, as `petseg.models.manifest.Manifest.presence` has it.
        device, threads: see `petseg.engine.network.open_model`.
    """

    model: str
    device: str
    threads: int

    def see(self, photo: NDArray[np.uint8], region: Region | None) -> Seen | None:
        """What the model says of a part of a photo; None where nobody can be asked.

        Args:
            photo: (H, W, 3) uint8.
            region: of the photo, None for all of it.

        Raises:
            ModelError: the model is damaged.
            DeviceError: it does not run on this device, or the device gave up.
        """
        network = self._open()
        if network is None:
            return None
        height, width = photo.shape[:2]
        letterbox = Letterbox.fit(width, height, network.manifest.size, region)
        logits = network.run(planes([letterbox.apply(photo, network.manifest.fill)]))[0]
        if network.manifest.doubt:
            logits = decision.without_unsure(letterbox, logits)
        return Seen(letterbox, logits, network.manifest.sure)

    def _open(self) -> Network | None:
        """The model that is asked; None where it is not part of this petseg, or is asked by clicks itself."""
        plain = [info.name for info in catalog.embedded_models() if not info.prompts]
        return open_model(self.model, self.device, self.threads) if self.model in plain else None
