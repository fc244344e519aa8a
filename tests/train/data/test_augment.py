import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors

from petseg.pixels.geometry import FILL, Letterbox
from tests.support.drawing import COLOURS
from train.data.augment import LetterboxTransform, RandomTurn, build_augmentation, plain, to_tensors
from train.sections import AugmentConfig

PROBABILITIES = [name for name in AugmentConfig.model_fields if name not in ("kinds", "strengths")]
NOTHING = AugmentConfig(
    flip=0, crop=0, affine=0, elastic=0, colour=0, grayscale=0, blur=0, noise=0, perturb=0
)
SIZE = 96


def photo_and_mask(width: int = 160, height: int = 110) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photo whose colour is its class: a cat's triangle above a dog's disc, neither symmetric."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    mask = np.zeros((height, width), np.uint8)
    mask[(x > 0.1) & (y > 0.1) & (x + 1.5 * y < 0.9)] = 1
    mask[(x - 0.7) ** 2 + (y - 0.65) ** 2 < 0.06] = 2
    return COLOURS[mask], mask


def augmented(config: AugmentConfig, seed: int = 0, size: int = SIZE) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    image, mask = build_augmentation(config, size)(*to_tensors(*photo_and_mask()))
    return plain(image), plain(mask)


def away_from_edges(mask: Tensor, margin: int = 3) -> Tensor:
    """(H, W) bool: where the mask has one value within `margin` pixels."""
    values = mask.float()[None, None]
    side = 2 * margin + 1
    highest = F.max_pool2d(values, side, 1, margin)
    lowest = -F.max_pool2d(-values, side, 1, margin)
    return (highest == lowest)[0, 0]


def test_to_tensors_and_plain() -> None:
    photo, mask = photo_and_mask()
    photo.flags.writeable = False
    image, labels = to_tensors(photo, mask)
    assert isinstance(image, tv_tensors.Image)
    assert isinstance(labels, tv_tensors.Mask)
    assert image.shape == (3, 110, 160)
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), photo)
    assert type(plain(image)) is Tensor
    assert plain(image).is_contiguous()


@pytest.mark.parametrize(
    ("width", "height"),
    [(160, 110), (110, 160), (96, 96), (300, 300), (20, 31), (1, 1), (400, 3), (500, 375)],
)
def test_letterbox_is_that_of_petseg(width: int, height: int) -> None:
    photo, mask = photo_and_mask(width, height)
    image, labels = LetterboxTransform(SIZE)(*to_tensors(photo, mask))
    assert image.shape == (3, SIZE, SIZE)
    assert labels.shape == (SIZE, SIZE)
    box = Letterbox.fit(width, height, SIZE)
    expected = box.apply(photo)
    outside = np.ones((SIZE, SIZE), bool)
    outside[box.inner] = False
    result = image.permute(1, 2, 0).numpy()
    assert (result[outside] == FILL).all()
    assert (labels.numpy()[outside] == 255).all()
    assert (labels.numpy()[~outside] != 255).all()
    difference = np.abs(result.astype(int) - expected)
    assert difference.mean() < 1.5
    assert np.percentile(difference, 95) < 12


def test_padding_with_the_mean_colour() -> None:
    photo, mask = photo_and_mask()
    for transform in (LetterboxTransform(SIZE, "mean"), build_augmentation(NOTHING, SIZE, "mean")):
        image, labels = transform(*to_tensors(photo, mask))
        padding = plain(image)[:, plain(labels) == 255].float()
        assert padding.shape[1] > 0
        mean = torch.from_numpy(photo.mean((0, 1)).round()).float()
        torch.testing.assert_close(padding, mean[:, None].expand_as(padding))


def test_without_augmentation_there_is_the_letterbox_alone() -> None:
    for seed in range(5):
        image, mask = augmented(NOTHING, seed)
        expected_image, expected_mask = LetterboxTransform(SIZE)(*to_tensors(*photo_and_mask()))
        assert torch.equal(image, plain(expected_image))
        assert torch.equal(mask, plain(expected_mask))


def test_flip_mirrors_photo_and_mask() -> None:
    image, mask = augmented(NOTHING.model_copy(update={"flip": 1}))
    straight, straight_mask = augmented(NOTHING)
    assert torch.equal(image, straight.flip(-1))
    assert torch.equal(mask, straight_mask.flip(-1))
    assert not torch.equal(image, straight)


@pytest.mark.parametrize(
    "changes", [("flip",), ("crop",), ("affine",), ("elastic",), ("flip", "affine", "elastic")]
)
def test_photo_and_mask_move_together(changes: tuple[str, ...]) -> None:
    config = NOTHING.model_copy(update=dict.fromkeys(changes, 1.0))
    colours = torch.tensor(np.vstack([COLOURS, np.full((1, 3), FILL)]), dtype=torch.float)
    labels = torch.tensor([0, 1, 2, 255])
    agreement, moved, padded = [], 0, 0
    for seed in range(12):
        image, mask = augmented(config, seed)
        distance = (image.float()[None] - colours[:, :, None, None]).square().sum(1)
        seen = labels[distance.argmin(0)]
        inner = away_from_edges(mask)
        assert inner.float().mean() > 0.3
        agreement.append((seen == mask)[inner].float().mean().item())
        moved += not torch.equal(mask, augmented(NOTHING)[1])
        padded += int((mask == 255).sum())
    assert min(agreement) > 0.99, agreement
    assert moved == 12
    assert (padded > 0) == (changes != ("crop",))  # a crop lies inside the photo


def test_affine_pads_the_mask_with_255_where_it_pads_the_photo_with_grey() -> None:
    grew = 0
    for seed in range(10):
        image, mask = augmented(NOTHING.model_copy(update={"affine": 1}), seed)
        # torchvision darkens the outermost line of what it moves, by up to a quarter.
        grey = (image.int() - FILL).abs().amax(0) <= FILL // 4 + 1
        inner = away_from_edges(mask, 2)
        assert ((mask == 255) == grey)[inner].all()
        grew += int((mask == 255).sum() > (augmented(NOTHING)[1] == 255).sum())
    assert grew > 3


@pytest.mark.parametrize("change", ["colour", "grayscale", "blur", "noise", "perturb"])
def test_changes_of_colour_leave_the_mask_alone(change: str) -> None:
    changed = 0
    straight, straight_mask = augmented(NOTHING)
    for seed in range(8):
        image, mask = augmented(NOTHING.model_copy(update={change: 1}), seed)
        assert torch.equal(mask, straight_mask)
        changed += not torch.equal(image, straight)
    assert changed >= 7


def test_perturbation_damages_before_the_letterbox() -> None:
    """The study damages photos at their own size, so the grey padding stays clean."""
    for seed in range(8):
        image, mask = augmented(NOTHING.model_copy(update={"perturb": 1}), seed)
        assert (image[:, mask == 255] == FILL).all()


def test_perturbations_are_of_the_kinds_asked_for() -> None:
    """A small square is damaged, and nothing else."""
    config = NOTHING.model_copy(update={"perturb": 1, "kinds": ["occlusion"]})
    straight, _ = augmented(NOTHING, 0)
    for seed in range(8):
        image, _ = augmented(config, seed)
        assert 0 < (image != straight).any(0).float().mean() < 0.2


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_shape_and_dtype(probability: float) -> None:
    config = AugmentConfig(**dict.fromkeys(PROBABILITIES, probability))
    for seed in range(6):
        image, mask = augmented(config, seed, size=64)
        assert (image.shape, image.dtype) == ((3, 64, 64), torch.uint8)
        assert (mask.shape, mask.dtype) == ((64, 64), torch.uint8)
        assert set(mask.unique().tolist()) <= {0, 1, 2, 255}


def test_tiny_photos_survive_everything() -> None:
    config = AugmentConfig(**dict.fromkeys(PROBABILITIES, 1.0))
    for height, width in ((1, 1), (2, 9), (40, 1)):
        photo, mask = np.zeros((height, width, 3), np.uint8), np.ones((height, width), np.uint8)
        image, labels = build_augmentation(config, 32)(*to_tensors(photo, mask))
        assert image.shape == (3, 32, 32)
        assert labels.shape == (32, 32)


def test_probabilities_are_kept() -> None:
    straight = augmented(NOTHING, size=32)[0]
    half = NOTHING.model_copy(update={"flip": 0.5})
    flipped = sum(not torch.equal(augmented(half, seed, size=32)[0], straight) for seed in range(100))
    assert 30 < flipped < 70


def test_turn_is_a_whole_number_of_quarters_for_both() -> None:
    photo, mask = photo_and_mask(100, 100)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        image, labels = RandomTurn()(*to_tensors(photo, mask))
        for quarters in (1, 2, 3):
            if np.array_equal(labels.numpy(), np.rot90(mask, quarters)):
                seen.add(quarters)
                np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), np.rot90(photo, quarters))
    assert seen == {1, 2, 3}


def test_zoom_out_makes_all_of_it_small_on_grey() -> None:
    shares = []
    for seed in range(10):
        image, mask = augmented(NOTHING.model_copy(update={"zoom_out": 1.0}), seed)
        shares.append((mask != 255).float().mean().item())
        assert (image[:, mask == 255] == FILL).float().mean() > 0.9  # but for what is resized at the edge
    assert min(shares) < 0.1
    assert max(shares) < 0.5
