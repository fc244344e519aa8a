"""Whether what was clicked on is a pet at all, by the model that finds all pets.

A promptable model learns which animal is meant, and takes it for granted that one is. Whether a part of a
photo shows a pet is what the other model learned, from photos with and without.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.engine.network import Network, open_model, planes
from petseg.models import catalog
from petseg.pixels import decision
from petseg.pixels.geometry import Letterbox, Region


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

    def shows_pet(self, photo: NDArray[np.uint8], region: Region | None) -> bool:
        """Whether a part of a photo shows a pet (`petseg.pixels.decision`); True where nobody can be asked.

        Args:
            photo: (H, W, 3) uint8.
            region: of the photo, None for all of it.

        Raises:
            ModelError: the model is damaged.
            DeviceError: it does not run on this device, or the device gave up.
        """
        network = self._open()
        if network is None:
            return True
        height, width = photo.shape[:2]
        letterbox = Letterbox.fit(width, height, network.manifest.size, region)
        logits = network.run(planes([letterbox.apply(photo, network.manifest.fill)]))[0]
        if network.manifest.doubt:
            logits = decision.without_unsure(letterbox, logits)
        return decision.shows_pet(letterbox, *decision.margins(logits), None, network.manifest.sure)

    def _open(self) -> Network | None:
        """The model that is asked; None where it is not part of this petseg, or is asked by clicks itself."""
        plain = [info.name for info in catalog.embedded_models() if not info.prompts]
        return open_model(self.model, self.device, self.threads) if self.model in plain else None
