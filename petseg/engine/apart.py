"""Telling the animals of a photo apart, by what the promptable model says at places spread over all pets.

One whose manifest says `apart` has said it in its features. Any other is asked about each place.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.clicks import apart, closeup, prompts
from petseg.engine.network import Features, Network, open_model, planes, vectors
from petseg.models import catalog
from petseg.pixels.decision import margin
from petseg.pixels.geometry import Letterbox, bounds

_TOGETHER = 2
"""Places that are asked about in one run on a CPU: six took 90 MB more, and no less time."""


@dataclass(frozen=True)
class Separator:
    """Asks the promptable model which places belong to one animal.

    It is but the wish for a model, which is opened when it is first needed, and only once in a process; so
    what holds it can be pickled, and asks on the machine where it is then.

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
            photo: gives the (H, W, 3) uint8 photo; not called where there is nothing to ask about.
            mask: (H, W) uint8, 0 background, 1 cat, 2 dog.

        Returns:
            A letterbox that shows all pets of the mask, and (K, S, S) a plane for each animal in its square:
            a pixel of a pet is of the animal whose plane is highest there. None where no installed model
            takes a click, or nothing is large enough to click on.

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
        asked = apart.places(found)
        if not len(asked):
            return None
        features = network.encode(planes([box.apply(photo(), network.manifest.fill)]))
        if network.manifest.apart:
            answers = apart.margins(vectors(features)[0], asked, box.size)
        else:
            answers = _asked(network, features, asked, box)
        share = np.count_nonzero(mask) / mask.size
        return box, apart.animals(found, asked, answers, share)

    def _open(self) -> Network | None:
        """The model that is asked; None where none that takes a click is part of this petseg."""
        takers = catalog.takers("point")
        return open_model(takers[0], self.device, self.threads) if takers else None


def _asked(
    network: Network, features: Features, asked: NDArray[np.float64], box: Letterbox
) -> NDArray[np.float32]:
    """(N, S, S) by how much a pet exceeds background in the answers to clicks (N, 2) on a square."""
    clicks = [prompts.Prompt(box.to_image(place[None]), np.array([True])) for place in asked]
    encoded = np.stack([prompts.encode(click, box) for click in clicks])
    together = _TOGETHER if network.device == "cpu" else len(encoded)
    return np.concatenate([_answers(network, features, part) for part in _parts(encoded, together)])


def _parts(encoded: NDArray[np.float32], together: int) -> list[NDArray[np.float32]]:
    """Prompts (N, 2, S, S), so many together; one that would be left over goes with the last ones.

    Alone in its batch, it would be answered by other kernels, and so a little differently.
    """
    return np.split(encoded, range(together, len(encoded) - 1, together))


def _answers(network: Network, features: Features, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, S, S) by how much a pet exceeds background in the answer to each of the prompts (N, 2, S, S)."""
    batch = {name: np.repeat(values, len(encoded), 0) for name, values in features.items()}
    return margin(network.answer(batch, encoded).transpose(1, 0, 2, 3))
