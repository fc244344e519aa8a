"""One photo with its true mask: reading both, and what tells that they do not belong together."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import ImageError
from petseg.measure.labels import WAY_OUT, LabelMap, check_known
from petseg.measure.outlines import Outlined
from petseg.pixels.classes import BORDER
from petseg.pixels.image import load, turn_of

_TRIMAP_PET, _TRIMAP_BACKGROUND = 1, 2


@dataclass(frozen=True, slots=True)
class Pair:
    """One photo and its mask, still on disk.

    Attributes:
        name: file name without suffix; of photos in folders below, and where two differ in it, more of it.
        image, mask: the files.
        trimap: whether `mask` is an Oxford trimap, whose species stands in the name.
        labels: what the values of the mask mean, None if they are class numbers.
        outlined: what is drawn on the photo in `mask`, where that is an annotation file.
    """

    name: str
    image: Path
    mask: Path
    trimap: bool = False
    labels: LabelMap | None = None
    outlined: Outlined | None = None

    @property
    def species(self) -> int:
        """1 for a cat, 2 for a dog: Oxford names of cats begin in upper case."""
        return 1 if self.name[:1].isupper() else 2

    @property
    def breed(self) -> str:
        """The name up to its first part with a digit: "Maine_Coon_12" -> "Maine_Coon"."""
        return re.sub(r"_[^_]*\d.*$", "", self.name)

    def read_image(self) -> NDArray[np.uint8]:
        """The upright photo, (H, W, 3) uint8."""
        return load(self.image)

    def read_mask(self) -> NDArray[np.uint8]:
        """The classes, (H, W) uint8: 0 background, 1 cat, 2 dog, 255 ignored.

        Raises:
            ImageError: it cannot be read, or holds a label that no class has.
        """
        if self.outlined is None:
            return self.classes(read_labels(self.mask, self.labels))
        if (
            not self.outlined.regions
        ):  # Label Studio does not say the size of a photo on which nothing is drawn
            return np.zeros(self.read_image().shape[:2], np.uint8)
        try:
            return self.outlined.mask()
        except ValueError as error:
            raise ImageError(f"annotations {self.mask}: photo {self.image}: {error}") from error

    def classes(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class numbers from the labels in the mask's file."""
        return trimap_classes(labels, self.species) if self.trimap else check_known(labels, self.mask)


def trimap_classes(trimap: NDArray[np.uint8], species: int) -> NDArray[np.uint8]:
    """Oxford trimap -> classes: 1 becomes `species` (1 or 2), 2 background, all else `BORDER`."""
    classes = np.full_like(trimap, BORDER)
    classes[trimap == _TRIMAP_PET] = species
    classes[trimap == _TRIMAP_BACKGROUND] = 0
    return classes


def read_labels(path: Path, labels: LabelMap | None = None) -> NDArray[np.uint8]:
    """A single-channel 8-bit label file, (H, W) uint8; or any that a mapping makes one of.

    Raises:
        ImageError: unreadable, not a single-channel image, one of a single bit without a mapping, or with
            values that the mapping does not name.
    """
    try:
        with path.open("rb") as opened:
            if opened.read(2) == b"\xff\xd8":
                raise ImageError(f"mask {path} is a JPEG, which blurs labels; export the masks as PNG")
        with Image.open(path, formats=["PNG"]) as file:
            if labels is not None:
                return labels.apply(file, path)
            if file.mode not in {"L", "P", "1"}:
                raise ImageError(
                    f"mask {path} has mode {file.mode}; expected a single-channel 8-bit PNG of class "
                    f"numbers; {WAY_OUT}"
                )
            values = np.array(file, np.uint8)
            if file.mode == "1" and values.any():
                raise ImageError(
                    f"mask {path} has one bit for a pixel, 0 and 255: it says where something is, not "
                    f"whether cat or dog; {WAY_OUT}"
                )
            return values
    except ImageError:
        raise
    except Exception as error:  # Pillow raises nearly anything on damaged input
        raise ImageError(f"mask {path} cannot be read: {error}") from error


def hides_pets(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask (H, W) has pixels that are ignored and none of a pet, as one of 0 and 255 has."""
    return bool((mask == BORDER).any()) and not bool(np.isin(mask, (1, 2)).any())


def turned_alike(pair: Pair, mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A mask (H, W) as it ought to be if its photo is turned by its EXIF orientation and the mask is not yet.

    Returns:
        None where the photo is not turned, or `misfit` can tell.
    """
    turn = turn_of(pair.image)
    turned = mask if turn is None else np.asarray(Image.fromarray(mask).transpose(turn))
    return None if turn is None or turned.shape != mask.shape else turned


def misfit(photo: tuple[int, ...], mask: tuple[int, ...]) -> str | None:
    """What is wrong where a mask has another (height, width) than its upright photo; None if nothing is."""
    if photo[:2] == mask[:2]:
        return None
    turned = "; the photo is turned by its EXIF orientation and the mask is not: turn the mask as well"
    return f"the photo has {photo[1]} x {photo[0]} pixels, the mask {mask[1]} x {mask[0]}" + (
        turned if photo[:2] == mask[1::-1] else ""
    )
