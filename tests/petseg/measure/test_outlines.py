import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from petseg.measure.outlines import Brush, Outlined, Polygon, Region, Runs, Shape
from petseg.pixels import polygons, rle

MASKS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 1))


def whole(shape: Shape, width: int, height: int) -> NDArray[np.bool_]:
    part, inside = shape.inside(width, height)
    result = np.zeros((height, width), bool)
    result[part] = inside
    return result


@given(MASKS)
@settings(max_examples=100, deadline=None)
def test_runs_are_those_of_pycocotools(mask: NDArray[np.uint8]) -> None:
    height, width = mask.shape
    text = coco.encode(np.asfortranarray(mask))["counts"].decode()
    lengths = rle.from_coco(text)
    assert np.array_equal(whole(Runs(lengths, by_column=True), width, height), mask == 1)
    assert (
        coco.frPyObjects({"counts": lengths.tolist(), "size": [height, width]}, height, width)["counts"]
        == text.encode()
    )


@pytest.mark.parametrize("text", ["o", "\x7f", "0 ", "é"])
def test_broken_run_lengths_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        rle.from_coco(text)


@given(MASKS)
@settings(max_examples=100, deadline=None)
def test_the_outlines_that_petseg_traces_come_back_as_the_mask(mask: NDArray[np.uint8]) -> None:
    height, width = mask.shape
    again = np.zeros((height, width), bool)
    for outline in polygons.trace(polygons.Runs.of(mask), 0):
        for ring in (outline.exterior, *outline.holes):
            again ^= whole(Polygon(np.asarray(ring, float)), width, height)
    assert np.array_equal(again, mask == 1)


@pytest.mark.parametrize("seed", range(5))
def test_polygons_are_nearly_those_of_pycocotools(seed: int) -> None:
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 12))
    radius = generator.uniform(40, 90, 12)
    ring = np.stack([100 + radius * np.cos(angles), 110 + radius * np.sin(angles)], 1)
    theirs = coco.decode(coco.merge(coco.frPyObjects([ring.ravel().tolist()], 230, 210))) == 1
    ours = whole(Polygon(ring), 210, 230)
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.97
    assert abs(int(ours.sum()) - area(ring)) < 0.01 * area(ring)


def area(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


def test_a_polygon_may_reach_beyond_the_photo() -> None:
    ring = np.array([(-5, 2), (3, 2), (3, 20), (-5, 20.0)])
    expected = np.zeros((8, 6), bool)
    expected[2:, :3] = True
    assert np.array_equal(whole(Polygon(ring), 6, 8), expected)
    assert not whole(Polygon(ring + 100), 6, 8).any()


def test_runs_of_a_box_go_along_the_rows() -> None:
    runs = Runs(np.array([1, 2, 2, 1]), by_column=False, box=(2, 1, 3, 2))
    expected = np.zeros((4, 6), bool)
    expected[1:3, 2:5] = [[0, 1, 1], [0, 0, 1]]
    assert np.array_equal(whole(runs, 6, 4), expected)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (Runs(np.array([5]), by_column=True), "5 pixels do not fill 6 x 4"),
        (Runs(np.array([30, -6]), by_column=True), "a run of -6 pixels: run lengths cannot be negative"),
        (Runs(np.array([4]), by_column=False, box=(5, 0, 2, 2)), "outside of the photo"),
    ],
)
def test_runs_that_do_not_fit_are_refused(runs: Runs, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        runs.inside(6, 4)


def pack(values: list[tuple[int, list[int]]], count: int) -> bytes:
    """An rle-pack: (1, [value] * n) a run, (0, values) as they are."""
    bits = f"{count:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    for same, run in values:
        bits += f"{same}11{len(run) - 1:016b}" + "".join(
            f"{value:08b}" for value in run[: 1 if same else None]
        )
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def test_a_brush_of_label_studio() -> None:
    data = pack([(1, [0] * 8), (0, [0, 0, 0, 255, 9, 9, 9, 128]), (1, [255] * 4), (1, [0] * 4)], 24)
    assert np.array_equal(whole(Brush(data), 3, 2), [[0, 0, 1], [1, 1, 0]])
    for broken, said in ((data[:-3], "breaks off"), (pack([(1, [0] * 8)], 8), "does not fill")):
        with pytest.raises(ValueError, match=said):
            Brush(broken).inside(3, 2)
    with pytest.raises(ValueError, match="more values"):
        Brush(pack([(1, [0] * 25)], 24)).inside(3, 2)


def test_what_comes_last_is_in_front_and_what_is_ignored_behind() -> None:
    def box(left: int) -> Runs:
        return Runs(np.array([0, 4]), by_column=False, box=(left, 0, 4, 1))

    outlined = Outlined(8, 1, [Region(1, box(0)), Region(2, box(2)), Region(255, box(4))])
    assert outlined.mask().tolist() == [[1, 1, 2, 2, 2, 2, 255, 255]]
