"""What somebody's folder of photos and masks holds, and how a config reads it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from petseg.errors import ImageError
from petseg.measure import annotations
from petseg.measure.datasets import IMAGE_SUFFIXES, has_trimaps
from petseg.measure.labels import CLASS_NUMBERS, values_of
from petseg.measure.pair import misfit
from petseg.pixels.classes import BORDER, CLASSES
from train.config import SourceConfig
from train.data.dataset import species_shown
from train.data.samples import Sample

MASK_FOLDERS = ("masks", "mask", "labels", "SegmentationClass", "segmentation")
"""Names that a folder of masks goes by, the likeliest first; others are looked at too."""
MOST_VALUES = 24
"""Values that masks may have together: more are blurred edges, not classes."""
MOST_NAMED = 5
"""Photos that a message names."""
NOTHING = "no pet"
_WORDS = {
    1: re.compile(r"(?<![a-z])(cats?|kittens?|kitty|feline)(?![a-z])", re.IGNORECASE),
    2: re.compile(r"(?<![a-z])(dogs?|pupp(y|ies)|canine)(?![a-z])", re.IGNORECASE),
}
"""Class -> words that name it."""
_IGNORED = re.compile(r"void|ignored?|unlabell?ed|border", re.IGNORECASE)


class UnclearError(ImageError):
    """A folder that leaves open what it means; the message says what to tell."""


@dataclass(frozen=True)
class Found:
    """How a folder is read.

    Attributes:
        source: for the config.
        values: what the masks hold, "255" or "#ff8c00" -> share of all pixels; empty where classes do not
            stand in pixels.
    """

    source: SourceConfig
    values: dict[str, float]


def look(folder: Path, masks: str = "", classes: Mapping[str, str] | None = None) -> Found:
    """Find photos and masks, and what the masks mean.

    Args:
        folder: of photos and masks in one of the layouts that petseg reads.
        masks: name of the folder of masks or of the annotation file in it; "" looks for them.
        classes: value or label -> class, where the folder does not say it itself.

    Raises:
        petseg.ImageError: nothing that petseg reads.
        UnclearError: masks whose values nobody explains.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is no folder")
    source = SourceConfig(path=folder.resolve().as_posix(), validation=0.2)
    if has_trimaps(folder):
        lists = {path.stem for path in (folder / "annotations").glob("*.txt")}
        if "trainval" not in lists:
            raise ImageError(f"{folder} has Oxford trimaps, and no annotations/trainval.txt beside them")
        return Found(source.model_copy(update={"layout": "oxford"}), {})
    masks = masks or find_masks(folder)
    if annotations.names_one(masks):
        labels = annotations.labels_in(folder / masks)
        named = dict(classes or {}) or name_labels(labels)
        return Found(source.model_copy(update={"masks": masks, "classes": named}), {})
    values = mask_values(sorted((folder / masks).glob("*.png")))
    given = dict(classes or {}) or guess(values, folder)
    return Found(source.model_copy(update={"masks": masks, "classes": given}), values)


def find_masks(folder: Path) -> str:
    """Name of the folder of masks beside images/, or of an annotation file there or in annotations/.

    Raises:
        petseg.ImageError: there are no photos, or no masks of their names.
        UnclearError: there are several annotation files.
    """
    images = folder / "images"
    photos = (
        {
            name
            for path in images.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            for name in (path.stem, path.name)
        }
        if images.is_dir()
        else set()
    )
    if not photos:
        raise ImageError(
            f"{folder} holds no photos that petseg finds: put them into {images}, and their masks into "
            f"{folder / 'masks'}, PNG files of the same names (or an export of COCO, Label Studio or CVAT "
            "beside images/)"
        )
    others = sorted(path.name for path in folder.iterdir() if path.is_dir() and path != images)
    fitting = {
        name: sum(path.stem.removesuffix(".mask") in photos for path in (folder / name).glob("*.png"))
        for name in others
    }
    best = max(others, key=lambda name: (fitting[name], name in MASK_FOLDERS), default=None)
    if best is not None and fitting[best]:
        return best
    files = sorted(
        path.relative_to(folder).as_posix()
        for place in (folder, folder / "annotations")
        for path in place.glob("*")
        if annotations.names_one(path)
    )
    if len(files) > 1:
        raise UnclearError(f"{folder} has {len(files)} annotation files; say which: --masks {files[0]}, say")
    if not files:
        raise ImageError(
            f"no folder beside {images} has PNG files of the photos' names ({min(photos)}.png, say): those "
            "are the masks; nor is there an annotation file (.json, .xml)"
        )
    return files[0]


def name_labels(labels: Sequence[str]) -> dict[str, str]:
    """What labels of an annotation tool mean, by their words; those that are classes already are left out.

    Raises:
        UnclearError: none of them means a cat or a dog.
    """
    meant = {label: class_of(label) for label in labels}
    if not {"cat", "dog"} & set(meant.values()):
        raise UnclearError(
            f"what is outlined is called {', '.join(labels) or 'nothing'}; say what it means, such as "
            f"--classes '{labels[0] if labels else 'pet'}=cat'"
        )
    return {label: name for label, name in meant.items() if label.casefold() not in CLASS_NUMBERS}


def mask_values(paths: Sequence[Path]) -> dict[str, float]:
    """The values of all masks: grey ones as "255", colours as "#ff8c00" -> share of all pixels.

    Raises:
        petseg.ImageError: a mask cannot be read, or they have too many values.
    """
    counts: Counter[int] = Counter()
    grey = True
    for path in tqdm(paths, desc="masks", unit="mask", mininterval=2, leave=False):
        try:
            with Image.open(path, formats=["PNG"]) as mask:
                if mask.mode not in ("L", "P", "1") and grey:
                    grey = False
                    counts = Counter({value * 0x010101: count for value, count in counts.items()})
                numbers = values_of(mask, grey=grey)
        except (OSError, ValueError) as error:
            raise ImageError(f"mask {path} cannot be read: {error}") from error
        values, often = np.unique(numbers, return_counts=True)
        counts.update(dict(zip(values.tolist(), often.tolist(), strict=True)))
        if len(counts) > MOST_VALUES:
            raise ImageError(
                f"masks up to {path} hold more than {MOST_VALUES} values: blurred edges, or a lossy format "
                "on the way; save them without smoothing, one value for each class"
            )
    total = sum(counts.values())
    return {(str(value) if grey else f"#{value:06x}"): count / total for value, count in counts.most_common()}


def guess(values: Mapping[str, float], folder: Path) -> dict[str, str]:
    """What masks' values mean, as far as the folder says.

    Class numbers are left as they are. Else names stand in labelmap.txt, as CVAT writes it, or there are two
    values, of which the more frequent one is background, and the folder's name or those of its photos say
    which species the other is.

    Raises:
        UnclearError: they may mean anything.
    """
    known = {str(number) for number in (0, 1, 2, BORDER)}
    if values.keys() <= known and values.keys() & {"1", "2"}:
        return {}
    named = read_labelmap(folder / "labelmap.txt")
    if named and values.keys() <= named.keys():
        return {value: class_of(named[value]) for value in values}
    if len(values) == 2 and (species := species_of(folder)):
        background, pet = values
        return {background: CLASSES[0], pet: CLASSES[species]}
    listed = ", ".join(f"{value} ({share:.1%} of the pixels)" for value, share in values.items())
    example = ",".join(
        f"{value}={name}" for value, name in zip(values, ("background", "cat", "dog"), strict=False)
    )
    raise UnclearError(f"masks hold {listed}; say what they mean, such as --classes '{example}'")


def read_labelmap(path: Path) -> dict[str, str]:
    """CVAT's labelmap.txt, lines of `label:red,green,blue:parts:actions`: "#ff8c00" -> label."""
    if not path.is_file():
        return {}
    found = re.findall(
        r"^([^#:\n][^:\n]*):(\d+),(\d+),(\d+):", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {f"#{int(r):02x}{int(g):02x}{int(b):02x}": label.strip() for label, r, g, b in found}


def class_of(label: str) -> str:
    """The class that a label means, by its words: what is no cat and no dog is background."""
    for number, words in _WORDS.items():
        if words.search(label.replace("_", " ")):
            return CLASSES[number]
    return "ignored" if _IGNORED.search(label) else CLASSES[0]


def species_of(folder: Path) -> int:
    """1 or 2 if the names of the folder or of its photos speak of one species only; else 0."""
    spoken = [folder.resolve().name, *(path.stem for path in (folder / "images").iterdir())]
    text = "\n".join(spoken).replace("_", " ").replace("-", " ")
    said = [number for number, words in _WORDS.items() if words.search(text)]
    return said[0] if len(said) == 1 else 0


def examine(samples: Sequence[Sample]) -> Counter[str]:
    """What the masks show, in words -> number of photos.

    Raises:
        petseg.ImageError: some cannot be used; the message names them and says why.
    """
    shown: Counter[str] = Counter()
    broken = {}
    for sample in tqdm(samples, desc="photos", unit="photo", mininterval=2, leave=False):
        try:
            image, mask = sample.read_image(), sample.read_mask()
        except ImageError as error:
            broken[sample.name] = str(error)
            continue
        if (wrong := misfit(image.shape, mask.shape)) is not None:
            broken[sample.name] = wrong
        names = [CLASSES[number] for number in sorted(species_shown(mask))]
        shown[" and ".join(names) or NOTHING] += 1
    if broken:
        named = "\n  ".join(f"{name}: {why}" for name, why in list(broken.items())[:MOST_NAMED])
        raise ImageError(f"{len(broken)} of {len(samples)} photos cannot be used:\n  {named}")
    return shown
