"""Photos with their true masks, read from the two layouts that petseg evaluates and trains on.

The Oxford-IIIT Pet layout: `images/NAME.jpg`, `annotations/trimaps/NAME.png` (1 pet, 2 background,
3 border) and lists of names `annotations/{trainval,test}.txt`. The plain layout: `images/NAME.*` and
`masks/NAME.png` (0 background, 1 cat, 2 dog, 255 ignored; or what `classes` says, see `labels`).
"""

import csv
import warnings
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path

import numpy as np

from petseg.errors import ImageError, ImageWarning
from petseg.measure import annotations
from petseg.measure.labels import WAY_OUT, LabelMap
from petseg.measure.pair import Pair, hides_pets
from petseg.pixels.classes import CLASSES

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
    | {".avif", ".jfif", ".jpe", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".mpo", ".heic", ".heif"}
    | {".ppm", ".pgm", ".pnm", ".tga"}
)
"""File names that end so are photos; those of the second line may need a newer Pillow, or pillow-heif."""

_TRIMAPS = Path("annotations", "trimaps")


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
            The Oxford layout may be a subset: listed names without files are left out, counted aloud.
        masks: the mask folder in the plain layout: a name inside `folder`, or an absolute path; or in its
            place, in any layout, an annotation file (.json, .xml), see `petseg.measure.annotations`.
        classes: what the masks of the plain layout hold, see `LabelMap.parse`, or the labels of an annotation
            file mean, see `annotations.read`; None: class numbers, and the classes' own names.

    Raises:
        ImageError: the folder has neither layout, or not a single whole pair; or its masks hold 255, which is
            ignored, and no pet.
    """
    folder = Path(folder)
    if annotations.names_one(masks):
        return _read_annotated(folder, folder / masks, split, classes)
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
    find, files = _image_finder(images), _masks_by_name(mask_folder)
    names = _split_names(folder, split) if split else sorted(files)
    found = [
        Pair(name, image, files[name], trimap=mask_folder == trimaps, labels=labels)
        for name in names
        if name in files and (image := find(name)) is not None
    ]
    if mask_folder != trimaps:
        _refuse_other_formats(mask_folder, find, {pair.image for pair in found})
    if not found:
        raise ImageError(
            f"{folder} has no photo with a mask of the same name" + (f" in {split}" if split else "")
        )
    if split is not None:
        _count_absent(folder, split, names, found)
    if mask_folder != trimaps:
        if split is None:
            _count_single(images, mask_folder, found, files)
        _check_pets(found)
    return found


def _masks_by_name(folder: Path) -> dict[str, Path]:
    """Name of the photo, with its suffix or without -> its mask: NAME.png, or petseg's own NAME.mask.png.

    Raises:
        ImageError: a photo has both.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.png")):
        name = path.stem.removesuffix(".mask")
        if name in found:
            raise ImageError(f"{found[name]} and {path} are masks of one photo; which of them is right?")
        found[name] = path
    return found


def _refuse_other_formats(folder: Path, find: Callable[[str], Path | None], done: Container[Path]) -> None:
    """Raise `ImageError` for a mask that is no PNG file."""
    for path in sorted(folder.iterdir()):
        other = path.suffix.lower() in IMAGE_SUFFIXES - {".png"}
        if other and (image := find(path.stem.removesuffix(".mask"))) is not None and image not in done:
            raise ImageError(
                f"mask {path} is no PNG file: JPEG and other formats of photos blur labels or renumber them; "
                "export the masks as PNG"
            )


def _count_single(images: Path, masks: Path, found: Sequence[Pair], files: Mapping[str, Path]) -> None:
    """Warn of photos without a mask and of masks without a photo, which are left out."""
    taken = {pair.image for pair in found}
    photos = [p for p in sorted(images.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES and p not in taken]
    used = {pair.mask for pair in found}
    single = [p for p in files.values() if p not in used and not p.name.startswith(".")]
    said = [
        f"{len(paths)} of the {kind} {'has' if len(paths) == 1 else 'have'} no {other} ({paths[0].name}, say)"
        for paths, kind, other in (
            (photos, f"photos in {images}", "mask"),
            (single, f"masks in {masks}", "photo"),
        )
        if paths
    ]
    if said:
        warnings.warn(f"{' and '.join(said)}: they are left out", ImageWarning, stacklevel=3)


def _count_absent(folder: Path, split: str, names: Sequence[str], found: Sequence[Pair]) -> None:
    """Warn of names in a list that have no photo or no mask, which are left out."""
    taken = {pair.name for pair in found}
    absent = [name for name in names if name not in taken]
    if absent:
        warnings.warn(
            f"{len(absent)} of the {len(names)} names in the list {split!r} of {folder} have no photo or "
            f"no mask ({absent[0]}, say): they are left out",
            ImageWarning,
            stacklevel=3,
        )


def _read_annotated(
    folder: Path, path: Path, split: str | None, classes: Mapping[str, str] | None
) -> list[Pair]:
    """The photos of an annotation file, as far as they are there; the rest is counted aloud."""
    export = annotations.read(path, classes)
    names = set(_split_names(folder, split)) if split else None
    found: dict[Path, Pair] = {}
    missing: list[str] = []
    for drawn in export.photos:
        image = _photo_named(folder, drawn.name)
        if image is None:
            missing.append(drawn.name)
            continue
        if image in found:
            raise ImageError(f"annotations {path} name the photo {image} twice; which of them is right?")
        name = _below(image, folder)
        if names is None or name in names:
            found[image] = Pair(name, image, path, outlined=drawn.outlined)
    regions = [region.number for drawn in export.photos for region in drawn.outlined.regions]
    if annotations.OTHERS in (classes or {}) and not {1, 2} & set(regions):
        raise ImageError(
            f"annotations {path} outline no cat and no dog; name in classes which labels those are"
        )
    if not found:
        named = f" ({missing[0]!r}, say)" if missing else ""
        raise ImageError(f"none of the photos that {path} names{named} is in {folder / 'images'}")
    if missing or export.untouched:
        warnings.warn(
            f"of the photos of {path}, {len(missing)} are not in {folder / 'images'}"
            + (f" ({missing[0]!r}, say)" if missing else "")
            + f", and {export.untouched} are not annotated: they are left out",
            ImageWarning,
            stacklevel=3,
        )
    return sorted(found.values(), key=lambda pair: pair.name)


def _below(image: Path, folder: Path) -> str:
    """A photo's name with its folder below images/: photos of several folders may be called the same."""
    for root in (folder / "images", folder):
        if image.is_relative_to(root):
            return image.relative_to(root).with_suffix("").as_posix()
    return image.stem


def _photo_named(folder: Path, name: str) -> Path | None:
    """The file of a photo that an annotation file names; None if it is not there."""
    for candidate in annotations.file_names(name):
        for root in (folder / "images", folder):
            path = root / candidate
            if ".." not in Path(candidate).parts and path.is_relative_to(root) and path.is_file():
                return path
    return None


def _check_pets(pairs: Sequence[Pair]) -> None:
    """Raise `ImageError` if what is ignored stands where pets should be: masks of 0 and 255."""
    ignored: Path | None = None
    for pair in pairs:
        try:
            labels = pair.read_mask()
        except ImageError:
            continue  # it is told of when it is needed
        if np.isin(labels, (1, 2)).any():
            return  # of the others, whoever reads them all tells
        if ignored is None and hides_pets(labels):
            ignored = pair.mask
    if ignored is not None:
        raise ImageError(
            f"no mask shows a cat (1) or a dog (2), and {ignored} holds 255, which is ignored, not a pet; "
            f"{WAY_OUT}"
        )


def _image_finder(images: Path) -> Callable[[str], Path | None]:
    """A function from a name, with its suffix or without, to the photo; it raises `ImageError` for two."""
    whole = {p.name: p for p in sorted(images.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES}
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in whole.values():
        by_stem[path.stem].append(path)

    def find(name: str) -> Path | None:
        if name in whole:
            return whole[name]
        found = by_stem.get(name, [])
        if len(found) > 1:
            raise ImageError(
                f"{found[0]} and {found[1].name} are two photos, and {name!r} means one; call masks after "
                f"whole names: {found[0].name}.png"
            )
        return found[0] if found else None

    return find


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
