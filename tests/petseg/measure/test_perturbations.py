from itertools import pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.measure.perturbations import LEVELS, PERTURBATIONS, perturb

SEEDED = ("gaussian_noise", "occlusion", "salt_and_pepper")

# As DESIGN.md lists them.
STRENGTHS = {
    "gaussian_noise": [0, 2, 4, 6, 8, 10, 12, 14, 16, 18],
    "gaussian_blur": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    "contrast_up": [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.1, 1.15, 1.2, 1.25],
    "contrast_down": [1.0, 0.95, 0.9, 0.85, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1],
    "brightness_up": [0, 5, 10, 15, 20, 25, 30, 35, 40, 45],
    "brightness_down": [0, -5, -10, -15, -20, -25, -30, -35, -40, -45],
    "occlusion": [0, 5, 10, 15, 20, 25, 30, 35, 40, 45],
    "salt_and_pepper": [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18],
}


def noise_photo(height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def grey(value: int, height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def test_strengths_are_those_of_the_design() -> None:
    assert LEVELS == 10
    assert set(PERTURBATIONS) == set(STRENGTHS)
    for kind, strengths in STRENGTHS.items():
        assert PERTURBATIONS[kind].strengths == pytest.approx(strengths, abs=1e-12), kind


@pytest.mark.parametrize("kind", STRENGTHS)
def test_level_one_is_an_equal_copy(kind: str) -> None:
    photo = noise_photo()
    result = perturb(photo, kind, 1, seed=3)
    np.testing.assert_array_equal(result, photo)
    assert not np.shares_memory(result, photo)


@pytest.mark.parametrize(("kind", "level"), list(product(STRENGTHS, (2, 10))))
def test_keeps_shape_and_dtype_and_leaves_the_input_alone(kind: str, level: int) -> None:
    photo = noise_photo()
    before = photo.copy()
    photo.flags.writeable = False  # as `petseg.pixels.image.load` gives it
    result = perturb(photo, kind, level)
    assert result.shape == photo.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(photo, before)
    assert (result != photo).any()


@pytest.mark.parametrize("kind", STRENGTHS)
def test_damage_grows_with_the_level(kind: str) -> None:
    photo = noise_photo(120, 160)
    errors = [
        np.abs(perturb(photo, kind, level, seed=1).astype(int) - photo).mean()
        for level in range(1, LEVELS + 1)
    ]
    assert errors[0] == 0
    assert all(low < high for low, high in pairwise(errors)), errors


@pytest.mark.parametrize("kind", STRENGTHS)
def test_seed_decides(kind: str) -> None:
    photo = noise_photo()
    first, again, other = (perturb(photo, kind, 6, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() == (kind in SEEDED)


@pytest.mark.parametrize("kind", STRENGTHS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_tiny_photos(kind: str, size: tuple[int, int]) -> None:
    assert perturb(grey(100, *size), kind, 10).shape == (*size, 3)


def test_noise_has_the_sigma_of_its_level() -> None:
    difference = perturb(grey(128, 200, 200), "gaussian_noise", 10).astype(float) - 128
    assert difference.std() == pytest.approx(18, rel=0.02)
    assert difference.mean() == pytest.approx(0, abs=0.3)
    # Every channel has its own.
    assert np.corrcoef(difference[..., 0].ravel(), difference[..., 1].ravel())[0, 1] == pytest.approx(
        0, abs=0.03
    )


@pytest.mark.parametrize("value", [0, 255])
def test_noise_is_clipped_and_does_not_wrap(value: int) -> None:
    result = perturb(grey(value), "gaussian_noise", 10).astype(int)
    assert np.abs(result - value).max() < 128
    assert 0.4 < (result == value).mean() < 0.6


@pytest.mark.parametrize(
    ("row", "column", "top_left"),
    [
        # Expected around the impulse of 160; at the border the photo goes on with its outermost pixels.
        (2, 2, [[10, 20, 10], [20, 40, 20], [10, 20, 10]]),
        (0, 2, [[30, 60, 30], [10, 20, 10]]),
        (2, 0, [[30, 10], [60, 20], [30, 10]]),
        (0, 0, [[90, 30], [30, 10]]),
    ],
)
def test_blur_of_an_impulse(row: int, column: int, top_left: list[list[int]]) -> None:
    photo = grey(0, 5, 5)
    photo[row, column] = 160
    expected = np.zeros((5, 5), int)
    block = np.array(top_left)
    rows, columns = max(row - 1, 0), max(column - 1, 0)
    expected[rows : rows + block.shape[0], columns : columns + block.shape[1]] = block
    for channel in range(3):
        np.testing.assert_array_equal(perturb(photo, "gaussian_blur", 2)[..., channel], expected)


def test_blur_passes_follow_each_other() -> None:
    photo = noise_photo(20, 30)
    twice = perturb(perturb(photo, "gaussian_blur", 2), "gaussian_blur", 2)
    np.testing.assert_array_equal(perturb(photo, "gaussian_blur", 3), twice)


def test_blur_leaves_an_even_photo_alone() -> None:
    np.testing.assert_array_equal(perturb(grey(77), "gaussian_blur", 10), grey(77))


@pytest.mark.parametrize(
    ("kind", "level", "before", "after"),
    [
        ("contrast_up", 10, 100, 125),
        ("contrast_up", 10, 204, 255),
        ("contrast_up", 10, 230, 255),
        ("contrast_up", 2, 200, 202),
        ("contrast_down", 10, 200, 20),
        ("contrast_down", 10, 255, 26),  # 25.5 goes to the even neighbour
        ("contrast_down", 6, 100, 60),
        ("brightness_up", 10, 100, 145),
        ("brightness_up", 10, 211, 255),
        ("brightness_up", 2, 0, 5),
        ("brightness_down", 10, 100, 55),
        ("brightness_down", 10, 44, 0),
        ("brightness_down", 2, 255, 250),
    ],
)
def test_pixel_arithmetic(kind: str, level: int, before: int, after: int) -> None:
    np.testing.assert_array_equal(perturb(grey(before), kind, level), grey(after))


@pytest.mark.parametrize("level", range(2, LEVELS + 1))
def test_occlusion_is_one_black_square_inside(level: int) -> None:
    side = 5 * (level - 1)
    for seed in range(20):
        black = (perturb(grey(200), "occlusion", level, seed=seed) == 0).all(2)
        rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
        assert black.sum() == side * side
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == side


def test_occlusion_reaches_every_place() -> None:
    hidden = sum((perturb(grey(200, 8, 8), "occlusion", 2, seed=seed)[..., 0] == 0) for seed in range(200))
    assert (np.asarray(hidden) > 0).all()


def test_occlusion_larger_than_the_photo_covers_it() -> None:
    np.testing.assert_array_equal(perturb(grey(200, 20, 30), "occlusion", 10), grey(0, 20, 30))


@pytest.mark.parametrize("level", [2, 6, 10])
def test_salt_and_pepper_share(level: int) -> None:
    result = perturb(grey(100, 300, 300), "salt_and_pepper", level, seed=2)
    salt, pepper = (result == 255).all(2), (result == 0).all(2)
    share = 0.02 * (level - 1)
    assert salt.mean() == pytest.approx(share / 2, rel=0.1)
    assert pepper.mean() == pytest.approx(share / 2, rel=0.1)
    # Whole pixels change, not single channels.
    assert ((result == 100).all(2) == ~(salt | pepper)).all()


@pytest.mark.parametrize("kind", ["", "fog", "Gaussian_Noise"])
def test_unknown_kind(kind: str) -> None:
    with pytest.raises(ValueError, match=r"unknown perturbation .*gaussian_noise.*salt_and_pepper"):
        perturb(grey(0), kind, 2)


@pytest.mark.parametrize("level", [0, -1, 11])
def test_level_out_of_range(level: int) -> None:
    with pytest.raises(ValueError, match=f"level must be 1 to 10, got {level}"):
        perturb(grey(0), "occlusion", level)
