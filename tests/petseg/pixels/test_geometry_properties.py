"""Photo to square and back, for any size and any region: every place stays what it is, to half a pixel.

The pixel meant is the larger of the two kinds, the photo's or the model's: what is finer than that is lost.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from petseg.pixels.geometry import FILL, Letterbox

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

PIXELS = 300_000
"""Of the largest photo tried: enough for sides of 1 x 65535."""
ONE_PIXEL = Letterbox.fit(1, 1, 64)
NEEDLES = [Letterbox.fit(65535, 1, 64), Letterbox.fit(1, 65535, 64)]


@st.composite
def letterboxes(draw: Any) -> Letterbox:
    width = draw(st.one_of(st.integers(1, 5), st.integers(1, 600), st.integers(1, 65535)))
    height = draw(st.integers(1, min(65535, PIXELS // width)))
    size = draw(st.one_of(st.integers(1, 250), st.sampled_from([1, 2, 64, 160, 250])))
    region = None
    if draw(st.booleans()):
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        region = x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    return Letterbox.fit(width, height, size, region)


def examples(test: Any) -> Any:
    """Any letterboxes, and always those of a photo of one pixel and of the longest."""
    for box in (ONE_PIXEL, *NEEDLES):
        test = example(box)(test)
    return quick(given(letterboxes())(test))


def larger(box: Letterbox) -> NDArray[np.float64]:
    """Sides, in pixels of the photo along x and y, of a pixel of the photo or of the square: the larger."""
    x0, y0, x1, y1 = box.region
    return np.maximum(1, np.array([(x1 - x0) / box.inner_width, (y1 - y0) / box.inner_height]))


def shown(box: Letterbox, restored: NDArray[Any], axis: int) -> NDArray[Any]:
    """One line of what was restored: along x in the region's first row, or along y in its first column."""
    x0, y0, x1, y1 = box.region
    return restored[y0, x0:x1] if axis == 0 else restored[y0:y1, x0]


def places(box: Letterbox) -> NDArray[np.float64]:
    """(S, S, 2): which point (x, y) of the photo the centre of each pixel of the square shows."""
    centres = np.arange(box.size) + 0.5
    grid = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
    return box.to_image(grid).reshape(box.size, box.size, 2)


@examples
def test_the_region_fits_and_is_centred(box: Letterbox) -> None:
    x0, y0, x1, y1 = box.region
    scale = box.size / max(x1 - x0, y1 - y0)
    for length, inner, start in (
        (x1 - x0, box.inner_width, box.left),
        (y1 - y0, box.inner_height, box.top),
    ):
        assert inner == 1 or abs(inner - length * scale) <= 0.5  # the aspect ratio, to half a pixel
        assert 0 <= start <= box.size - inner
        assert abs(start - (box.size - inner - start)) <= 1
    assert max(box.inner_width, box.inner_height) == box.size


@examples
def test_clicks_come_back_to_their_pixel(box: Letterbox) -> None:
    x0, y0, x1, y1 = box.region
    generator = np.random.default_rng(0)
    pixels = np.vstack([generator.integers((x0, y0), (x1, y1), (50, 2)), [(x0, y0), (x1 - 1, y1 - 1)]])
    for within in (0.5, generator.random(pixels.shape)):  # its centre, and anywhere in it
        clicks = pixels + within
        assert box.contains(clicks)
        seen = box.to_model(clicks)
        assert (seen >= (box.left, box.top)).all()
        assert (seen <= (box.left + box.inner_width, box.top + box.inner_height)).all()
        np.testing.assert_allclose(box.to_image(seen), clicks, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.floor(box.to_image(box.to_model(pixels + 0.5))), pixels)


@examples
def test_values_are_restored_where_they_belong(box: Letterbox) -> None:
    for axis, pixel in enumerate(larger(box)):
        plane = places(box)[..., axis].astype(np.float32)
        said = shown(box, box.restore(plane), axis)
        start = box.region[axis]
        truth = start + np.arange(len(said)) + 0.5
        assert np.abs(said - truth).max() <= 0.5 * pixel
        if pixel > 1:  # the photo is larger: linear interpolation, but for half a pixel at the ends
            inside = slice(int(np.ceil(pixel / 2)), len(said) - int(np.ceil(pixel / 2)))
            np.testing.assert_allclose(said[inside], truth[inside], rtol=1e-6, atol=1e-3 * pixel)


@examples
def test_labels_are_restored_where_they_belong(box: Letterbox) -> None:
    for axis, pixel in enumerate(larger(box)):
        numbers = np.arange(box.size, dtype=np.uint8)
        labels = np.tile(numbers, (box.size, 1)) if axis == 0 else np.tile(numbers[:, None], (1, box.size))
        shows = places(box)[0, :, 0] if axis == 0 else places(box)[:, 0, 1]
        said = shows[shown(box, box.restore_labels(labels), axis)]
        truth = box.region[axis] + np.arange(len(said)) + 0.5
        assert np.abs(said - truth).max() <= 0.5 * pixel + 1e-3


@quick
@given(letterboxes(), st.floats(0, 1))
@example(NEEDLES[0], 0.5)
@example(NEEDLES[1], 0.3)
def test_edges_of_a_photo_stay_where_they_are(box: Letterbox, share: float) -> None:
    for axis, pixel in enumerate(larger(box)):
        start, end = box.region[axis], box.region[axis + 2]
        margin = int(np.ceil(pixel))  # of less than a pixel nothing is left to see
        if end - start < 2 * margin:
            continue
        edge = start + margin + round(share * (end - start - 2 * margin))
        photo = np.full((box.height, box.width, 3), 50, np.uint8)
        photo[(slice(None), slice(edge, None)) if axis == 0 else slice(edge, None)] = 200
        square = box.apply(photo)
        assert 50 <= square.min() <= square.max() <= 200  # no halo, which sharper filters make
        bright = shown(box, box.restore(square[..., 1].astype(np.float32)), axis) > 125
        assert (np.diff(bright.view(np.int8)) >= 0).all()
        assert abs(end - np.count_nonzero(bright) - edge) <= 0.5 * pixel


@examples
def test_padding_stays_out(box: Letterbox) -> None:
    photo = np.full((box.height, box.width, 3), 200, np.uint8)
    square = box.apply(photo)
    assert (square[box.inner] == 200).all()
    assert np.count_nonzero(square[..., 0] == 200) == box.inner_width * box.inner_height
    assert np.isin(square, (200, FILL)).all()
    x0, y0, x1, y1 = box.region
    for back in (box.restore(square[..., 0].astype(np.float32), -1), box.restore_labels(square[..., 0])):
        np.testing.assert_allclose(back[y0:y1, x0:x1], 200, atol=1e-3)
        assert np.count_nonzero(back > 0) == (x1 - x0) * (y1 - y0)


@quick
@given(letterboxes(), st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(0, 99))
def test_parts_are_what_the_whole_is(box: Letterbox, shares: list[float], seed: int) -> None:
    x0, y0, x1, y1 = box.region
    left, top = x0 + int(shares[0] * (x1 - x0 - 1)), y0 + int(shares[1] * (y1 - y0 - 1))
    right = left + 1 + int(shares[2] * (x1 - left - 1))
    bottom = top + 1 + int(shares[3] * (y1 - top - 1))
    plane = np.random.default_rng(seed).random((box.size, box.size), np.float32)
    part, expected = (left, top, right, bottom), box.restore(plane)[top:bottom, left:right]
    np.testing.assert_allclose(box.restore_part(plane, part), expected, atol=1e-3)
    tiles = box.restore_tile(np.stack([plane, -plane]), part)
    np.testing.assert_allclose(tiles, [expected, -expected], atol=1e-3)


@quick
@given(letterboxes(), st.integers(0, 99))
@example(NEEDLES[0], 0)
def test_nothing_changes_out_of_reach(box: Letterbox, seed: int) -> None:
    pixels = np.zeros((box.size, box.size), bool)
    pixels[tuple(np.random.default_rng(seed).integers(0, box.size, 2))] = True
    changed, reach = box.restore(pixels.astype(np.float32)) != 0, box.reach(pixels)
    if reach is None:
        assert not pixels[box.inner].any()
        assert not changed.any()
        return
    left, top, right, bottom = reach
    x0, y0, x1, y1 = box.region
    assert x0 <= left < right <= x1
    assert y0 <= top < bottom <= y1
    changed[top:bottom, left:right] = False
    assert not changed.any()
    # Nor is much more in reach than the pixel itself and its neighbours.
    assert (np.array([right - left, bottom - top]) <= 3 * larger(box) + 5).all()


@pytest.mark.parametrize("box", [ONE_PIXEL, *NEEDLES], ids=str)
def test_a_photo_as_thin_as_can_be_shows(box: Letterbox) -> None:
    assert (box.inner_width, box.inner_height) in [(64, 64), (64, 1), (1, 64)]
    assert box.to_model(np.array([[box.width / 2, box.height / 2]])).tolist() == [
        [box.left + box.inner_width / 2, box.top + box.inner_height / 2]
    ]
