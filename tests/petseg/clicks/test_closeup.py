"""Small animals get closer looks from models that ask for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.clicks import closeup, prompts
from petseg.clicks.closeup import AGAIN, MARGIN, SHOWS_MORE, SMALLEST, TIGHT, WORTH, close_up, overlap
from petseg.clicks.state import ClickState
from petseg.engine.network import Network
from petseg.measure.metrics import binary_iou
from petseg.pixels.geometry import Letterbox
from petseg.segmenter import Segmenter
from tests.support.tiny_models import BLUE, GREY, PROMPTABLE, RED, save_parts

CAT, DOG = (slice(40, 58), slice(303, 321)), (slice(200, 290), slice(20, 110))
ON_CAT, ON_DOG, NOTHING = (312, 49), (65, 245), (200, 100)
AROUND_CAT = (303, 40, 321, 58)


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """(300, 400, 3): a cat of 18 x 18 pixels and a dog of 90 x 90."""
    pixels = np.full((300, 400, 3), GREY, np.uint8)
    pixels[CAT], pixels[DOG] = RED, BLUE
    return pixels


def segmenter(folder: Path, *, zoom: bool) -> Segmenter:
    return Segmenter(save_parts(folder / str(zoom), PROMPTABLE | {"zoom": zoom}), device="cpu", threads=1)


@pytest.fixture
def zooming(tmp_path: Path, fresh_engine: None) -> Segmenter:
    return segmenter(tmp_path, zoom=True)


def iou(mask: NDArray[np.uint8], area: tuple[slice, slice]) -> float:
    truth = np.zeros(mask.shape, bool)
    truth[area] = True
    return binary_iou(truth, mask > 0)


def test_a_small_animal_is_seen_closely(zooming: Segmenter, photo: NDArray[np.uint8], tmp_path: Path) -> None:
    asked = {"point": ON_CAT, "box": AROUND_CAT}
    answer = zooming(photo, **asked)
    assert answer.label == "cat"
    assert iou(answer.mask, CAT) > 0.95
    assert iou(segmenter(tmp_path, zoom=False)(photo, **asked).mask, CAT) < 0.85
    assert answer.mask.shape == answer.alpha.shape == (300, 400)
    np.testing.assert_allclose(answer.probabilities.sum(0), 1, atol=1e-5)
    assert answer.alpha[245, 65] == 0  # outside the close-up
    assert np.isfinite(answer.score)
    (outline,) = answer.polygons()
    assert np.abs(np.array(outline["exterior"]).mean(0) - (312, 49)).max() < 1


@pytest.mark.parametrize(
    ("asked", "looks"),
    [
        ({"point": ON_CAT}, 2),
        ({"box": AROUND_CAT}, 1),
        ({"box": (10, 10, 390, 290)}, 1),
        ({"point": NOTHING}, 2),  # an answer of nothing, of which the tiny model is not sure
    ],
)
def test_how_often_it_looks(
    zooming: Segmenter, photo: NDArray[np.uint8], runs: list[str], asked: Any, looks: int
) -> None:
    zooming(photo, **asked)
    assert runs == ["encoder", "decoder"] * looks


def test_a_close_up_that_shows_less_than_was_taken_for_it_is_followed_by_another(
    zooming: Segmenter, photo: NDArray[np.uint8], runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = iter([(250, 20, 390, 160), (288, 25, 336, 73)])  # and no third one is asked for
    monkeypatch.setattr(closeup, "close_up", lambda *_, **__: next(shown))
    answer = zooming(photo, ON_CAT)
    assert runs == ["encoder", "decoder"] * 3
    assert answer.state is not None
    x0, y0, x1, y1 = answer.state.letterbox.region
    assert x1 - x0 == y1 - y0 == SMALLEST
    assert x0 < 303 < 321 < x1


def test_a_large_animal_is_seen_twice(zooming: Segmenter, runs: list[str]) -> None:
    """The answer stays one about the whole photo; a click that corrects it costs one run of the decoder."""
    pixels = np.full((300, 400, 3), GREY, np.uint8)
    pixels[10:290, 60:340] = BLUE
    answer = zooming(pixels, box=(60, 10, 340, 290))
    assert runs == ["encoder", "decoder"] * 2
    assert answer.state is not None
    assert answer.state.letterbox.whole
    assert iou(answer.mask, (slice(10, 290), slice(60, 340))) > 0.95
    del runs[:]
    zooming.refine(answer, (20, 20), label=0)
    assert runs == ["decoder"]


def test_the_mean_of_two_looks_is_background_where_the_closer_one_shows_nothing() -> None:
    """Else it is the mean of both margins, at the pixels of the first."""
    prompt = prompts.check(40, 40, point=(20, 20))
    whole, closer = (Letterbox.fit(40, 40, 8, region) for region in (None, (10, 10, 30, 30)))
    square = np.zeros((8, 8, 3), np.uint8)
    looks = [
        ClickState(prompt, letterbox, square, np.stack([np.full((8, 8), of, np.float32) for of in logits]))
        for letterbox, logits in ((whole, (1, 4, 0)), (closer, (0, 5, -1)))
    ]
    mean = looks[0].mean(looks[1])
    assert mean.letterbox == whole
    np.testing.assert_allclose(mean.logits[:, 4, 4], (0, 4, -1))
    assert mean.logits[1:, 0, 0].max() < -1000


def test_overlap_is_the_iou_of_regions() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0


def test_refining_stays_close(zooming: Segmenter, photo: NDArray[np.uint8], runs: list[str]) -> None:
    answer = zooming(photo, ON_CAT)
    del runs[:]
    answer = zooming.refine(answer, (305, 42))
    answer = zooming.refine(answer, NOTHING, label=0)  # outside the close-up, and nothing to do with it
    assert runs == ["decoder", "decoder"]
    assert answer.label == "cat"
    spilt = answer.mask > 0
    spilt[CAT] = False
    assert not spilt.any()  # the whole photo's pixels, six times as coarse, would spill


def test_a_wanted_click_elsewhere_steps_back(zooming: Segmenter, photo: NDArray[np.uint8]) -> None:
    answer = zooming.refine(zooming(photo, ON_CAT), ON_DOG)
    assert answer.mask[245, 65] == 2
    assert answer.mask[49, 312] == 1


def test_an_answer_to_nothing_is_refined_to_a_close_one(
    zooming: Segmenter, photo: NDArray[np.uint8], runs: list[str]
) -> None:
    answer = zooming(photo, NOTHING)
    del runs[:]
    answer = zooming.refine(answer, ON_CAT)
    assert answer.label == "cat"
    assert runs == ["decoder", "encoder", "decoder"]


def test_nothing_is_looked_at_again_where_it_is_doubted(
    zooming: Segmenter, photo: NDArray[np.uint8], runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an animal is too small, or cut, to be seen for one in the whole photo."""
    answer, biased = Network.answer, iter([-3.0, 0.0, 0.0])

    def unsure(self: Network, *inputs: Any) -> NDArray[np.float32]:
        logits = answer(self, *inputs)
        logits[:, 0] = logits[:, 1:].max(1) + 1 if next(biased) else logits[:, 0]
        return logits

    monkeypatch.setattr(Network, "answer", unsure)
    found = zooming(photo, ON_CAT)
    assert found.label == "cat"
    assert runs == ["encoder", "decoder"] * 3
    assert found.state is not None
    assert found.state.letterbox.contains(np.array([ON_CAT]))
    assert found.state.letterbox.region[2] - found.state.letterbox.region[0] < AGAIN * 400


def test_nothing_that_is_sure_stays_nothing(
    zooming: Segmenter, photo: NDArray[np.uint8], runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closeup, "DOUBT", 0.0)
    assert zooming(photo, NOTHING).label == "background"
    assert runs == ["encoder", "decoder"]


@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 400), (4000, 100), (60, 60)])
def test_close_ups_hold_what_they_are_made_for(width: int, height: int, tight: bool) -> None:
    margin, worth = (TIGHT, SHOWS_MORE) if tight else (MARGIN, WORTH)
    generator = np.random.default_rng(0)
    shown = 0
    for _ in range(200):
        corners = generator.random((2, 2)) * (width, height) * generator.random()
        region = close_up(width, height, corners, tight=tight)
        longest = np.ptp(corners, axis=0).max()
        if region is None:
            assert max(margin * longest, SMALLEST) > worth * max(width, height)
            continue
        shown += 1
        x0, y0, x1, y1 = region
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert (corners >= (x0 - 0.5, y0 - 0.5)).all()
        assert (corners <= (x1 + 0.5, y1 + 0.5)).all()
        side = max(margin * longest, SMALLEST)
        assert x1 - x0 == pytest.approx(min(width, side), abs=1)
        assert y1 - y0 == pytest.approx(min(height, side), abs=1)
    assert bool(shown) == (tight or width > 60)
