import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch.utils.data import DataLoader

from petseg.errors import ImageError
from petseg.measure.pair import Pair
from tests.support.drawing import Labels, draw_labels, paint, write_oxford, write_plain
from train.config import Config, DataConfig, SourceConfig
from train.data.dataset import PhotoDataset, kept_aside, read_source, read_splits, split_validation
from train.data.samples import Sample, TorchvisionSample
from train.sections import AugmentConfig

NAMES = ("Maine_Coon_1", "Maine_Coon_2", "beagle_1", "english_setter_1")
EVERYTHING = AugmentConfig(
    flip=0.5, crop=0.5, affine=1, elastic=1, colour=1, grayscale=0.5, blur=1, noise=1, perturb=1
)


def masks_with_border() -> dict[str, Labels]:
    """By name; cats where it begins in upper case, a ring of 255 around each, beagle_1 all background."""
    masks = {}
    for index, name in enumerate(NAMES):
        labels = np.zeros((30, 40), np.uint8)
        if name != "beagle_1":
            labels[5 + index : 22, 8:30] = 255
            labels[7 + index : 20, 10:28] = 1 if name[0].isupper() else 2
        masks[name] = labels
    return masks


def oxford(root: Path, name: str = "oxford-iiit-pet") -> SourceConfig:
    write_oxford(root / name, masks_with_border())
    return SourceConfig(path=name, layout="oxford")


def test_kept_aside_is_what_no_run_was_trained_on(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "empty", {f"chair_{i}": np.zeros((6, 8), np.uint8) for i in range(10)})

    def run(validation: float, seed: int, path: str = "elsewhere/empty") -> Config:
        source = SourceConfig(path=path, validation=validation)
        return Config(name="x", data=DataConfig(sources=[source], seed=seed), model={"family": "unet"})

    everything = read_source(SourceConfig(path=str(folder)), Path())
    expected = {sample.name for sample in split_validation(everything, 0.5, 3)[1]}
    assert {sample.name for sample in kept_aside(folder, [run(0.5, 3)])} == expected
    assert len(kept_aside(folder, [])) == len(kept_aside(folder, [run(0, 3, "other")])) == 10
    both = {sample.name for sample in kept_aside(folder, [run(0.5, 3), run(0.5, 4)])}
    assert both == expected & {sample.name for sample in split_validation(everything, 0.5, 4)[1]}
    with pytest.raises(ValueError, match="was trained on"):
        kept_aside(folder, [run(0, 3)])


@pytest.mark.parametrize("layout", ["complete", "subset", "complete under another name"])
def test_oxford_layout(tmp_path: Path, layout: str) -> None:
    source = oxford(tmp_path, "pets" if "another" in layout else "oxford-iiit-pet")
    expected = masks_with_border()
    if layout == "subset":
        (tmp_path / "oxford-iiit-pet/images/Maine_Coon_2.jpg").unlink()
        (tmp_path / "oxford-iiit-pet/annotations/trimaps/beagle_1.png").unlink()
        del expected["Maine_Coon_2"], expected["beagle_1"]
    samples = read_source(source, tmp_path)
    through = TorchvisionSample if layout == "complete" else Pair
    assert [type(sample) for sample in samples] == [through] * len(expected)
    assert [sample.name for sample in samples] == sorted(expected)
    for sample in samples:
        # Species from the name, the border 255, an all-background mask as it is.
        np.testing.assert_array_equal(sample.read_mask(), expected[sample.name])
        assert sample.read_mask().dtype == np.uint8
        assert sample.breed == sample.name[:-2]
        difference = np.abs(sample.read_image().astype(int) - paint(expected[sample.name], noise=0))
        assert difference.mean() < 12


def test_classes_of_a_trimap(tmp_path: Path) -> None:
    config = DataConfig(root=str(tmp_path), sources=[oxford(tmp_path)], labels="trimap")
    samples, _ = read_splits(config)
    expected = masks_with_border()
    for sample in samples:
        mask = expected[sample.name]
        np.testing.assert_array_equal(sample.read_mask(), np.select([mask == 255, mask > 0], [2, 1], 0))
        assert sample.read_mask().dtype == np.uint8
        assert sample.read_image().shape[:2] == mask.shape


def test_torchvision_keeps_the_order_of_its_list(tmp_path: Path) -> None:
    source = oxford(tmp_path)
    listed = tmp_path / "oxford-iiit-pet/annotations/trainval.txt"
    listed.write_text("".join(reversed(listed.read_text().splitlines(keepends=True))))
    expected = masks_with_border()
    for sample in read_source(source, tmp_path):
        np.testing.assert_array_equal(sample.read_mask(), expected[sample.name])


def test_test_split_and_a_list_of_ones_own(tmp_path: Path) -> None:
    oxford(tmp_path)
    annotations = tmp_path / "oxford-iiit-pet/annotations"
    for split, through in (("test", TorchvisionSample), ("mine", Pair)):
        (annotations / f"{split}.txt").write_text("beagle_1 1 2 1\n")
        samples = read_source(SourceConfig(path="oxford-iiit-pet", layout="oxford", split=split), tmp_path)
        assert [(type(sample), sample.name) for sample in samples] == [(through, "beagle_1")]


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("disguise", ["gif", "rgba"])
def test_gif_and_rgba_behind_jpg(tmp_path: Path, disguise: str, complete: bool) -> None:
    source = oxford(tmp_path)
    labels = masks_with_border()["Maine_Coon_1"]
    photo = Image.fromarray(paint(labels, noise=0))
    expected = np.asarray(photo).copy()
    path = tmp_path / "oxford-iiit-pet/images/Maine_Coon_1.jpg"
    if disguise == "gif":
        photo.save(path, format="GIF")
    else:
        alpha = np.full(labels.shape, 255, np.uint8)
        alpha[:3] = 0  # white, as petseg shows it to a model
        expected[:3] = 255
        photo.putalpha(Image.fromarray(alpha))
        photo.save(path, format="PNG")
    if not complete:
        (tmp_path / "oxford-iiit-pet/images/beagle_1.jpg").unlink()
    sample = read_source(source, tmp_path)[0]
    assert sample.name == "Maine_Coon_1"
    assert sample.read_image().shape == (30, 40, 3)
    assert np.abs(sample.read_image().astype(int) - expected).max() <= 3
    np.testing.assert_array_equal(sample.read_mask(), labels)


@pytest.mark.parametrize("folder", ["masks", "pseudo"])
def test_plain_folders(tmp_path: Path, folder: str) -> None:
    expected = masks_with_border()
    write_plain(tmp_path / "extra", expected, folder)
    write_plain(tmp_path / "extra", {"Maine_Coon_1": np.zeros((30, 40), np.uint8)}, "others")
    samples = read_source(SourceConfig(path="extra", masks=folder), tmp_path)
    assert [sample.name for sample in samples] == sorted(NAMES)
    for sample in samples:
        np.testing.assert_array_equal(sample.read_mask(), expected[sample.name])


def test_masks_made_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = masks_with_border()
    write_plain(tmp_path / "data/extra", dict.fromkeys(expected, np.ones((30, 40), np.uint8)))
    write_plain(tmp_path / "made", expected, "pseudo")
    monkeypatch.chdir(tmp_path)
    for sample in read_source(SourceConfig(path="extra", masks="./made/pseudo"), tmp_path / "data"):
        np.testing.assert_array_equal(sample.read_mask(), expected[sample.name])


@pytest.mark.parametrize("layout", ["oxford", "folder"])
def test_missing_folder(tmp_path: Path, layout: str) -> None:
    source = SourceConfig(path="nothing", layout=layout)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"nothing holds no photos with masks: .* is missing"):
        read_source(source, tmp_path)


def pairs(**breeds: int) -> list[Sample]:
    return [
        Pair(f"{breed}_{number}", Path("x.jpg"), Path("x.png"))
        for breed, count in breeds.items()
        for number in range(count)
    ]


def names(samples: list[Sample]) -> list[str]:
    return [sample.name for sample in samples]


def test_validation_is_a_share_of_every_breed() -> None:
    samples = pairs(Abyssinian=20, beagle=10, pug=3, rare=1)
    training, validation = split_validation(samples, 0.2, seed=1)
    assert Counter(sample.breed for sample in validation) == {"Abyssinian": 4, "beagle": 2, "pug": 1}
    assert sorted(names(training) + names(validation)) == sorted(names(samples))
    assert not set(names(training)) & set(names(validation))


def test_validation_depends_on_the_seed_and_not_on_the_order() -> None:
    samples = pairs(Abyssinian=20, beagle=30)
    first = split_validation(samples, 0.2, seed=1)
    shuffled = [samples[i] for i in np.random.default_rng(0).permutation(len(samples))]
    for part, again in zip(first, split_validation(shuffled, 0.2, seed=1), strict=True):
        assert names(part) == names(again)
    assert names(split_validation(samples, 0.2, seed=2)[1]) != names(first[1])


def test_no_share_gives_no_validation() -> None:
    samples = pairs(beagle=5)
    training, validation = split_validation(samples, 0.0, seed=0)
    assert (len(training), validation) == (5, [])


def test_photos_of_several_animals_come_more_often_if_asked_for(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_plain(tmp_path / folder, {f"{folder}_{index}": draw_labels(index) for index in range(10)})
        (tmp_path / folder / "instances").mkdir()
        for index in range(5):
            Image.fromarray(np.ones((8, 8), np.uint8)).save(
                tmp_path / f"{folder}/instances/{folder}_{index}.png"
            )
    config = DataConfig(
        root=str(tmp_path),
        sources=[
            SourceConfig(path="one", repeat=2, crowds=3, validation=0.2),
            SourceConfig(path="two"),
        ],
    )
    training, validation = read_splits(config)
    counts = Counter(names(training))
    held_out = set(names(validation))
    assert len(held_out) == 2, "each once"
    for index in range(10):
        assert counts[f"two_{index}"] == 1
        if f"one_{index}" not in held_out:
            assert counts[f"one_{index}"] == (2 + 3 if index < 5 else 2)
    assert not set(counts) & held_out


def test_repeat_and_validation_of_several_sources(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        masks = {f"{folder}_{index}": draw_labels(index) for index in range(10)}
        write_plain(tmp_path / folder, masks)
    config = DataConfig(
        root=str(tmp_path),
        sources=[
            SourceConfig(path="one", repeat=3, validation=0.2),
            SourceConfig(path="two", validation=0.5),
            SourceConfig(path="three"),
        ],
    )
    training, validation = read_splits(config)
    counts = Counter(names(training))
    assert Counter(sample.breed for sample in training) == {"one": 24, "two": 5, "three": 10}
    assert {counts[name] for name in counts if name.startswith("one")} == {3}
    assert Counter(sample.breed for sample in validation) == {"one": 2, "two": 5}
    assert not set(counts) & set(names(validation))


@pytest.mark.parametrize(
    "bad", [{"repeat": 0}, {"validation": 1.0}, {"validation": -0.1}, {"layout": "coco"}]
)
def test_bad_source(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        SourceConfig.model_validate({"path": "x", **bad})


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    masks = {f"cat_{index}": draw_labels(index, 50 + index, 40) for index in range(6)}
    return read_source(SourceConfig(path="pets"), write_plain(tmp_path / "pets", masks).parent)


def items(dataset: PhotoDataset, workers: int = 0) -> list[tuple[torch.Tensor, torch.Tensor, str]]:
    context = "fork" if workers else None
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=context)
    return list(loader)


def same(
    left: list[tuple[torch.Tensor, torch.Tensor, str]], right: list[tuple[torch.Tensor, torch.Tensor, str]]
) -> list[bool]:
    return [
        a[2] == b[2] and torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
        for a, b in zip(left, right, strict=True)
    ]


@pytest.mark.parametrize("cache_side", [0, 30, 1000])
@pytest.mark.parametrize("augment", [None, EVERYTHING], ids=["letterbox", "everything"])
def test_items(samples: list[Sample], augment: AugmentConfig | None, cache_side: int) -> None:
    dataset = PhotoDataset(samples, 32, augment=augment, cache_side=cache_side)
    assert len(dataset) == 6
    for index, sample in enumerate(samples):
        image, labels, name = dataset[index]
        assert name == sample.name
        assert (image.shape, image.dtype, type(image)) == ((3, 32, 32), torch.uint8, torch.Tensor)
        assert (labels.shape, labels.dtype, type(labels)) == ((32, 32), torch.int64, torch.Tensor)
        assert set(labels.unique().tolist()) <= {0, 1, 2, 255}


def test_items_do_not_depend_on_workers(samples: list[Sample]) -> None:
    dataset = PhotoDataset(samples, 32, augment=EVERYTHING, seed=3)
    assert all(same(items(dataset), items(dataset, workers=2)))


def test_items_depend_on_seed_epoch_and_index_only(samples: list[Sample]) -> None:
    dataset = PhotoDataset(samples, 32, augment=EVERYTHING, seed=3)
    first = items(dataset)
    torch.manual_seed(12345)
    in_reverse = [dataset[index] for index in reversed(range(6))][::-1]
    assert all(same(first, in_reverse))
    assert not any(same(first, items(PhotoDataset(samples, 32, augment=EVERYTHING, seed=4))))
    dataset.set_epoch(1)
    assert not any(same(first, items(dataset)))
    dataset.set_epoch(0)
    assert all(same(first, items(dataset)))
    # The same photo at another place of the epoch looks different.
    twice = PhotoDataset([samples[0], samples[0]], 32, augment=EVERYTHING)
    assert not torch.equal(twice[0][0], twice[1][0])


def test_items_leave_the_global_generator_alone(samples: list[Sample]) -> None:
    before = torch.get_rng_state()
    PhotoDataset(samples, 32, augment=EVERYTHING)[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_cache_reads_each_photo_once(samples: list[Sample], tmp_path: Path) -> None:
    dataset = PhotoDataset(samples * 3, 32, cache_side=1000, augment=EVERYTHING)
    fresh = PhotoDataset(samples * 3, 32, augment=EVERYTHING)
    expected = items(fresh)
    shutil.rmtree(tmp_path / "pets")
    # Photos smaller than the cache are kept as they are.
    assert all(same(items(dataset), expected))
    with pytest.raises(ImageError):
        fresh[0]


def test_cache_reduces_to_its_side_without_moving_anything(samples: list[Sample]) -> None:
    full, reduced = PhotoDataset(samples, 32), PhotoDataset(samples, 32, cache_side=40)
    for (image, labels, _), (image_cached, labels_cached, _) in zip(items(full), items(reduced), strict=True):
        assert (labels == labels_cached).float().mean() > 0.95
        assert (image.float() - image_cached.float()).abs().mean() < 5


@pytest.mark.parametrize("cache_side", [0, 30])
def test_photo_and_mask_of_different_size(tmp_path: Path, cache_side: int) -> None:
    write_plain(tmp_path / "pets", {"cat_1": draw_labels(0)})
    Image.new("L", (31, 32)).save(tmp_path / "pets/masks/cat_1.png")
    samples = read_source(SourceConfig(path="pets"), tmp_path)
    with pytest.raises(ValueError, match=r"cat_1: the photo has 32 x 32 pixels, the mask 31 x 32"):
        PhotoDataset(samples, 32, cache_side=cache_side)[0]
