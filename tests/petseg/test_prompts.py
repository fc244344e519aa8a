import numpy as np
import pytest

from petseg.errors import PromptError
from petseg.geometry import Letterbox
from petseg.prompts import BOX_EVIDENCE, SIGMA, check, encode


def test_nothing_given_is_no_prompt() -> None:
    assert check(100, 60) is None


@pytest.mark.parametrize("points", [[(3, 4), (99.9, 59)], np.array([[3, 4], [99.9, 59]], np.float32)])
def test_points(points: object) -> None:
    prompt = check(100, 60, points=points, labels=[1, 0])
    assert prompt is not None
    np.testing.assert_allclose(prompt.points, [[3, 4], [99.9, 59]], rtol=1e-6)
    assert prompt.positive.tolist() == [True, False]
    assert prompt.box is None


def test_point_is_short_for_one_positive_point() -> None:
    prompt = check(100, 60, point=(3, 4))
    assert prompt is not None
    assert prompt.points.tolist() == [[3, 4]]
    assert prompt.positive.tolist() == [True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"point": (100, 10)}, r"\(100, 10\) is outside the photo of 100 x 60 pixels; give 0 <= x < 100"),
        ({"point": (10, 60)}, "outside the photo of 100 x 60.*0 <= y < 60"),
        ({"point": (-1, 10)}, "outside the photo"),
        ({"points": [(1, 1), (500, 1)]}, r"\(500, 1\) is outside the photo"),
        ({"point": (float("nan"), 1)}, "point holds NaN"),
        ({"point": (1, float("inf"))}, "point holds NaN or infinity"),
        ({"point": (1, 2, 3)}, r"shape \(1, 3\); give \(N, 2\)"),
        ({"point": 5}, r"give \(N, 2\)"),
        ({"point": "here"}, "are no numbers; give pixels"),
        ({"points": (1, 2)}, r"shape \(2,\); give \(N, 2\)"),
        ({"points": []}, r"give \(N, 2\)"),
        ({"points": [(1, 2), (3,)]}, "are no numbers"),
        ({"point": (1, 2), "points": [(1, 2)]}, "give all clicks in points"),
        ({"labels": [1]}, "give points too"),
        ({"points": [(1, 2)], "labels": [1, 0]}, "one label per point"),
        ({"points": [(1, 2)], "labels": [2]}, "give 1 for wanted and 0"),
        ({"points": [(1, 2)], "labels": [0]}, "give one with label 1"),
        ({"box": (1, 2, 3)}, r"give \(x0, y0, x1, y1\)"),
        ({"box": (5, 2, 5, 9)}, "does not fit.*x0 < x1 <= 100"),
        ({"box": (5, 9, 8, 2)}, "does not fit.*y0 < y1 <= 60"),
        ({"box": (0, 0, 101, 60)}, "does not fit the photo of 100 x 60"),
        ({"box": (-1, 0, 10, 10)}, "does not fit"),
        ({"box": (0, 0, float("nan"), 10)}, "box holds NaN"),
    ],
)
def test_bad_prompts(given: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        check(100, 60, **given)


def test_the_whole_photo_is_a_box() -> None:
    assert check(100, 60, box=(0, 0, 100, 60)) is not None


def encoded(size: int = 256, **given: object) -> np.ndarray:
    prompt = check(512, 256, **given)
    assert prompt is not None
    maps = encode(prompt, Letterbox.fit(512, 256, size))
    assert maps.shape == (2, size, size)
    assert maps.dtype == np.float32
    assert 0 <= maps.min() <= maps.max() <= 1
    return maps


def test_a_click_is_a_gaussian_where_it_lands() -> None:
    maps = encoded(points=[(201, 101), (401, 101)], labels=[1, 0])
    x, y = 100, 64 + 50  # half the scale, below the padding, at the centre of a pixel
    assert maps[0, y, x] == 1
    assert maps[0, y + 5, x] == pytest.approx(np.exp(-0.5 * (5 / SIGMA) ** 2))
    assert maps[0, y, x + 5] == pytest.approx(np.exp(-0.5 * (5 / SIGMA) ** 2))
    assert maps[0, y, 200] < 1e-6
    assert maps[1, y, 200] == 1
    assert maps[1, y, x] < 1e-6


def test_clicks_take_their_maximum() -> None:
    together = encoded(points=[(200, 100), (210, 100)])
    apart = [encoded(point=(200, 100)), encoded(point=(210, 100))]
    np.testing.assert_array_equal(together, np.maximum(*apart))


def test_spread_grows_with_the_model() -> None:
    small, large = encoded(128, point=(256, 128)), encoded(256, point=(256, 128))
    np.testing.assert_allclose(small[0].sum() * 4, large[0].sum(), rtol=1e-3)


def test_a_box_speaks_for_its_inside_and_against_the_rest() -> None:
    maps = encoded(box=(100, 60, 300, 200))
    inside, outside = (slice(94, 164), slice(50, 150)), (slice(0, 64), slice(0, 256))
    assert (maps[0][inside] == BOX_EVIDENCE).all()
    assert (maps[1][inside] == 0).all()
    assert maps[0][outside].max() < 1e-6
    assert maps[1][outside].min() == pytest.approx(BOX_EVIDENCE)
    np.testing.assert_allclose(maps.sum(0), BOX_EVIDENCE, atol=1e-6)


def test_a_click_shows_inside_a_box() -> None:
    maps = encoded(box=(100, 60, 300, 200), points=[(201, 101), (251, 151)], labels=[1, 0])
    assert maps[0, 114, 100] == 1
    assert maps[1, 139, 125] == 1
