from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.drawing import write_plain
from train.config import DataConfig, SourceConfig
from train.data.captions import read_captioned_splits
from train.data.dataset import PhotoDataset, balance_species, read_source, read_splits, species_shown
from train.data.samples import Sample
from train.sections import AugmentConfig

SHOWN = {"cat": (1,), "dog": (2,), "both": (1, 2), "none": ()}


def write(folder: Path, **counts: int) -> Path:
    """Photos NAME_1.. of 16 x 16 pixels that show what the name says, whatever its case."""
    masks = {}
    for kind, count in counts.items():
        labels = np.zeros((16, 16), np.uint8)
        labels[0, 0] = 255
        for species in SHOWN[kind]:
            labels[4:12, 4 * species : 4 * species + 3] = species
        masks |= {f"{kind}_{number}": labels for number in range(1, count + 1)}
    return write_plain(folder, masks)


def read(root: Path, **counts: int) -> list[Sample]:
    return read_source(SourceConfig(path="pets"), write(root / "pets", **counts).parent)


def names(samples: Sequence[Sample]) -> list[str]:
    return [sample.name for sample in samples]


def kinds(samples: Sequence[Sample]) -> Counter[str]:
    return Counter(sample.breed for sample in samples)


@pytest.mark.parametrize("kind", SHOWN)
def test_species_shown(tmp_path: Path, kind: str) -> None:
    (sample,) = (s for s in read(tmp_path, **{"both": 1, kind: 1}) if s.name == f"{kind}_1")
    assert species_shown(sample.read_mask()) == set(SHOWN[kind])


@pytest.mark.parametrize(("rare", "common"), [("cat", "dog"), ("dog", "cat")])
def test_as_many_cats_as_dogs(tmp_path: Path, rare: str, common: str) -> None:
    samples = read(tmp_path, **{rare: 3, common: 8, "both": 2, "none": 1})
    balanced = balance_species(samples, seed=0)
    assert names(balanced[: len(samples)]) == names(samples)
    assert kinds(balanced) == {rare: 8, common: 8, "both": 2, "none": 1}
    # 8 = 3 + 3 + 2: no photo comes much more often than another.
    times = Counter(name for name in names(balanced) if name.startswith(rare))
    assert sorted(times.values()) == [2, 3, 3]


def test_what_is_balanced_stays(tmp_path: Path) -> None:
    samples = read(tmp_path, cat=2, dog=2, none=3)
    assert balance_species(samples, seed=0) == samples


def test_the_seed_tells_who_comes_again(tmp_path: Path) -> None:
    samples = read(tmp_path, cat=6, dog=8)
    chosen = {seed: names(balance_species(samples, seed)[14:]) for seed in range(5)}
    assert chosen[0] == names(balance_species(samples, 0)[14:])
    assert len({tuple(sorted(extra)) for extra in chosen.values()}) > 1
    assert all(len(set(extra)) == 2 for extra in chosen.values())


def test_copies_are_augmented_by_draws_of_their_own(tmp_path: Path) -> None:
    balanced = balance_species(read(tmp_path, cat=1, dog=3), seed=0)
    assert names(balanced) == ["cat_1", "dog_1", "dog_2", "dog_3", "cat_1", "cat_1"]
    assert balanced[0] is balanced[4] is balanced[5]  # read and kept in memory once
    dataset = PhotoDataset(balanced, 16, augment=AugmentConfig(crop=1, colour=1), cache_side=16)
    first, second, third = (dataset[index][0] for index in (0, 4, 5))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert torch.equal(dataset[4][0], second)


@pytest.mark.parametrize("counts", [{"cat": 3}, {"dog": 2, "both": 1}, {"none": 2, "both": 1}], ids=str)
def test_a_species_without_photos(tmp_path: Path, counts: dict[str, int]) -> None:
    cats, dogs = counts.get("cat", 0), counts.get("dog", 0)
    with pytest.raises(ValueError, match=f"cats alone and of dogs alone, got {cats} and {dogs}"):
        balance_species(read(tmp_path, **counts), seed=0)


def two_sources(root: Path, **options: object) -> DataConfig:
    """Four cats that come twice; ten dogs, of which two are held out."""
    write(root / "cats", cat=4)
    write(root / "dogs", dog=10)
    sources = [{"path": "cats", "repeat": 2}, {"path": "dogs", "validation": 0.2}]
    return DataConfig.model_validate({"root": str(root), "sources": sources, **options})


def test_repeat_is_counted_first(tmp_path: Path) -> None:
    training, _ = read_splits(two_sources(tmp_path, balance=True))
    assert kinds(training) == {"cat": 4 * 2, "dog": 8}


@pytest.mark.parametrize("labels", ["species", "trimap"])
def test_option_balances_the_training_photos_only(tmp_path: Path, labels: str) -> None:
    config = two_sources(tmp_path, labels=labels)
    sources = [source.model_copy(update={"repeat": 1}) for source in config.sources]
    config = config.model_copy(update={"sources": sources})
    plain, held_out = read_splits(config)
    assert kinds(plain) == {"cat": 4, "dog": 8}
    training, validation = read_splits(config.model_copy(update={"balance": True}))
    assert kinds(training) == {"cat": 8, "dog": 8}
    assert names(validation) == names(held_out)
    assert len({id(sample) for sample in training}) == 12
    expected = {"species": {0, 1, 255}, "trimap": {0, 1, 2}}[labels]
    assert set(np.unique(training[0].read_mask()).tolist()) == expected


def test_contrastive_training_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="contrastive training cannot"):
        read_captioned_splits(two_sources(tmp_path, balance=True))
