"""Telling the animals of a photo apart, by what the promptable model says of places spread over all pets."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.clicks import apart, closeup
from petseg.engine.network import Network, open_model, planes, vectors
from petseg.models import catalog
from petseg.pixels.geometry import Letterbox, bounds


@dataclass(frozen=True)
class Separator:
    """Lets the promptable model say which places belong to one animal.

    It is but the wish for a model, which is opened when it is first needed, and only once in a process; so
    what holds it can be pickled, and works on the machine where it is then.

    Attributes:
        device, threads: see `petseg.engine.network.open_model`.
    """

    device: str = "cpu"
    threads: int = 0

    def planes(
        self, photo: Callable[[], NDArray[np.uint8]], mask: NDArray[np.uint8]
    ) -> tuple[Letterbox, NDArray[np.float32]] | None:
        """Which animal each pixel of a mask is of.

        Args:
            photo: gives the (H, W, 3) uint8 photo; not called where there is nothing to tell apart.
            mask: (H, W) uint8, 0 background, 1 cat, 2 dog.

        Returns:
            A letterbox that shows all pets of the mask, and (K, S, S) a plane for each animal in its square:
            a pixel of a pet is of the animal whose plane is highest there. None where no installed model
            tells animals apart, or nothing is large enough.

        Raises:
            ImageError: the photo cannot be read any more.
            ModelError: the promptable model is damaged.
            DeviceError: it does not run on this device, or the device gave up.
        """
        network = self._open() if mask.any() else None
        if network is None:
            return None
        height, width = mask.shape
        corners = np.array(bounds(mask != 0), np.float64).reshape(2, 2)
        region = closeup.close_up(width, height, corners, tight=True)
        box = Letterbox.fit(width, height, network.manifest.size, region)
        found = box.apply_labels(mask) != 0
        spots = apart.places(found)
        if not len(spots):
            return None
        features = network.encode(planes([box.apply(photo(), network.manifest.fill)]))
        said, share = vectors(features)[0], np.count_nonzero(mask) / mask.size

        def animals(spots: NDArray[np.float64]) -> NDArray[np.float32]:
            return apart.animals(found, spots, apart.margins(said, spots, box.size), share)

        first = animals(spots)
        if len(first) < 2:
            return box, first
        count = apart.PLACES_OF_CROWD if len(first) >= apart.CROWD else apart.PLACES
        return box, animals(apart.places(found, count, apart.DEEP_SEVERAL))

    def _open(self) -> Network | None:
        """The model that says it; None where none that does is part of this petseg."""
        takers = catalog.takers("point")
        network = open_model(takers[0], self.device, self.threads) if takers else None
        return network if network is not None and network.manifest.apart else None
