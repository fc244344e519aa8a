"""An animal that most pets that hang together under a click belong to is all of them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.clicks.animal import Pets
from petseg.segmenter import Segmenter
from tests.support.tiny_models import GREY, PROMPTABLE, RED, SIZE, save_parts

S, STEP = 32, 2
BODY, TAIL, OTHER = np.s_[4:20, 4:12], np.s_[10:14, 12:16], np.s_[26:30, 4:12]
ON_BODY, ON_OTHER, BESIDE = (8.0, 12.0), (8.0, 28.0), (28.0, 4.0)


def logits(size: int, *areas: tuple[slice, slice], scale: int = 1, pet: float = 3.0) -> NDArray[np.float32]:
    """(3, size, size): cat in these areas, given in pixels of the square, background elsewhere."""
    answer = np.zeros((3, size, size), np.float32)
    answer[0] = 2
    for rows, columns in areas:
        area = tuple(slice(axis.start // scale, axis.stop // scale) for axis in (rows, columns))
        answer[1][area] = 2 + pet
    return answer


def pets(answer: NDArray[np.float32]) -> NDArray[np.bool_]:
    return answer.argmax(0) > 0


SEMANTIC = logits(S // STEP, BODY, TAIL, OTHER, scale=STEP)
ALL = np.s_[0:S, 0:S]


def completed(
    answer: NDArray[np.float32],
    semantic: NDArray[np.float32],
    click: tuple[float, float],
    inner: tuple[slice, slice] = ALL,
    *,
    alone: bool = False,
) -> NDArray[np.float32]:
    return Pets(answer, semantic, inner, click).completed(alone=alone)


def test_what_was_left_out_is_added() -> None:
    before = logits(S, BODY)
    after = completed(before, SEMANTIC, ON_BODY)
    assert pets(after)[BODY].all()
    assert pets(after)[11:13, 12:15].all()  # the tail, within what enlarging makes of its edge
    assert not pets(after)[OTHER].any()
    assert not pets(after)[:, 18:].any()
    assert not pets(before)[TAIL].any()  # the argument stays as it is


def test_what_was_found_besides_stays() -> None:
    ear = np.s_[0:4, 4:8]
    after = completed(logits(S, BODY, TAIL, ear), logits(S // STEP, BODY, scale=STEP), ON_BODY)
    assert np.array_equal(pets(after), pets(logits(S, BODY, TAIL, ear)))


@pytest.mark.parametrize(
    ("answer", "click"),
    [
        (logits(S, np.s_[4:12, 4:12]), ON_BODY),  # half of what hangs together: another animal, perhaps
        (logits(S, BODY), ON_OTHER),
        (logits(S), ON_BODY),
        (logits(S), BESIDE),
        (logits(S, BODY), (-1.0, S + 1.0)),
    ],
)
def test_what_is_not_nearly_all_stays_as_it_is(
    answer: NDArray[np.float32], click: tuple[float, float]
) -> None:
    assert completed(answer, SEMANTIC, click) is answer


def test_less_is_enough_in_a_photo_without_other_pets() -> None:
    most = logits(S, np.s_[4:16, 4:12])  # 96 of 144 pixels
    assert completed(most, SEMANTIC, ON_BODY) is most
    assert pets(completed(most, SEMANTIC, ON_BODY, alone=True))[BODY].all()
    half = logits(S, np.s_[4:14, 4:12])
    assert completed(half, SEMANTIC, ON_BODY, alone=True) is half


@pytest.mark.parametrize(
    ("areas", "click", "alone"),
    [
        ([BODY, TAIL], ON_BODY, True),
        ([BODY, TAIL, OTHER], ON_BODY, False),
        ([BODY, TAIL, np.s_[26:28, 4:10]], ON_BODY, True),  # a crumb: 12 of 156 pixels
        ([BODY, TAIL], BESIDE, False),
        ([], BESIDE, False),
    ],
)
def test_an_animal_is_alone_where_hardly_another_pet_is(
    areas: list[tuple[slice, slice]], click: tuple[float, float], alone: bool
) -> None:
    semantic = logits(S // STEP, *areas, scale=STEP)
    assert Pets(logits(S), semantic, ALL, click).alone is alone


def test_what_the_answer_is_sure_of_stays_out() -> None:
    answer = logits(S, BODY)
    answer[0][TAIL] = 6
    assert completed(answer, SEMANTIC, ON_BODY) is answer


def test_the_other_species_stays_out() -> None:
    answer, semantic = logits(S, BODY), SEMANTIC.copy()
    semantic[2], semantic[1, 5:7, 6:8] = np.where(semantic[1] > 0, 1, 0), 0
    semantic[2, 5:7, 6:8] = 5
    assert completed(answer, semantic, ON_BODY) is answer
    semantic[2, 5:7, 6:8] = 0
    semantic[1, 5:7, 6:8] = 5
    assert pets(completed(answer, semantic, ON_BODY))[11:13, 12:15].all()


def test_there_is_no_pet_on_the_grey_around_a_photo() -> None:
    inner = np.s_[2:24, 0:S]
    assert Pets(logits(S, OTHER), SEMANTIC, inner, ON_BODY).alone
    above, below = np.s_[0:20, 4:12], np.s_[12:20, 4:12]
    inner = np.s_[8:S, 0:S]  # two thirds of the piece without what the network sees in the grey, less with it
    answer = logits(S, below)
    after = completed(answer, logits(S // STEP, above, scale=STEP), ON_BODY, inner, alone=True)
    assert pets(after)[8:20, 4:12].all()


def test_features_as_fine_as_the_answer() -> None:
    after = completed(logits(S, BODY), logits(S, BODY, TAIL), ON_BODY)
    assert np.array_equal(pets(after), pets(logits(S, BODY, TAIL)))


def test_a_segmenter_asks_for_it_and_later_clicks_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = np.full((SIZE, SIZE, 3), GREY, np.uint8)
    photo[31:33, 20:28] = RED
    monkeypatch.setattr("petseg.dialogue.semantic", lambda features: features["features_0"])

    def model(semantic: bool) -> Segmenter:
        folder = save_parts(tmp_path / str(semantic), PROMPTABLE | {"semantic": semantic})
        return Segmenter(folder, device="cpu", threads=1)

    whole, part = (model(semantic)(photo, (24, 32)) for semantic in (True, False))
    red = photo[..., 1] == 0
    assert np.array_equal(whole.mask > 0, red)
    assert (part.mask[red] > 0).mean() < 1
    assert np.array_equal(model(True).refine(whole, (60, 60), label=0).mask, whole.mask)
