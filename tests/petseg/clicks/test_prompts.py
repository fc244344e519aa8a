import warnings

import numpy as np
import pytest

from petseg.clicks.prompts import (
    BOX_EVIDENCE,
    REACH,
    SIGMA,
    SIGMA_SIZE,
    PromptWarning,
    check,
    check_several,
    encode,
    extend,
)
from petseg.errors import PromptError
from petseg.pixels.geometry import FILL, Letterbox


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
        ({"point": "here"}, "point 'here' are no numbers; give pixels"),
        ({"points": (1, 2)}, r"shape \(2,\); give \(N, 2\)"),
        ({"points": []}, r"points are empty; give \(N, 2\).*or a box, or leave them out"),
        ({"points": [(1, 2, 1)]}, r"shape \(1, 3\).*if the third column has labels, give them as labels"),
        ({"point": (True, False)}, "are no numbers"),
        ({"point": (1j, 2)}, "are no numbers"),
        ({"box": (False, False, True, True)}, "are no numbers"),
        ({"points": [], "labels": [1], "box": (0, 0, 9, 9)}, "give points too"),
        ({"box": [(0, 0, 9, 9)]}, r"shape \(1, 4\); give \(x0, y0, x1, y1\), or all of them as boxes"),
        (
            {"box": (60, 30, 20, 10)},
            r"if it is \(x, y, width, height\), give \(60, 30, 80, 40\)",
        ),
        ({"box": (100, 0, 101, 10)}, "does not fit"),
        ({"box": (-1, 0, 0, 10)}, "does not fit"),
        ({"points": [(1, 2), (3,)]}, "are no numbers"),
        ({"point": (1, 2), "points": [(1, 2)]}, "give all clicks in points"),
        ({"labels": [1]}, "give points too"),
        ({"points": [(1, 2)], "labels": [1, 0]}, "one label per point"),
        ({"points": [(1, 2), (3, 4)], "labels": [1]}, r"labels have shape \(1,\) for 2 points"),
        ({"points": [(1, 2)], "labels": 1}, "one label per point"),
        ({"points": [(1, 2)], "labels": []}, "one label per point"),
        ({"points": [(1, 2)], "labels": [0.5]}, "labels hold 0.5; give 1 for wanted and 0"),
        ({"points": [(1, 2)], "labels": [float("nan")]}, "labels holds NaN"),
        ({"points": [(1, 2)], "labels": ["yes"]}, "labels .* are no numbers"),
        ({"points": [(1, 2), (3, 4)], "labels": [0, 0]}, "every click has label 0; .*or a box"),
        ({"points": np.zeros((0, 2))}, "points are empty"),
        ({"points": np.zeros((2, 1, 2))}, r"shape \(2, 1, 2\)"),
        ({"points": [(1, None)]}, "points holds NaN"),
        ({"points": [(1, 2)], "box": (5, 5, 5, 5)}, "does not fit"),
        ({"point": (200, 1), "box": (0, 0, 9, 9)}, "outside the photo"),
        ({"labels": [1], "box": (0, 0, 9, 9)}, "give points too"),
        ({"box": [(0, 0), (9, 9)]}, r"box has shape \(2, 2\)"),
        ({"box": ()}, r"box has shape \(0,\)"),
        ({"box": (100, 0, 110, 10)}, "does not fit"),
        ({"box": (9, 9, 0, 0)}, "does not fit"),
        ({"box": "0,0,9,9"}, "are no numbers"),
        ({"points": [(1, 2)], "labels": [2]}, "give 1 for wanted and 0"),
        ({"points": [(1, 2)], "labels": [0]}, "give one with label 1"),
        ({"box": (1, 2, 3)}, r"give \(x0, y0, x1, y1\)"),
        ({"box": (5, 2, 5, 9)}, "does not fit.*x0 < x1 <= 100"),
        ({"box": (5, 9, 8, 2)}, "does not fit.*y0 < y1 <= 60"),
        ({"box": (5, 9, 8, 9)}, "does not fit.*y0 < y1 <= 60"),
        ({"box": (0, 0, 101.1, 60)}, "does not fit the photo of 100 x 60"),
        ({"box": (-1.1, 0, 10, 10)}, "does not fit"),
        ({"box": (0, 0, float("nan"), 10)}, "box holds NaN"),
    ],
)
def test_bad_prompts(given: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        check(100, 60, **given)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 100, 60), [0, 0, 100, 60]),
        ((-0.4, 10.2, 100.3, 59.8), [0, 10.2, 100, 59.8]),
        ((-1, -1, 101, 61), [0, 0, 100, 60]),
    ],
)
def test_a_box_up_to_a_pixel_outside_is_clipped(box: tuple[float, ...], expected: list[float]) -> None:
    prompt = check(100, 60, box=box)
    assert prompt is not None
    assert prompt.box is not None
    assert prompt.box.tolist() == expected


@pytest.mark.parametrize("points", [[], np.empty((0, 2)), [[]]])
@pytest.mark.parametrize("labels", [None, []])
def test_no_points_beside_a_box_are_no_points(points: object, labels: object) -> None:
    prompt = check(100, 60, points=points, labels=labels, box=(5, 5, 50, 50))
    assert prompt is not None
    assert prompt.kinds == ["box"]
    assert extend(prompt, 100, 60, points=points, labels=labels, box=(1, 1, 9, 9)).kinds == ["box"]


@pytest.mark.parametrize(
    "given",
    [
        {"point": (0.44, 0.5)},
        {"points": [(0, 0.5), (1, 1)]},
        {"box": (0.1, 0.1, 0.9, 0.9)},
        {"box": (0, 0, 1, 1)},
        {"box": (0, 0, 1, 1), "points": [(1, 1)]},
    ],
)
def test_what_looks_normalised_is_pointed_out(given: dict[str, object]) -> None:
    with pytest.warns(PromptWarning, match="has 100 x 60 pixels.*multiply x by 100 and y by 60"):
        check(100, 60, **given)


def test_so_are_several_boxes() -> None:
    boxes = [(0.1, 0.1, 0.9, 0.9), (0, 0, 0.5, 1)]
    with pytest.warns(
        PromptWarning, match="all coordinates of the boxes lie in 0..1.*multiply x by 100 and y by 60"
    ):
        check_several(100, 60, boxes=boxes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_several(100, 60, boxes=[*boxes, (10, 10, 50, 50)])


@pytest.mark.parametrize("kind", ["datetime64[D]", "timedelta64[s]"])
def test_times_are_no_pixels(kind: str) -> None:
    with pytest.raises(PromptError, match="are no numbers"):
        check(100, 60, point=np.array([20, 30], kind))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("side", "given"),
    [
        (100, {"point": (0, 0)}),
        (100, {"point": (1, 1)}),
        (100, {"point": (0.5, 1.5)}),
        (100, {"point": (0.5, 0.5), "box": (0, 0, 9, 9)}),
        (1, {"point": (0.5, 0.5)}),
    ],
)
def test_what_may_well_be_pixels_is_not(side: int, given: dict[str, object]) -> None:
    assert check(side, side, **given) is not None


def test_what_was_asked_stays_what_it_was() -> None:
    points, box = np.array([[3.0, 4.0]]), np.array([1.0, 2.0, 30.0, 40.0])
    prompt = check(100, 60, points=points, box=box)
    assert prompt is not None
    assert prompt.box is not None
    points[:] = box[:] = 0
    assert prompt.points.tolist() == [[3, 4]]
    assert prompt.box.tolist() == [1, 2, 30, 40]
    for array in (prompt.points, prompt.box):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


class Tracked:
    """As a tensor that requires grad: no array can be made of it."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


@pytest.mark.parametrize("name", ["point", "points", "box"])
def test_a_tensor_that_does_not_become_an_array(name: str) -> None:
    with pytest.raises(PromptError, match=f"{name} .* are no numbers"):
        check(100, 60, **{name: Tracked()})


@pytest.mark.parametrize(
    "wrong", [{"points": ["here"] * 10_000}, {"box": "x" * 10_000}, {"labels": [7] * 9_999}]
)
def test_messages_stay_short(wrong: dict[str, object]) -> None:
    with pytest.raises(PromptError) as error:
        check(100, 60, **{"points": [(1, 1)] * 9_999} | wrong)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ({"point": (1, 2)}, ["point"]),
        ({"box": (1, 2, 3, 4)}, ["box"]),
        ({"points": [(1, 2), (3, 4)], "labels": [1, 0]}, ["point"]),
        ({"points": [(1, 2)], "labels": [0], "box": (1, 2, 3, 4)}, ["point", "box"]),
        ({"point": (1, 2), "labels": [True], "box": np.array([1, 2, 3, 4])}, ["point", "box"]),
    ],
)
def test_combinations(given: dict[str, object], kinds: list[str]) -> None:
    prompt = check(100, 60, **given)
    assert prompt is not None
    assert prompt.kinds == kinds
    assert len(prompt.points) == len(prompt.positive)
    assert prompt.positive.dtype == bool


def test_extending_adds_clicks_and_replaces_the_box() -> None:
    first = check(100, 60, point=(1, 2), box=(0, 0, 9, 9))
    assert first is not None
    second = extend(first, 100, 60, point=(3, 4), label=0)
    assert second.points.tolist() == [[1, 2], [3, 4]]
    assert second.positive.tolist() == [True, False]
    assert second.box is first.box
    third = extend(second, 100, 60, points=[(5, 6), (7, 8)], labels=[0, 1], box=(1, 1, 8, 8))
    assert third.points.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert third.positive.tolist() == [True, False, False, True]
    assert third.box is not None
    assert third.box.tolist() == [1, 1, 8, 8]
    assert len(first.points) == 1


def test_unwanted_clicks_alone_can_be_added() -> None:
    boxed = check(100, 60, box=(0, 0, 9, 9))
    assert boxed is not None
    assert extend(boxed, 100, 60, points=[(1, 1), (2, 2)], labels=[0, 0]).positive.tolist() == [False, False]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "^nothing is added; give a point, points or a box$"),
        ({"point": (5, 5), "labels": [0]}, "^labels are given with point; give label with point, or labels"),
        ({"points": [(5, 5)], "label": 0}, "^label is given without point; give labels with points$"),
        ({"point": (5, 5), "label": 2}, "labels hold 2"),
    ],
)
def test_bad_extensions(more: dict[str, object], message: str) -> None:
    first = check(100, 60, point=(1, 2))
    assert first is not None
    with pytest.raises(PromptError, match=message):
        extend(first, 100, 60, **more)


def encoded(size: int = 256, **given: object) -> np.ndarray:
    prompt = check(512, 256, **given)
    assert prompt is not None
    maps = encode(prompt, Letterbox.fit(512, 256, size))
    assert maps.shape == (2, size, size)
    assert maps.dtype == np.float32
    assert 0 <= maps.min() <= maps.max() <= 1
    return maps


def test_models_are_fed_what_they_were_trained_on() -> None:
    assert (SIGMA, SIGMA_SIZE, REACH, BOX_EVIDENCE, FILL) == (5, 256, 6, 0.5, 127)


def test_a_click_is_a_gaussian_where_it_lands() -> None:
    maps = encoded(points=[(201, 101), (401, 101)], labels=[1, 0])
    x, y = 100, 64 + 50  # half the scale, below the padding, at the centre of a pixel
    assert maps[0, y, x] == 1
    assert maps[0, y + 5, x] == pytest.approx(np.exp(-0.5 * (5 / SIGMA) ** 2))
    assert maps[0, y, x + 5] == pytest.approx(np.exp(-0.5 * (5 / SIGMA) ** 2))
    assert maps[0, y, 200] < 1e-6
    assert maps[1, y, 200] == 1
    assert maps[1, y, x] < 1e-6


def test_a_click_reaches_as_far_as_it_matters() -> None:
    maps = encoded(point=(200, 128))
    exact = np.exp(-0.5 * ((np.arange(256) + 0.5 - 100) / SIGMA) ** 2)
    np.testing.assert_allclose(maps[0, 128], exact * maps[0, 128].max() / exact.max(), rtol=1e-6, atol=2e-8)
    for line in (maps[0, 128], maps[0, :, 100]):
        middle = np.argmax(line) + 0.5
        assert np.abs(np.flatnonzero(line) + 0.5 - middle).max() == pytest.approx(REACH * SIGMA, abs=1)
    for corner in ((0, 0), (511.9, 255.9)):
        assert encoded(point=corner)[0].max() > 0.98


def test_clicks_outside_a_close_up_leave_the_others_alone() -> None:
    close = Letterbox.fit(512, 256, 256, (300, 100, 400, 200))
    clicks = [(10, 150), (350, 10), (350, 150), (510, 150), (350, 250)]
    prompt, inside = check(512, 256, points=clicks), check(512, 256, point=(350, 150))
    assert prompt is not None
    assert inside is not None
    np.testing.assert_array_equal(encode(prompt, close), encode(inside, close))
    assert encode(inside, close)[0].max() > 0.98


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
