"""Whether what was clicked on is a pet at all, by the model that finds all pets.

A promptable model learns which animal is meant, and takes it for granted that one is. Whether a part of a
photo shows a pet is what the other model learned, from photos with and without.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.engine.network import Network, open_model, planes
from petseg.engine.second_look import MAYBE, is_wide
from petseg.lazy import lazy
from petseg.models import catalog
from petseg.models.manifest import Manifest
from petseg.pixels import decision
from petseg.pixels.geometry import Letterbox, Region

POINTED = 2.0
"""By how much a pet exceeds background from which on there is one where somebody points: probably, by 0.88.

Chosen on held-out photos of pets and without, clicked on (docs/what-a-pet-is.md).
"""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model that finds all pets says of a part of a photo.

    Attributes:
        letterbox: that part.
        raw: (3, S, S) float32 logits.
        manifest: of the model.
    """

    letterbox: Letterbox
    raw: NDArray[np.float32]
    manifest: Manifest

    @lazy
    def logits(self) -> NDArray[np.float32]:
        """(3, S, S) float32, with regions of pet ruled out that have too few pixels that are sure."""
        return decision.without_unsure(self.letterbox, self.raw) if self.manifest.doubt else self.raw

    def shows_pet(self, corners: NDArray[np.float64] | None = None) -> bool:
        """Whether there is a pet (`petseg.pixels.decision`).

        Args:
            corners: (2, 2) of the photo, x0, y0 and x1, y1, between which somebody points at something: less
                is needed of a pet there. None: nobody does.
        """
        if corners is not None and self._most(corners) > POINTED:
            return True
        return decision.shows_pet(self.letterbox, *decision.margins(self.logits), None, self.manifest.sure)

    def may_show_pet(self, corners: NDArray[np.float64]) -> bool:
        """Whether a second look between two corners (2, 2) of the photo, x0, y0 and x1, y1, might show one.

        In a photo so long that it is seen in tiles anything might, after a look at all of it.
        """
        return is_wide(self.letterbox) or self._most(corners) > MAYBE

    def _most(self, corners: NDArray[np.float64]) -> float:
        """By how much a pet exceeds background between two corners, at most."""
        low, high = self.letterbox.to_model(corners)
        (left, top), (right, bottom) = (
            np.maximum(at, 0).astype(int) for at in (np.floor(low), np.ceil(high))
        )
        return float(decision.margin(self.raw[:, top:bottom, left:right]).max(initial=-np.inf))


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
        return Seen(letterbox, logits, network.manifest)

    def _open(self) -> Network | None:
        """The model that is asked; None where it is not part of this petseg, or is asked by clicks itself."""
        plain = [info.name for info in catalog.embedded_models() if not info.prompts]
        return open_model(self.model, self.device, self.threads) if self.model in plain else None
