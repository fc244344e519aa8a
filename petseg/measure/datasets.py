"""Photos with their true masks, read from the two layouts that petseg evaluates and trains on.

The Oxford-IIIT Pet layout: `images/NAME.jpg`, `annotations/trimaps/NAME.png` (1 pet, 2 background,
3 border) and lists of names `annotations/{trainval,test}.txt`. The plain layout: `images/NAME.*` and
`masks/NAME.png` (0 background, 1 cat, 2 dog, 255 ignored; or what `classes` says, see `labels`).
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import ImageError
from petseg.measure.labels import WAY_OUT, LabelMap, check_known
from petseg.pixels.classes import BORDER, CLASSES
from petseg.pixels.image import load

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
    | {".avif", ".jfif", ".jpe", ".jp2", ".j2k", ".mpo", ".heic", ".heif"}
)
"""File names that end so are photos; those of the second line may need a newer Pillow, or pillow-heif."""

_TRIMAPS = Path("annotations", "trimaps")
_TRIMAP_PET, _TRIMAP_BACKGROUND = 1, 2


@dataclass(frozen=True, slots=True)
class Pair:
    """One photo and its mask, still on disk.

    Attributes:
        name: file name without suffix.
        image, mask: the files.
        trimap: whether `mask` is an Oxford trimap, whose species stands in the name.
        labels: what the values of the mask mean, None if they are class numbers.
    """

    name: str
    image: Path
    mask: Path
    trimap: bool = False
    labels: LabelMap | None = None

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
        return self.classes(read_labels(self.mask, self.labels))

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
        ImageError: unreadable, not a single-channel image, or with values that the mapping does not name.
    """
    try:
        with Image.open(path, formats=["PNG"]) as file:
            if labels is not None:
                return labels.apply(file, path)
            if file.mode not in {"L", "P", "1"}:
                raise ImageError(
                    f"mask {path} has mode {file.mode}; expected a single-channel 8-bit PNG of class "
                    f"numbers; {WAY_OUT}"
                )
            return np.array(file, np.uint8)
    except ImageError:
        raise
    except Exception as error:  # Pillow raises nearly anything on damaged input
        raise ImageError(f"mask {path} cannot be read: {error}") from error


def has_trimaps(folder: Path) -> bool:
    """Whether a folder is in the Oxford-IIIT Pet layout."""
    return (folder / _TRIMAPS).is_dir()


def read_pairs(
    folder: str | Path,
    split: str | None = None,
    masks: str | Path = "masks",
    classes: Mapping[str, str] | None = None,
) -> list[Pair]:
    """All pairs of a folder in either layout, sorted by name.

    Args:
        folder: holds `images/` and either `annotations/trimaps/` or `masks/`.
        split: a list in `annotations/` such as "trainval" or "test"; None takes every mask there is.
            The Oxford layout may be a subset: listed names without files are left out.
        masks: the mask folder in the plain layout: a name inside `folder`, or an absolute path.
        classes: what the masks of the plain layout hold, see `LabelMap.parse`; None: class numbers.

    Raises:
        ImageError: the folder has neither layout, or not a single whole pair; or its masks hold 255, which is
            ignored, and no pet.
    """
    folder = Path(folder)
    trimaps = folder / _TRIMAPS
    mask_folder = trimaps if has_trimaps(folder) else folder / masks
    images = folder / "images"
    for needed in (images, mask_folder):
        if not needed.is_dir():
            raise ImageError(
                f"{folder} holds no photos with masks: {needed} is missing "
                "(expected images/ beside masks/, or the Oxford-IIIT Pet layout)"
            )
    labels = LabelMap.parse(classes) if classes and mask_folder != trimaps else None
    find = _image_finder(images)
    names = _split_names(folder, split) if split else sorted(p.stem for p in mask_folder.glob("*.png"))
    found = [
        Pair(name, image, mask, trimap=mask_folder == trimaps, labels=labels)
        for name in names
        if (image := find(name)) is not None and (mask := mask_folder / f"{name}.png").is_file()
    ]
    if not found:
        others = {p.suffix for p in mask_folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES - {".png"}}
        lossy = f"; masks must be PNG files, {', '.join(sorted(others))} blurs or renumbers labels"
        raise ImageError(
            f"{folder} has no photo with a mask of the same name"
            + (f" in {split}" if split else "")
            + (lossy if others else "")
        )
    if mask_folder != trimaps:
        _check_pets(found)
    return found


def _check_pets(pairs: Sequence[Pair]) -> None:
    """Raise `ImageError` if what is ignored stands where pets should be: masks of 0 and 255."""
    ignored: Path | None = None
    for pair in pairs:
        try:
            labels = pair.read_mask()
        except ImageError:
            continue  # it is told of when it is needed
        if ((labels == 1) | (labels == 2)).any():
            return
        if ignored is None and (labels == BORDER).any():
            ignored = pair.mask
    if ignored is not None:
        raise ImageError(
            f"no mask shows a cat (1) or a dog (2), and {ignored} holds 255, which is ignored, not a pet; "
            f"{WAY_OUT}"
        )


def misfit(photo: tuple[int, ...], mask: tuple[int, ...]) -> str | None:
    """What is wrong where a mask has another (height, width) than its upright photo; None if nothing is."""
    if photo[:2] == mask[:2]:
        return None
    turned = "; the photo is turned by its EXIF orientation and the mask is not: turn the mask as well"
    return f"the photo has {photo[1]} x {photo[0]} pixels, the mask {mask[1]} x {mask[0]}" + (
        turned if photo[:2] == mask[1::-1] else ""
    )


def _image_finder(images: Path) -> Callable[[str], Path | None]:
    by_stem = {
        p.stem: p for p in sorted(images.iterdir(), reverse=True) if p.suffix.lower() in IMAGE_SUFFIXES
    }
    return by_stem.get


def _split_names(folder: Path, split: str) -> Sequence[str]:
    path = folder / "annotations" / f"{split}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ImageError(f"there is no split {split!r}: {path} cannot be read ({error.strerror})") from error
    return sorted(line.split()[0] for line in lines if line.strip() and not line.startswith("#"))


def read_named(folder: Path) -> list[tuple[Path, int]]:
    """Photos of which only the species is known: `images/NAME.*`, and `index.csv` with "name" and "species".

    Returns:
        Each photo with 1 for a cat or 2 for a dog, in the order of the index.

    Raises:
        ImageError: no such index, a species that is neither, or a photo that is missing.
    """
    path = folder / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(row["name"], row["species"]) for row in csv.DictReader(file)]
        find = _image_finder(folder / "images")
    except (OSError, KeyError) as error:
        raise ImageError(
            f"{path} cannot be read ({error}); expected columns name and species, beside images/"
        ) from error
    found = []
    for name, species in rows:
        image = find(name)
        if image is None or species not in CLASSES[1:]:
            raise ImageError(
                f"{path}: {name} has no photo in images/"
                if image is None
                else f"{path}: species of {name} is {species!r}, must be cat or dog"
            )
        found.append((image, CLASSES.index(species)))
    return found
