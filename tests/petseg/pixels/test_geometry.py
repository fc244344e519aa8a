import numpy as np
import pytest

from petseg.pixels.geometry import FILL, Letterbox, bounds

SIZES = [(500, 375), (375, 500), (64, 64), (1, 1), (1, 1000), (1000, 1), (63, 65), (20, 10), (3000, 7)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_photo_fits_and_is_centred(width: int, height: int) -> None:
    box = Letterbox.fit(width, height, 64)
    assert box.whole
    assert box == Letterbox.fit(width, height, 64, (0, 0, width, height))
    assert max(box.inner_width, box.inner_height) == 64
    assert min(box.inner_width, box.inner_height) >= 1
    assert box.left == (64 - box.inner_width) // 2
    assert box.top == (64 - box.inner_height) // 2


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_apply_pads_with_grey_and_restore_undoes_it(width: int, height: int) -> None:
    box = Letterbox.fit(width, height, 64)
    square = box.apply(np.full((height, width, 3), 200, np.uint8))
    assert square.shape == (64, 64, 3)
    assert (square[box.inner] == 200).all()
    padding = np.ones((64, 64), bool)
    padding[box.inner] = False
    assert (square[padding] == FILL).all()
    plane = square[..., 0].astype(np.float32)
    assert box.restore(plane).shape == (height, width)
    np.testing.assert_allclose(box.restore(plane), 200, atol=1e-3)  # no grey bleeds in
    np.testing.assert_array_equal(box.restore_labels(square[..., 0]), np.full((height, width), 200))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_points_there_and_back(width: int, height: int) -> None:
    box = Letterbox.fit(width, height, 64)
    corners = np.array([[0, 0], [width, height], [width / 3, height / 7]], np.float64)
    inside = box.to_model(corners)
    np.testing.assert_allclose(inside[0], [box.left, box.top])
    np.testing.assert_allclose(inside[1], [box.left + box.inner_width, box.top + box.inner_height])
    np.testing.assert_allclose(box.to_image(inside), corners)


def test_a_click_lands_on_what_it_points_at() -> None:
    photo = np.zeros((300, 500, 3), np.uint8)
    photo[200:220, 400:420] = 255
    box = Letterbox.fit(500, 300, 128)
    (x, y) = box.to_model(np.array([[410.0, 210.0]]))[0]
    assert box.apply(photo)[int(y), int(x), 0] > 200


def test_smooth_upscaling_is_bilinear() -> None:
    plane = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    up = Letterbox.fit(80, 80, 8).restore(plane)
    np.testing.assert_allclose(up[40, 5:75], np.arange(5, 75) / 10 + 0.05 - 0.5, atol=1e-4)


@pytest.mark.parametrize("region", [None, (10, 5, 50, 45), (60, 0, 100, 60), (0, 30, 30, 34)])
@pytest.mark.parametrize("other", [None, (20, 10, 60, 50), (0, 0, 100, 20)])
def test_another_letterbox_shows_the_same_places(
    region: tuple[int, int, int, int] | None, other: tuple[int, int, int, int] | None
) -> None:
    one, two = (Letterbox.fit(100, 60, 64, part) for part in (region, other))
    pixels = np.arange(64) + 0.5
    grid = np.stack(np.meshgrid(pixels, pixels), -1).reshape(-1, 2)
    x, y = one.to_image(grid).T
    plane = (3 * x + 5 * y).astype(np.float32).reshape(64, 64)
    seen = two.see(plane, one, -1000.0)
    assert seen.shape == (64, 64)
    assert seen.dtype == np.float32
    at = two.to_image(grid)
    low, high = np.array(one.region).reshape(2, 2)
    pixel = (high - low) / (one.inner_width, one.inner_height)
    inside = ((at > low + pixel) & (at < high - pixel)).all(1)
    np.testing.assert_allclose(seen.ravel()[inside], (at @ (3, 5))[inside], atol=0.01)
    outside = ((at < low) | (at > high)).any(1)
    assert (seen.ravel()[outside] == -1000).all()


def test_a_region_is_cut_out_and_put_back() -> None:
    photo = np.arange(60 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 100, 3)
    box = Letterbox.fit(100, 60, 32, (50, 10, 82, 42))
    assert not box.whole
    np.testing.assert_array_equal(box.apply(photo, clean=False), photo[10:42, 50:82])
    plane = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
    back = box.restore(plane, outside=-5)
    np.testing.assert_array_equal(back[10:42, 50:82], plane)
    back[10:42, 50:82] = -5
    assert (back == -5).all()
    assert np.count_nonzero(box.restore_labels(np.full((32, 32), 2, np.uint8))) == 32 * 32
    points = np.array([[50, 10], [82, 42], [66, 12.5]])
    np.testing.assert_allclose(box.to_model(points), [[0, 0], [32, 32], [16, 2.5]])
    np.testing.assert_allclose(box.to_image(box.to_model(points)), points)
    assert box.contains(points)
    assert not box.contains(np.array([[60, 20], [49, 20.0]]))


@pytest.mark.parametrize("region", [(5, 5, 5, 9), (5, 9, 9, 9), (-1, 0, 5, 5), (0, 0, 101, 5), (0, 9, 5, 3)])
def test_regions_must_lie_in_the_photo(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit a photo of 100 x 60"):
        Letterbox.fit(100, 60, 32, region)


@pytest.mark.parametrize("sizes", [(0, 5, 64), (5, 0, 64), (5, 5, 0), (-1, 5, 64)])
def test_sizes_must_be_positive(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Letterbox.fit(*sizes)


def test_bounds() -> None:
    mask = np.zeros((8, 10), bool)
    mask[2, 3] = mask[5, 7] = True
    assert bounds(mask) == (3, 2, 8, 6)
    assert bounds(np.ones((2, 3), bool)) == (0, 0, 3, 2)
    with pytest.raises(ValueError, match="no true pixel"):
        bounds(np.zeros((3, 3), bool))


@pytest.mark.parametrize(("width", "height"), [*SIZES, (333, 250)])
@pytest.mark.parametrize("region", [None, "part"])
def test_no_value_depends_on_pixels_out_of_reach(width: int, height: int, region: str | None) -> None:
    part = (width // 4, height // 4, width // 4 + max(1, width // 2), height // 4 + max(1, height // 2))
    box = Letterbox.fit(width, height, 64, part if region else None)
    for seed in range(8):
        pixels = np.zeros((64, 64), bool)
        pixels[tuple(np.random.default_rng(seed).integers(0, 64, 2))] = True
        changed = box.restore(pixels.astype(np.float32)) != 0
        found = box.reach(pixels)
        if found is None:
            assert not changed.any()
            continue
        left, top, right, bottom = found
        inside = box.restore_part(pixels.astype(np.float32), found)
        np.testing.assert_allclose(
            inside, box.restore(pixels.astype(np.float32))[top:bottom, left:right], atol=1e-4
        )
        changed[top:bottom, left:right] = False
        assert not changed.any()


def test_a_smaller_copy_of_the_photo_will_do() -> None:
    photo = np.full((300, 500, 3), 90, np.uint8)
    box = Letterbox.fit(500, 300, 64)
    np.testing.assert_array_equal(box.apply(photo[::2, ::2]), box.apply(photo))
