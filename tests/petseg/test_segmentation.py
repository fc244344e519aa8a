import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.draw import polygon2mask

from petseg.errors import OutputError
from petseg.pixels import decision
from petseg.pixels.classes import COLORS
from petseg.pixels.geometry import Letterbox
from petseg.segmentation import Segmentation
from tests.support.results import HEIGHT, PHOTO, SIDE, WIDTH, noise, result


def restored(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    box = Letterbox.fit(WIDTH, HEIGHT, SIDE)
    return np.stack([box.restore(plane) for plane in logits])


# -- what the network said ------------------------------------------------------------------------------


def test_mask_is_the_best_class_of_the_resized_logits() -> None:
    logits = noise()
    mask = result(logits=logits).mask
    assert (mask.shape, mask.dtype) == ((HEIGHT, WIDTH), np.uint8)
    # Differences are resized, not planes: equal but for rounding where two classes tie.
    assert (mask != restored(logits).argmax(0)).mean() < 1e-3


def test_background_wins_a_tie() -> None:
    assert not result(logits=np.zeros((3, SIDE, SIDE), np.float32)).mask.any()


def test_nearest_resizes_the_classes() -> None:
    logits = noise()
    expected = Letterbox.fit(WIDTH, HEIGHT, SIDE).restore_labels(logits.argmax(0).astype(np.uint8))
    np.testing.assert_array_equal(result("nearest", logits).mask, expected)


@pytest.mark.parametrize(
    ("pixels", "cat", "found"),
    [(1, 9, False), (2, 9, True), (2, 0.5, False), (40, 0.5, False), (40, 9, True)],
)
@pytest.mark.parametrize("resize", ["smooth", "nearest"])
def test_a_pet_is_enough_pixels_that_are_sure(pixels: int, cat: float, found: bool, resize: str) -> None:
    """Of 32 x 19 pixels that show the photo two are enough."""
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 4
    logits[:, 12, : pixels % SIDE] = np.array([0, cat, -9])[:, None]
    logits[:, 13, : max(0, pixels - SIDE)] = np.array([0, cat, -9])[:, None]
    answer = result(resize, logits)
    assert bool(answer.mask.any()) == found
    assert answer.label == ("cat" if found else "background")
    assert bool(np.asarray(answer.cutout())[..., 3].any()) == found
    assert bool(answer.polygons()) == found
    if not found:
        assert answer.score == pytest.approx(answer.probabilities[0].mean(), abs=0.01)
        np.testing.assert_array_equal(np.asarray(answer.overlay()), PHOTO)


def test_few_of_many_pixels_are_nobody() -> None:
    side = 128
    logits = np.zeros((3, side, side), np.float32)
    logits[0] = 9
    needed = decision.ENOUGH * side * side
    logits[1, 50, : int(needed)] = 30
    box, photo = Letterbox.fit(side, side, side), np.zeros((side, side, 3), np.uint8)
    assert Segmentation(logits, box, photo, "tiny").label == "background"
    logits[1, 51, :2] = 30
    assert Segmentation(logits, box, photo, "tiny").label == "cat"


def test_with_a_threshold_that_is_sure_enough() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0, :, : SIDE // 2] = 9  # elsewhere every class has a third
    answer = result(logits=logits)
    assert answer.label == "background"
    assert answer.with_threshold(0.5).label == "cat"
    assert answer.with_threshold(0.7).label == "background"


def test_smooth_edges_are_smoother_than_nearest_ones() -> None:
    def circle(side: int) -> NDArray[np.float64]:
        y, x = (np.indices((side, side)) + 0.5) / side - 0.5
        return 0.3 - np.hypot(x, y)

    inside = circle(SIDE)
    logits = 20 * np.stack([-inside, inside, np.full_like(inside, -99)]).astype(np.float32)
    photo = np.zeros((4 * SIDE, 4 * SIDE, 3), np.uint8)
    box = Letterbox.fit(4 * SIDE, 4 * SIDE, SIDE)
    wrong = [
        ((Segmentation(logits, box, photo, "tiny", resize=resize).mask != 0) != (circle(4 * SIDE) > 0)).sum()
        for resize in ("smooth", "nearest")
    ]
    assert wrong[0] < 0.2 * wrong[1]


def test_probabilities_are_the_softmax() -> None:
    logits = noise() * 30  # far enough for a naive softmax to overflow
    probabilities = result(logits=logits).probabilities
    assert (probabilities.shape, probabilities.dtype) == ((3, HEIGHT, WIDTH), np.float32)
    planes = restored(logits).astype(np.float64)
    powers = np.exp(planes - planes.max(0))
    np.testing.assert_allclose(probabilities, powers / powers.sum(0), atol=1e-4)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert np.isfinite(result(logits=np.full((3, SIDE, SIDE), 3e38, np.float32)).probabilities).all()


def test_alpha_is_any_pet() -> None:
    answer = result()
    assert answer.alpha.dtype == np.float32
    np.testing.assert_allclose(answer.alpha, answer.probabilities[1:].sum(0), atol=1e-6)


def test_label_and_scores() -> None:
    answer = result()
    assert answer.label == "cat"
    inside = answer._logits[(slice(None), *Letterbox.fit(WIDTH, HEIGHT, SIDE).inner)]
    probabilities = np.exp(inside) / np.exp(inside).sum(0)
    expected = probabilities[:, inside.argmax(0) != 0].mean(1)
    assert list(answer.scores) == ["background", "cat", "dog"]
    np.testing.assert_allclose(list(answer.scores.values()), expected, rtol=1e-4)
    assert answer.score == answer.scores["cat"]
    assert sum(answer.scores.values()) == pytest.approx(1)


def test_the_larger_animal_gives_the_label() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 8
    logits[:, 10:22, 4:10] = np.array([-2, 6, 0])[:, None, None]
    logits[:, 10:22, 12:29] = np.array([-2, 0, 6])[:, None, None]
    assert result(logits=logits).label == "dog"


def test_nothing_there() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 3
    answer = result(logits=logits)
    assert answer.label == "background"
    assert not answer.mask.any()
    assert answer.score == pytest.approx(np.exp(3) / (np.exp(3) + 2), rel=1e-5)
    assert answer.polygons() == []
    assert not np.asarray(answer.cutout())[..., 3].any()
    np.testing.assert_array_equal(np.asarray(answer.overlay()), PHOTO)


def test_repr() -> None:
    assert repr(result()).startswith("<Segmentation cat 0.")
    assert repr(result()).endswith("100 x 60, model 'tiny'>")


def test_threads_that_ask_together_agree() -> None:
    answer, barrier, seen = result(), threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        seen.append((answer.label, answer.score, answer.mask.sum(), len(answer.polygons())))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (3, 2)])
def test_tiny_and_thin_photos(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    photo = np.zeros((height, width, 3), np.uint8)
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[2] = 5
    answer = Segmentation(logits, Letterbox.fit(width, height, SIDE), photo, "tiny")
    assert answer.mask.shape == (height, width)
    assert answer.label == "dog"
    assert answer.size == size
    (polygon,) = answer.polygons()
    assert sorted(polygon["exterior"]) == sorted([[0, 0], [width, 0], [width, height], [0, height]])
    answer.save(tmp_path / "mask.png")


# -- pictures -------------------------------------------------------------------------------------------


def test_overlay_tints_the_pets_only() -> None:
    answer = result()
    image = answer.overlay(0.5)
    assert (image.mode, image.size) == ("RGB", (WIDTH, HEIGHT))
    pixels = np.asarray(image).astype(float)
    for label, name in ((1, "cat"), (2, "dog")):
        chosen = answer.mask == label
        expected = (PHOTO[chosen].astype(float) + COLORS[name]) / 2
        assert np.abs(pixels[chosen] - expected).max() <= 2
    np.testing.assert_array_equal(pixels[answer.mask == 0], PHOTO[answer.mask == 0])


def test_overlay_at_its_ends_and_in_other_colours() -> None:
    answer = result()
    np.testing.assert_array_equal(np.asarray(answer.overlay(0)), PHOTO)
    solid = np.asarray(answer.overlay(1, {"dog": (1, 2, 3)}))
    assert (solid[answer.mask == 2] == (1, 2, 3)).all()
    assert (solid[answer.mask == 1] == COLORS["cat"]).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"opacity": 1.1}, "from 0 to 1"),
        ({"opacity": -0.1}, "from 0 to 1"),
        ({"opacity": float("nan")}, "from 0 to 1"),
        ({"opacity": "0.5"}, "from 0 to 1"),
        ({"opacity": None}, "from 0 to 1"),
        ({"colors": {"horse": (0, 0, 0)}}, "classes are background, cat, dog"),
        ({"colors": {"cat": (0, 0, 256)}}, r"give \(red, green, blue\)"),
        ({"colors": {"cat": (0, 0)}}, r"give \(red, green, blue\)"),
        ({"colors": {"cat": (0.5, 0.2, 1.0)}}, "not three whole numbers of 0..255"),
        ({"colors": None}, "colors is None; give a dictionary"),
        ({"colors": {"cat": "red"}}, r"give \(red, green, blue\)"),
    ],
)
def test_bad_overlays(given: dict[str, object], message: str) -> None:
    with pytest.raises(OutputError, match=message):
        result().overlay(**given)


def test_cutout_has_a_soft_edge_and_keeps_the_colours_of_the_pets_alone() -> None:
    answer = result()
    image = answer.cutout()
    assert (image.mode, image.size) == ("RGBA", (WIDTH, HEIGHT))
    pixels = np.asarray(image)
    opacity = pixels[..., 3]
    assert not pixels[opacity == 0].any()
    np.testing.assert_array_equal(pixels[opacity == 255][:, :3], PHOTO[opacity == 255])
    assert (opacity[answer.alpha > 0.76] == 255).all()
    assert (opacity[answer.alpha < 0.24] == 0).all()
    between = (opacity > 0) & (opacity < 255)
    assert between.any()
    assert ((opacity > 128) == (answer.alpha > 0.5))[~np.isclose(answer.alpha, 0.5, atol=0.01)].all()


@pytest.mark.parametrize("ground", ["white", "black"])
def test_a_cutout_has_no_halo(ground: str) -> None:
    """On any ground, and made smaller, it looks as one that holds the photo where it is clear would."""
    answer = result()
    image = answer.cutout()
    pixels = np.asarray(image)
    there = np.where(pixels[..., 3:] > 0, pixels[..., :3], PHOTO)
    full = Image.fromarray(np.dstack([there, pixels[..., 3]]))
    for size in ((WIDTH, HEIGHT), (37, 22)):
        shown = []
        for each in (image, full):
            paper = Image.new("RGBA", size, ground)
            paper.alpha_composite(each.resize(size, Image.Resampling.LANCZOS))
            shown.append(np.asarray(paper).astype(int))
        assert np.abs(shown[0] - shown[1]).max() <= 1


# -- what may not be changed ----------------------------------------------------------------------------


def test_arrays_are_read_only() -> None:
    """Else label, polygons and files say something else than the mask that somebody wrote to."""
    photo, logits = PHOTO.copy(), noise()
    for resize in ("smooth", "nearest"):
        box = Letterbox.fit(WIDTH, HEIGHT, SIDE)
        answer = Segmentation(logits, box, photo, "tiny", resize=resize)
        for again in (answer, pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer)):
            for name in ("mask", "photo", "probabilities", "alpha", "_logits"):
                with pytest.raises(ValueError, match="read-only"):
                    getattr(again, name)[...] = 0
        answer.scores.clear()
        assert answer.score == answer.scores[answer.label]
    photo[:] = logits[:] = 0  # the caller's own arrays stay writable


# -- polygons -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tolerance", "least"), [(0, 1), (1, 0.95)])
def test_polygons_rasterise_back_to_the_mask(tolerance: float, least: float) -> None:
    answer = result()
    back = np.zeros((HEIGHT, WIDTH), np.uint8)
    for polygon in answer.polygons(tolerance):
        inside = polygon2mask(back.shape, np.array(polygon["exterior"])[:, ::-1] - 0.5)
        for hole in polygon["holes"]:
            inside &= ~polygon2mask(back.shape, np.array(hole)[:, ::-1] - 0.5)
        back[inside] = ["background", "cat", "dog"].index(polygon["label"])
    for label in (1, 2):
        union = ((back == label) | (answer.mask == label)).sum()
        assert ((back == label) & (answer.mask == label)).sum() / union >= least


def test_polygons_come_largest_first_with_their_own_scores() -> None:
    answer = result()
    polygons = answer.polygons()
    assert [polygon["label"] for polygon in polygons] == ["cat", "dog"]
    for label, polygon in ((1, polygons[0]), (2, polygons[1])):
        expected = answer.probabilities[label][answer.mask == label].mean()
        assert polygon["score"] == pytest.approx(expected, rel=1e-5)


def test_holes() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[1] = 5
    logits[0, 13:19, 13:19] = 12
    (polygon,) = result(logits=logits).polygons()
    assert len(polygon["holes"]) == 1


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf"), "1", None, [1], np.ones(2)])
def test_bad_tolerance(tolerance: Any) -> None:
    with pytest.raises(OutputError, match="0 or more"):
        result().polygons(tolerance)


def test_unknown_resize() -> None:
    with pytest.raises(OutputError, match="give 'smooth' or 'nearest'"):
        result("cubic")
