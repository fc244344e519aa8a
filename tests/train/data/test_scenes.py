"""Scenes: animals keep their number, class and pixels through reading, close-ups and composites."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from petseg.measure.pair import Pair
from train.config import PromptingConfig
from train.data import scenes
from train.data.augment import LetterboxTransform
from train.data.scenes import Scene, close_up, composite, has_instances, read_scene
from train.people.conversation import NOBODY
from train.people.scene_dataset import CLOSE_UP, HeldOutScenes, SceneCache, SceneDataset
from train.sections import AugmentConfig

CAT, DOG = 1, 2
RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (90, 90, 90)


def scene(*boxes: tuple[int, int, int, int, int], side: int = 80) -> Scene:
    """Animals as rectangles (x0, y0, x1, y1, class): cats red, dogs blue."""
    image = np.full((side, side, 3), GREY, np.uint8)
    instances, species = np.zeros((side, side), np.uint8), np.zeros(256, np.uint8)
    species[255] = 255
    for number, (x0, y0, x1, y1, kind) in enumerate(boxes, 1):
        instances[y0:y1, x0:x1] = number
        image[y0:y1, x0:x1] = RED if kind == CAT else BLUE
        species[number] = kind
    return Scene(image, instances, species)


def write(folder: Path, name: str, made: Scene, instances: bool) -> Pair:
    for part in ("images", "masks", "instances"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(made.image).save(folder / f"images/{name}.png")
    Image.fromarray(made.species[made.instances]).save(folder / f"masks/{name}.png")
    if instances:
        Image.fromarray(made.instances).save(folder / f"instances/{name}.png")
    return Pair(name, folder / f"images/{name}.png", folder / f"masks/{name}.png")


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """One photo with a cat, one with a cat and a dog."""
    return [
        write(tmp_path, "one", scene((20, 20, 60, 60, CAT)), False),
        write(tmp_path, "two", scene((5, 5, 30, 40, CAT), (45, 30, 75, 70, DOG)), True),
    ]


def test_a_class_mask_is_one_animal_and_instances_are_several(pairs: list[Pair]) -> None:
    one, two = (read_scene(pair) for pair in pairs)
    assert [has_instances(pair) for pair in pairs] == [False, True]
    assert one.numbers.tolist() == [1]
    assert one.species[1] == CAT
    assert two.numbers.tolist() == [1, 2]
    assert two.species[[0, 1, 2, 255]].tolist() == [0, CAT, DOG, 255]


def test_reading_reduces_photo_and_mask_together(pairs: list[Pair]) -> None:
    small = read_scene(pairs[1], side=40)
    assert small.image.shape == (40, 40, 3)
    assert (small.image[small.instances == 2].mean(0) - BLUE < 40).all()


def test_a_mask_of_another_size_is_named(pairs: list[Pair], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "instances/two.png")
    with pytest.raises(ValueError, match=r"two.*8, 8"):
        read_scene(pairs[1])


def test_a_composite_keeps_both_animals_consistent() -> None:
    base, donor = scene((20, 20, 60, 60, CAT)), scene((10, 30, 70, 60, DOG))
    donor.instances[28:30, 10:70] = 255
    for seed in range(20):
        made = composite(base, donor, np.random.default_rng(seed))
        assert made.numbers.tolist() == [1, 2]
        assert made.species[[1, 2]].tolist() == [CAT, DOG]
        red, blue = (made.image[made.instances == number].astype(int) for number in (1, 2))
        assert np.median(red[:, 0]) > 180
        assert np.median(blue[:, 2]) > 180
        assert (made.instances == 1).sum() >= scenes.VISIBLE * 1600
        untouched = (made.instances == base.instances) & (made.instances == 0)
        assert untouched.mean() > 0.3
    assert base.numbers.tolist() == [1]  # the scene that was pasted into is left alone


def test_open_pixels_of_the_donor_stay_open() -> None:
    base, donor = scene((20, 20, 60, 60, CAT)), scene((10, 20, 70, 60, DOG))
    donor.instances[20:26, 10:70] = 255
    donor.instances[30:34, 10:70] = 255
    made = composite(base, donor, np.random.default_rng(1))
    assert (made.instances == 255).any()


def test_a_composite_without_animals_changes_nothing() -> None:
    empty, full = scene(), scene((20, 20, 60, 60, CAT))
    generator = np.random.default_rng(0)
    assert composite(empty, full, generator) is empty
    assert composite(full, empty, generator) is full


def test_close_ups_contain_an_animal_whole() -> None:
    made = scene((5, 5, 25, 25, CAT), (60, 50, 75, 75, DOG))
    sizes = []
    for seed in range(30):
        near = close_up(made, np.random.default_rng(seed))
        counts = np.bincount(near.instances.ravel(), minlength=3)
        assert counts[1] == 400 or counts[2] == 375
        assert near.image.shape[:2] == near.instances.shape
        sizes.append(near.instances.size)
    assert min(sizes) < 80 * 80 / 3


def test_a_close_up_of_nothing_is_the_photo() -> None:
    empty = scene()
    assert close_up(empty, np.random.default_rng(0)) is empty


def test_items_depend_on_seed_epoch_and_index(pairs: list[Pair]) -> None:
    cache = SceneCache(pairs, 0, 0)
    assert [len(cache.single), len(cache.multi)] == [1, 1]
    first, again = (
        SceneDataset(cache, 32, PromptingConfig(photos=6), AugmentConfig(), seed=3) for _ in range(2)
    )
    for index in range(6):
        *tensors, asked, name = first[index]
        *others, asked_again, name_again = again[index]
        for a, b in zip([*tensors, *asked], [*others, *asked_again], strict=True):
            assert torch.equal(a.nan_to_num(), b.nan_to_num())
        assert name == name_again
    again.set_epoch(1)
    assert any(not first[i][0].equal(again[i][0]) for i in range(6))


def test_the_share_of_photos_with_several_animals(pairs: list[Pair]) -> None:
    options = PromptingConfig(photos=200, multi=0.25, composite=0)
    dataset = SceneDataset(SceneCache(pairs, 0, 0), 32, options, AugmentConfig(), seed=0)
    names = [dataset.draw(np.random.default_rng(i))[1] for i in range(200)]
    assert names.count("two") == pytest.approx(50, abs=15)


def test_held_out_items_are_whole_and_letterboxed(pairs: list[Pair]) -> None:
    dataset = HeldOutScenes(SceneCache(pairs, 0, 0), 32, people=3, corrections=1)
    image, instances, species, asked, name = dataset[1]
    assert (image.shape, instances.shape, name) == ((3, 32, 32), (32, 32), "two")
    assert set(np.unique(instances)) == {0, 1, 2}
    assert species[2] == DOG
    assert isinstance(dataset._transform, LetterboxTransform)
    assert asked.number.tolist() == [2, 1, NOBODY]
    again = dataset[1][3]
    assert torch.equal(asked.points, again.points)


def test_held_out_close_ups_come_after_whole_photos(pairs: list[Pair]) -> None:
    """One for each person, of photos of several animals alone; a cat of 80 x 80 fills more of the square."""
    dataset = HeldOutScenes(SceneCache(pairs, 0, 0), 32, people=3, corrections=1)
    assert [dataset[index][-1] for index in range(len(dataset))] == ["one", "two", *[CLOSE_UP + "two"] * 3]
    whole, *closer = (dataset[index] for index in range(1, len(dataset)))
    shares = [float((item[1] > 0).float().mean()) for item in (whole, *closer)]
    assert max(shares[1:]) > shares[0]
    for index, item in enumerate(closer, 2):
        assert torch.equal(item[0], dataset[index][0])
        assert item[3].number[0] != NOBODY
