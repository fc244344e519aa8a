"""Which regions are pets: those with enough pixels that are sure."""

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.pixels import decision
from petseg.pixels.decision import FRINGE, PART, SURE, sureness, without_unsure
from petseg.pixels.geometry import Letterbox

SIDE = 64
BOX = Letterbox.fit(SIDE, SIDE, SIDE)
LIMIT = np.log(SURE / (1 - SURE))
"""Log-odds from which on a pixel is sure."""


def logits(*squares: tuple[int, int, float, int]) -> NDArray[np.float32]:
    """Background, but for squares of 10 x 10 pixels (row, column, log-odds, class)."""
    result = np.zeros((3, SIDE, SIDE), np.float32)
    result[0] = 5
    for row, column, value, kind in squares:
        result[kind, row : row + 10, column : column + 10] = 5 + value
    return result


def classes(seen: NDArray[np.float32], box: Letterbox = BOX) -> NDArray[np.uint8]:
    return decision.classify(*decision.margins(without_unsure(box, seen)), None)


@pytest.mark.parametrize("kind", [1, 2])
def test_an_unsure_region_is_ruled_out_and_a_sure_one_stays(kind: int) -> None:
    seen = logits((5, 5, 1.0, kind), (40, 40, 4.0, kind))
    found = classes(seen)
    assert np.count_nonzero(found) == 100
    assert (found[40:50, 40:50] == kind).all()


@pytest.mark.parametrize("share", [PART - 0.01, PART + 0.01])
def test_a_part_of_it_must_be_sure(share: float) -> None:
    seen = logits((20, 20, 1.0, 1))
    rows, columns = np.divmod(np.arange(round(100 * share)), 10)
    seen[1, 20 + rows, 20 + columns] = 5 + LIMIT + 0.1
    assert classes(seen).any() == (share >= PART)


def test_both_species_together_are_one_region() -> None:
    """A cat that is partly taken for a dog is sure where it is taken for a cat."""
    seen = logits((20, 20, 4.0, 1), (20, 30, 1.0, 2))
    assert np.count_nonzero(classes(seen)) == 200


def test_what_is_ruled_out_is_sure_to_be_background_and_leaves_no_fringe() -> None:
    seen = logits((20, 20, 1.0, 1), (20, 50, 4.0, 1))
    seen[1, 19, 15:35] = 5 - 0.5  # nearly a pet: a cutout would show it
    cat, dog = decision.margins(without_unsure(BOX, seen))
    around = cat[20 - FRINGE : 30 + FRINGE, 20 - FRINGE : 30 + FRINGE]
    assert around.max() == pytest.approx(-LIMIT, abs=1e-5)
    assert (cat[20:30, 50:60] == 4).all()
    assert (dog < 0).all()


def test_a_neighbour_keeps_its_pixels() -> None:
    seen = logits((20, 20, 1.0, 1), (20, 32, 4.0, 2))
    assert (classes(seen)[20:30, 32:42] == 2).all()


def test_rows_are_not_joined_at_their_ends() -> None:
    seen = np.zeros((3, SIDE, SIDE), np.float32)
    seen[0] = 5
    seen[1, 10, SIDE - 4 :] = 6.0
    seen[1, 11, :4] = 9.0
    found = classes(seen)
    assert (found[11, :4] == 1).all()
    assert np.count_nonzero(found) == 4


def test_only_what_shows_the_photo_counts() -> None:
    box = Letterbox.fit(SIDE, SIDE // 2, SIDE)
    seen = logits((box.top, 20, 1.0, 1))
    seen[1, : box.top, 20:30] = 20  # grey above the photo, taken for a cat
    assert not classes(seen, box)[box.inner].any()


def test_where_all_are_sure_nothing_is_copied() -> None:
    for seen in (logits(), logits((5, 5, 4.0, 1), (30, 30, 4.0, 2))):
        assert without_unsure(BOX, seen) is seen


def test_the_share_of_sure_pixels() -> None:
    assert sureness(*decision.margins(logits())) == 1
    assert sureness(*decision.margins(logits((5, 5, 4.0, 1), (30, 30, 1.0, 2)))) == 0.5
