"""Photos with masks for training: sources, the validation split, the balance of species, augmented items."""

import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets import OxfordIIITPet

from petseg.errors import ImageWarning
from petseg.measure.datasets import read_pairs
from petseg.measure.evaluation import warn_of_masks
from petseg.measure.pair import Pair, hides_pets, misfit, turned_alike
from train.config import OXFORD, Config, DataConfig, SourceConfig
from train.data.augment import build_augmentation, fitting, plain, to_tensors
from train.data.samples import AnySample, RimSample, Sample, TorchvisionSample, TrimapSample
from train.data.scenes import has_instances
from train.data.sources import there
from train.sections import AugmentConfig

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]

COPIES = "copies.json"
"""Lies in a folder of augmented copies (`train.multiply`) and names the photos that they were made of."""


def read_source(source: SourceConfig, root: Path) -> list[Sample]:
    """All samples of a source, sorted by name.

    The Oxford layout goes through torchvision where every file of the list is there, and is read from
    the same folders where only some are.

    Raises:
        petseg.ImageError: the folder is missing or holds no pairs.
    """
    folder = source.folder(root)
    if source.layout == "folder":
        masks = Path(source.masks).resolve() if source.masks.startswith("./") else source.masks
        return list(read_pairs(folder, masks=masks, classes=source.classes))
    pairs = read_pairs(folder, source.split)
    listed = (folder / "annotations" / f"{source.split}.txt").read_text(encoding="utf-8").split("\n")
    order = [line.split()[0] for line in listed if line.strip()]
    known = folder.name == OXFORD and source.split in {"trainval", "test"}
    if not known or len(order) != len(pairs):
        return list(pairs)
    dataset = OxfordIIITPet(folder.parent, split=source.split, target_types="segmentation")
    position = {name: index for index, name in enumerate(order)}
    return [TorchvisionSample(dataset, position[pair.name], pair) for pair in pairs]


def split_validation(
    samples: Sequence[AnySample], share: float, seed: int
) -> tuple[list[AnySample], list[AnySample]]:
    """Hold out `share` of every breed, by seed and whatever the order of the samples.

    Breeds too small to give one photo give none; if that leaves none at all, the share is one of all photos,
    at least one of two.
    """
    if share and len(samples) > 1:
        sizes = Counter(sample.breed for sample in samples).values()
        whole = not any(round(share * size) for size in sizes)
    else:
        whole = False
    groups: dict[str, list[AnySample]] = defaultdict(list)
    for sample in samples:
        groups["" if whole else sample.breed].append(sample)
    generator = np.random.default_rng(seed)
    training: list[AnySample] = []
    validation: list[AnySample] = []
    for breed in sorted(groups):
        ordered = sorted(groups[breed], key=lambda sample: sample.name)
        members = [ordered[i] for i in generator.permutation(len(ordered))]
        count = max(int(whole), round(share * len(members)))
        validation += members[:count]
        training += members[count:]
    return training, validation


def split_fold(samples: Sequence[AnySample], config: DataConfig) -> tuple[list[AnySample], list[AnySample]]:
    """Hold out the part `config.fold` of `config.folds`, as equal in every breed as can be, by seed.

    Raises:
        ValueError: there is no such part, or it is empty.
    """
    if config.fold >= config.folds:
        raise ValueError(f"fold {config.fold} is none of the {config.folds} from 0")
    rest, parts = list(samples), []
    for left in range(config.folds, 1, -1):
        rest, part = split_validation(rest, 1 / left, config.seed)
        parts.append(part)
    parts.append(rest)
    if not all(parts):
        raise ValueError(f"{len(samples)} photos are too few for {config.folds} folds")
    training = [sample for number, part in enumerate(parts) if number != config.fold for sample in part]
    return training, parts[config.fold]


def split_sources(
    config: DataConfig, read: Callable[[SourceConfig], Sequence[AnySample]]
) -> tuple[list[AnySample], list[AnySample]]:
    """Training samples, each as often as its source says, and validation samples, each once.

    Args:
        config: its sources are read, those that are optional if they are there.
        read: all samples of a source.

    Raises:
        petseg.ImageError: a source is not there.
        ValueError: a validation photo has augmented copies to be trained on, or is one itself.
    """
    training: list[AnySample] = []
    validation: list[AnySample] = []
    copied: dict[str, Path] = {}
    config = there(config)
    for source in config.sources:
        folder = source.folder(Path(config.root))
        originals = read_originals(folder)
        if originals and source.validation:
            raise ValueError(
                f"{folder} holds copies of training photos: they cannot be validated on, set validation = 0"
            )
        copied |= dict.fromkeys(originals, folder)
        samples = read(source)
        if config.folds and source.validation:
            kept, held_out = split_fold(samples, config)
        else:
            kept, held_out = split_validation(samples, source.validation, config.seed)
        if config.share < 1:
            # After the split: what the whole data hold out stays held out.
            kept, held_out = (split_validation(s, config.share, config.seed)[1] for s in (kept, held_out))
        training += kept * source.repeat
        if source.crowds:
            training += [sample for sample in kept if has_instances(sample)] * source.crowds
        validation += held_out
    leaked = sorted(copied.keys() & {sample.name for sample in validation})
    if leaked:
        raise ValueError(
            f"{len(leaked)} validation photos ({leaked[0]}, ...) have copies in {copied[leaked[0]]}: "
            "remove that folder and run train.multiply with this config"
        )
    return training, validation


def sources_at(folder: Path, config: Config) -> list[SourceConfig]:
    """The sources of a run that are this folder, by its name: it may have lain elsewhere then."""
    return [source for source in config.data.sources if Path(source.path).name == folder.name]


def kept_aside(folder: Path, configs: Sequence[Config]) -> list[Sample]:
    """The photos of a folder in the "folder" layout that none of these runs was trained on.

    Raises:
        ValueError: that leaves none.
        petseg.ImageError: the folder holds no photos with masks.
    """
    samples = read_source(SourceConfig(path=str(folder)), Path())
    trained_on: set[str] = set()
    for config in configs:
        for source in sources_at(folder, config):
            training, _ = split_validation(samples, source.validation, config.data.seed)
            trained_on.update(sample.name for sample in training)
    unseen = [sample for sample in samples if sample.name not in trained_on]
    if not unseen:
        raise ValueError(f"every photo of {folder} was trained on; hold some back: sources.validation")
    return unseen


def read_originals(folder: Path) -> frozenset[str]:
    """Names of the photos whose copies a folder holds; none if it is not a folder of copies."""
    path = folder / COPIES
    if not path.is_file():
        return frozenset()
    return frozenset(json.loads(path.read_text(encoding="utf-8"))["originals"])


def read_splits(config: DataConfig) -> tuple[list[Sample], list[Sample]]:
    """What `split_sources` gives, balanced if the config says so, with the labels it asks for."""
    training, validation = split_sources(config, lambda source: read_source(source, Path(config.root)))
    point_out_masks([*training, *validation])
    if config.balance:  # which refuses training without pets by itself, and reads every mask
        training = balance_species(training, config.seed)
    elif not any(species_shown(sample.read_mask()) for sample in training):
        raise ValueError(
            "no training photo has a cat or a dog in its mask (1 or 2): there is nothing to learn"
        )
    if config.labels == "trimap" or config.border == "background":
        wrap = TrimapSample if config.labels == "trimap" else RimSample
        # One for each photo, so that a photo that comes several times is still kept in memory once.
        wrapped = {id(sample): wrap(sample) for sample in [*training, *validation]}
        return [wrapped[id(s)] for s in training], [wrapped[id(s)] for s in validation]
    return training, validation


def point_out_masks(samples: Sequence[Sample]) -> None:
    """Warn of masks that may be wrong, of those in the "folder" layout: wrong ones cost hours."""
    pairs = {id(sample): sample for sample in samples if isinstance(sample, Pair) and not sample.trimap}

    def look(pair: Pair) -> tuple[bool, bool]:
        mask = pair.read_mask()
        return hides_pets(mask), turned_alike(pair, mask) is not None

    with ThreadPoolExecutor() as pool:
        found = list(zip(pairs.values(), pool.map(look, pairs.values()), strict=True))
    warn_of_masks([pair.mask for pair, (hidden, _) in found if hidden], [])
    if turned := [pair.image for pair, (_, turned) in found if turned]:
        warnings.warn(
            f"{len(turned)} photos ({turned[0]}, say) are turned by their EXIF orientation, which their size "
            "does not show; make sure that their masks are turned, too",
            ImageWarning,
            stacklevel=3,
        )


def species_shown(mask: NDArray[np.uint8]) -> frozenset[int]:
    """Which of the pet classes, 1 and 2, have a pixel in an (H, W) uint8 mask."""
    return frozenset(species for species in (1, 2) if (mask == species).any())


def balance_species(samples: Sequence[AnySample], seed: int) -> list[AnySample]:
    """The samples, and those that show the rarer species again until as many show a cat as a dog.

    Photos of both species or of none come as before. Those of the rarer species alone come again equally
    often, give or take one, by seed. What comes again is the same object at another place of the epoch, where
    `PhotoDataset` draws other augmentations.

    Raises:
        ValueError: one of the species has no photo of its own.
    """
    unique = {id(sample): sample for sample in samples}
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda sample: species_shown(sample.read_mask()), unique.values())
        shown = dict(zip(unique, found, strict=True))
    cats, dogs = ([sample for sample in samples if shown[id(sample)] == {species}] for species in (1, 2))
    fewer, more = sorted((cats, dogs), key=len)
    if not fewer:
        raise ValueError(
            "data.balance needs training photos of cats alone and of dogs alone, "
            f"got {len(cats)} and {len(dogs)}"
        )
    order = np.random.default_rng(seed).permutation(len(fewer))
    return [*samples, *(fewer[order[i % len(fewer)]] for i in range(len(more) - len(fewer)))]


class PhotoDataset(Dataset[tuple[Tensor, Tensor, str]]):
    """Items: photo (3, S, S) uint8, labels (S, S) int64 with 255 ignored, name.

    What augmentation draws depends only on (seed, epoch, index), so a resumed run and a run with another
    number of workers see the same photos.

    Args:
        samples: what to read; a sample that comes several times is kept in memory once.
        size: S.
        cache_side: keep photos in memory with their longer side reduced to this; 0 reads from disk.
        augment: probabilities, or None for the letterbox alone.
        seed: see above.
        fit: options of `train.data.augment.fitting`.

    Attributes:
        cache: `id` of a sample -> its photo and mask; empty where they are read from disk.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: int,
        *,
        cache_side: int = 0,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        **fit: str,
    ) -> None:
        self.samples = samples
        self.seed = seed
        self.epoch = 0
        self._cache_side = cache_side
        self.transform = build_augmentation(augment, size, **fit) if augment else fitting(size, **fit)
        self.cache: dict[int, Arrays] = {}
        if cache_side:
            unique = list({id(sample): sample for sample in samples}.values())
            with ThreadPoolExecutor() as pool:
                arrays = pool.map(self._read, unique)
                self.cache = {id(s): a for s, a in zip(unique, arrays, strict=True)}

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's augmentations (Accelerate calls this)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str]:
        with self.drawing(index):
            image, mask = self.transform(*to_tensors(*self.arrays(index)))
        return plain(image), plain(mask).long(), self.samples[index].name

    def arrays(self, index: int) -> Arrays:
        """Photo (H, W, 3) and mask (H, W) of a sample, reduced if they are to be."""
        sample = self.samples[index]
        return self.cache.get(id(sample)) or self._read(sample)

    @contextmanager
    def drawing(self, index: int) -> Iterator[None]:
        """torch's random numbers are the item's own."""
        with torch.random.fork_rng(devices=[]):
            sequence = np.random.SeedSequence([self.seed, self.epoch, index])
            torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]) >> 1)
            yield

    def _read(self, sample: Sample) -> Arrays:
        image, mask = sample.read_image(), sample.read_mask()
        height, width = mask.shape
        if (wrong := misfit(image.shape, mask.shape)) is not None:
            raise ValueError(f"{sample.name}: {wrong}")
        scale = self._cache_side / max(height, width)
        if not 0 < scale < 1:
            return image, mask
        smaller = max(1, round(width * scale)), max(1, round(height * scale))
        return (
            np.asarray(Image.fromarray(image).resize(smaller, Image.Resampling.BILINEAR, reducing_gap=2.0)),
            np.asarray(Image.fromarray(mask).resize(smaller, Image.Resampling.NEAREST)),
        )
