"""Black and white pixels that stand alone are taken out, and nothing else."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from petseg.measure.perturbations import LEVELS, perturb
from petseg.pixels.geometry import Letterbox
from petseg.pixels.speckles import without_speckles

CAT: NDArray[np.uint8] = data.chelsea()


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The largest difference of a channel, of each pixel."""
    return np.abs(one.astype(int) - other).max(2)


@pytest.mark.parametrize("level", [3, LEVELS])
def test_speckles_give_way_to_their_neighbours(level: int) -> None:
    spoilt = perturb(CAT, "salt_and_pepper", level, 0)
    speckled = apart(spoilt, CAT) > 0
    result = without_speckles(spoilt)
    assert (apart(result, CAT)[speckled] > 80).mean() < 0.1, "all of them were"
    np.testing.assert_array_equal(result[~speckled], spoilt[~speckled])


@pytest.mark.parametrize(
    "kind", ["gaussian_noise", "gaussian_blur", "contrast_up", "brightness_up", "occlusion"]
)
def test_what_else_befalls_a_photo_is_left_alone(kind: str) -> None:
    for level in (1, LEVELS):
        photo = perturb(CAT, kind, level, 0)
        assert without_speckles(photo) is photo


@pytest.mark.parametrize("ground", [40, 128, 220])
@pytest.mark.parametrize("ink", [0, 255])
def test_what_has_a_size_stays(ground: int, ink: int) -> None:
    """Lines along the axes, thick ones that slant, and a chessboard, of which each square has a size."""
    rows, columns = np.indices((240, 320))
    lines, slanting = rows % 10 == 0, (rows + columns) % 12 < 4
    board = (rows // 8 + columns // 8) % 2 == 0
    for drawn in (lines, lines.T, slanting, board):
        photo = np.where(drawn[..., None], ink, ground).astype(np.uint8).repeat(3, 2)
        np.testing.assert_array_equal(without_speckles(photo), photo)


def test_a_photo_without_any_is_not_copied() -> None:
    for photo in (CAT, np.zeros_like(CAT), np.full_like(CAT, 255)):
        assert without_speckles(photo) is photo


def test_a_few_stay() -> None:
    """As many stars in the sky, or lights on the sea."""
    photo = np.full((200, 200, 3), 60, np.uint8)
    rows, columns = np.random.default_rng(0).integers(0, 200, (2, 300))
    photo[rows, columns] = 255
    assert without_speckles(photo) is photo


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (2, 500)])
def test_it_has_an_answer_for_every_size(shape: tuple[int, int], value: int) -> None:
    photo = np.full((*shape, 3), value, np.uint8)
    np.testing.assert_array_equal(without_speckles(photo), photo)


def test_speckles_at_the_edges_go_too() -> None:
    photo = np.full((20, 20, 3), 100, np.uint8)
    photo[0, 0] = photo[0, 10] = photo[19, 5] = photo[7, 19] = photo[5, 5] = photo[9, 3] = photo[14, 8] = 255
    np.testing.assert_array_equal(without_speckles(photo), np.full_like(photo, 100))


def test_a_square_shows_none_where_it_would_have() -> None:
    spoilt = perturb(CAT, "salt_and_pepper", LEVELS, 0)
    height, width = CAT.shape[:2]
    box = Letterbox.fit(width, height, 384)
    clean, cleaned, raw = box.apply(CAT), box.apply(spoilt), box.apply(spoilt, clean=False)
    assert apart(cleaned, clean).mean() < 4 < 16 < apart(raw, clean).mean()
    tiny = Letterbox.fit(width, height, 64)  # seven pixels to one of the square: it is halved first
    np.testing.assert_array_equal(tiny.apply(spoilt), tiny.apply(spoilt, clean=False))
