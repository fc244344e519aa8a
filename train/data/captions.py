"""Photos with captions made of species and breed, for contrastive training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from petseg.errors import ImageError
from petseg.measure.datasets import IMAGE_SUFFIXES, read_pairs
from petseg.measure.pair import Pair
from petseg.pixels.classes import BORDER, CLASSES
from petseg.pixels.image import load
from train.config import DataConfig, SourceConfig
from train.data.augment import plain, to_tensors
from train.data.dataset import PhotoDataset, split_sources
from train.models.contrastive import words_of
from train.sections import AugmentConfig, CaptionConfig

ANY = -1
"""In place of a breed: the caption names the species only, or there is no animal."""

CROP_SIDES = (0.25, 0.6)
"""Smallest and largest square cut from the background, as shares of the photo's shorter side."""
CROP_TRIALS = 20


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo whose file name tells species and breed, with its mask if there is one."""

    pair: Pair

    @property
    def name(self) -> str:
        """File name without suffix."""
        return self.pair.name

    @property
    def breed(self) -> str:
        """What the validation split is stratified by, as for every model: "Maine_Coon"."""
        return self.pair.breed

    @property
    def breed_name(self) -> str:
        """The breed as captions write it: "maine coon"."""
        return self.breed.replace("_", " ").lower()

    @property
    def species(self) -> int:
        """1 for a cat, 2 for a dog."""
        return self.pair.species

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        return load(self.pair.image)

    def read_mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 background, 1 cat, 2 dog, 255 unknown, which without a mask is everything."""
        if self.pair.mask.is_file():
            return self.pair.read_mask()
        return np.full(self.read_image().shape[:2], BORDER, np.uint8)


def read_captioned(source: SourceConfig, root: Path) -> list[CaptionedPhoto]:
    """All photos of a source, sorted by name; in the "folder" layout also those without a mask.

    Raises:
        petseg.ImageError: the folder is missing or holds no photos.
    """
    folder = source.folder(root)
    if source.layout == "oxford":
        return [CaptionedPhoto(pair) for pair in read_pairs(folder, source.split)]
    images = folder / "images"
    if not images.is_dir():
        raise ImageError(f"{folder} holds no photos: {images} is missing")
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ImageError(f"{images} holds no photos")
    return [CaptionedPhoto(Pair(p.stem, p, folder / source.masks / f"{p.stem}.png")) for p in paths]


def read_captioned_splits(config: DataConfig) -> tuple[list[CaptionedPhoto], list[CaptionedPhoto]]:
    """Training and validation photos, as `train.data.dataset.read_splits`.

    Raises:
        ValueError: the config asks for a balance of species, which is that of masks.
    """
    if config.balance:
        raise ValueError("data.balance counts what masks show: contrastive training cannot have it")
    return split_sources(config, lambda source: read_captioned(source, Path(config.root)))


class Captioner:
    """What can be said about photos of known breeds.

    Attributes:
        species_of: breed -> 1 cat, 2 dog; sorted by name.
    """

    def __init__(self, photos: Sequence[CaptionedPhoto], config: CaptionConfig) -> None:
        self.config = config
        self.species_of = dict(sorted({photo.breed_name: photo.species for photo in photos}.items()))
        self.breeds = list(self.species_of)

    def breed_captions(self, breed: str) -> list[str]:
        """Every caption of a breed."""
        species = CLASSES[self.species_of[breed]]
        return [template.format(breed=breed, species=species) for template in self.config.breed]

    def class_captions(self, number: int) -> list[str]:
        """Every caption of a cat or dog of any breed, or of the background (0)."""
        if number == 0:
            return list(self.config.nothing)
        return [template.format(species=CLASSES[number]) for template in self.config.species]

    def vocabulary(self) -> list[str]:
        """The words of all captions, sorted."""
        captions = [text for breed in self.breeds for text in self.breed_captions(breed)]
        captions += [text for number in range(len(CLASSES)) for text in self.class_captions(number)]
        return sorted({word for text in captions for word in words_of(text)})

    def facts(self, photo: CaptionedPhoto | None) -> Tensor:
        """Species and number of the breed, (2,) int64; None is a photo of background."""
        if photo is None:
            return torch.tensor([0, ANY])
        number = self.breeds.index(photo.breed_name) if photo.breed_name in self.species_of else ANY
        return torch.tensor([photo.species, number])

    def draw(self, facts: Tensor) -> tuple[str, Tensor]:
        """A caption that is true of a photo, and what it says (2,), from torch's generator."""
        species, breed = (int(fact) for fact in facts)
        if breed != ANY and float(torch.rand(())) < self.config.species_share:
            breed = ANY
        texts = self.class_captions(species) if breed == ANY else self.breed_captions(self.breeds[breed])
        return texts[int(torch.randint(len(texts), ()))], torch.tensor([species, breed])


def fitting(photos: Tensor, captions: Tensor) -> Tensor:
    """Which captions are true of which photos: facts (B, 2), (T, 2) -> (B, T) bool."""
    same = photos[:, None] == captions[None]
    return same[..., 0] & (same[..., 1] | (captions[None, :, 1] == ANY))


class CaptionDataset(PhotoDataset):
    """Photos with a caption each, some of them cut to a square of background.

    Items: photo (3, S, S) uint8, facts of the photo and of the caption (2,) int64 each, caption, name.

    Args:
        photos: what to read.
        size: S.
        captioner: writes the captions.
        cache_side, augment, seed: as in `PhotoDataset`; without augmentation no photo is cut.
    """

    def __init__(
        self,
        photos: Sequence[CaptionedPhoto],
        size: int,
        captioner: Captioner,
        *,
        cache_side: int = 0,
        augment: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(photos, size, cache_side=cache_side, augment=augment, seed=seed)
        self.photos, self.captioner = photos, captioner
        self.background_share = captioner.config.background_share if augment else 0.0

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, str, str]:  # type: ignore[override]
        photo: CaptionedPhoto | None = self.photos[index]
        name = self.photos[index].name
        image, mask = self.arrays(index)
        with self.drawing(index):
            square = background_square(mask) if float(torch.rand(())) < self.background_share else None
            if square is not None:
                photo, image, mask = None, image[square], mask[square]
            tensor, _ = self.transform(*to_tensors(image, mask))
            facts = self.captioner.facts(photo)
            caption, said = self.captioner.draw(facts)
        return plain(tensor), facts, said, caption, name


def background_square(mask: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """Rows and columns of a random square without a pet or an unknown pixel; None if none was met."""
    height, width = mask.shape
    for _ in range(CROP_TRIALS):
        share = float(torch.empty(()).uniform_(*CROP_SIDES))
        side = max(1, round(share * min(height, width)))
        top = int(torch.randint(height - side + 1, ()))
        left = int(torch.randint(width - side + 1, ()))
        square = slice(top, top + side), slice(left, left + side)
        if not mask[square].any():
            return square
    return None
