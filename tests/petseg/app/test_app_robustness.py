"""The Robustness tab: what became of the pet in pictures, in words, on a card, and in curves."""

import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from petseg import PromptError
from petseg.app import curves, handlers, pairs, texts
from petseg.app.comparison import FOUND, Outcome, SweepPoint, Trial, trials
from petseg.app.handlers import Studio
from petseg.app.state import Pixels, Visit
from petseg.app.tab_robustness import RobustnessTab, levels_of
from petseg.measure.perturbations import LEVELS, PERTURBATIONS

KINDS = list(PERTURBATIONS)
CLEAN = [1] * len(PERTURBATIONS)


@pytest.fixture
def robustness(studio: Studio) -> RobustnessTab:
    with gr.Blocks(), gr.Tab() as holder:
        return RobustnessTab(studio, gr.State(), holder)


def half() -> Visit:
    """An example whose left half is a cat."""
    photo = np.full((60, 100, 3), 128, np.uint8)
    photo[:, :50] = (255, 0, 0)
    return handlers.open_example("half.png", photo)


def trial(studio: Studio, spoilt: Pixels) -> Trial:
    """The cat on the left, and what is found in another photo of that size."""
    (found,) = trials(studio, half(), ["tiny"], [lambda _: spoilt])
    return found


def spoilt(columns: int, colour: tuple[int, int, int] = (255, 0, 0)) -> Pixels:
    photo = np.full((60, 100, 3), 128, np.uint8)
    photo[:, :columns] = colour
    return photo


def test_no_answer_overtakes_another(studio: Studio) -> None:
    """Two may be under way: what is moved while the page sends a question becomes a second one."""
    with gr.Blocks() as page, gr.Tab() as holder:
        tab = RobustnessTab(studio, gr.State(), holder)
    (shows,) = (event for event in page.fns.values() if tab.pair in event.outputs)
    alone = [event for event in page.fns.values() if event.concurrency_id == shows.concurrency_id]
    assert (alone, shows.concurrency_limit) == ([shows], 1)


def test_what_is_stale_is_cleared_in_the_browser(studio: Studio) -> None:
    """An answer of the server could come after the curves that were asked for next, and clear those."""
    with gr.Blocks() as page, gr.Tab() as holder:
        tab = RobustnessTab(studio, gr.State(), holder)
    drawn = [event for event in page.fns.values() if tab.curves in event.outputs]
    assert sorted(event.fn is None for event in drawn) == [False, True]
    assert all(event.fn is None for event in page.fns.values() if tab.sliders["occlusion"] in event.outputs)


@pytest.mark.parametrize(
    ("columns", "colour", "outcome", "words"),
    [
        (50, (255, 0, 0), "found", "Still found at level 8 of 10"),
        (30, (255, 0, 0), "found", "Still found at level 8 of 10"),
        (15, (255, 0, 0), "partly", "Only partly found at level 8 of 10"),
        (0, (255, 0, 0), "lost", "Lost at level 8 of 10"),
        (50, (0, 0, 255), "mistaken", "Taken for a dog at level 8 of 10"),
    ],
)
def test_the_verdict(
    studio: Studio, columns: int, colour: tuple[int, int, int], outcome: Outcome, words: str
) -> None:
    found = trial(studio, spoilt(columns, colour))
    assert found.outcome == outcome
    assert pairs.verdict(found, 8) == words
    assert words in pairs.told(found, 8)


def test_nothing_can_be_lost_where_nothing_was(studio: Studio) -> None:
    grey = handlers.open_example("grey.png", np.full((60, 100, 3), 128, np.uint8))
    (nothing,) = trials(studio, grey, ["tiny"], [np.copy])
    assert pairs.verdict(nothing, 8) == "No pet is found in the clean photo"


def test_what_is_lost_is_red_and_the_rest_dim(studio: Studio) -> None:
    shown = pairs.after(trial(studio, spoilt(30))).astype(int)
    kept, lost, ground = shown[:, 5:25], shown[:, 38:48], shown[:, 60:]
    np.testing.assert_array_equal(kept, np.broadcast_to((255, 0, 0), kept.shape))
    assert (lost[..., 0] - lost[..., 1] > 80).all()
    assert (ground == int(128 * pairs.DIMMED)).all()
    new = pairs.after(trial(studio, spoilt(70)))[:, 55:65].astype(int)
    assert (np.minimum(new[..., 0], new[..., 1]) - new[..., 2] > 80).all(), "new is yellow"


def test_damage_is_shown_beside_the_clean_photo(robustness: RobustnessTab) -> None:
    assert robustness.show(None, "tiny", KINDS[0], 6, 0, *CLEAN) == [texts.notice(texts.NO_PHOTO), "", ""]
    notice, said, pair = robustness.show(half(), "tiny", "contrast_down", LEVELS, None, *CLEAN)
    assert notice == ""
    assert "at level 10 of 10" in said
    assert "Less contrast 10 (factor: 0.1)" in pair
    assert pair.count("<img") == 2
    assert "not damaged" in robustness.show(half(), "tiny", "contrast_down", 1, 0, *CLEAN)[2]


def test_more_kinds_come_on_top(robustness: RobustnessTab) -> None:
    others = [5 if kind in ("occlusion", "contrast_down") else 1 for kind in KINDS]
    levels = levels_of("contrast_down", 3, tuple(others))
    assert {kind: level for kind, level in levels.items() if level > 1} == {
        "occlusion": 5,
        "contrast_down": 3,
    }
    assert (
        "Less contrast 3 (factor: 0.9), Black square 5"
        in robustness.show(half(), "tiny", "contrast_down", 3, 0, *others)[2]
    )


def test_after_an_error_nothing_of_another_model_stays(robustness: RobustnessTab, tmp_path: Path) -> None:
    grey = handlers.open_example("grey.png", np.full((60, 100, 3), 128, np.uint8))
    notice, *rest = robustness.show(grey, "tiny-prompt", KINDS[0], 6, 0, *CLEAN)
    assert "nothing to click on" in notice.lower()
    assert rest == ["", ""]
    assert robustness.draw_sweep(grey, 0, KINDS[0], lambda done, desc: None) == notice
    with pytest.raises(PromptError):
        robustness.make_card(grey, "tiny-prompt", KINDS[0], 6, 0, *CLEAN)


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (20, 100)])
def test_the_card(robustness: RobustnessTab, size: tuple[int, int]) -> None:
    photo = np.full((*size, 3), 128, np.uint8)
    photo[:, : size[1] // 2] = (255, 0, 0)
    visit = handlers.open_example("my cat.png", photo)
    path = Path(robustness.make_card(visit, "tiny", "brightness_down", 5, 0, *CLEAN))
    assert path.name == "my cat.brightness_down-5.png"
    with Image.open(path) as image:
        assert image.format == "PNG"
        card = np.asarray(image.convert("RGB")).astype(int)
    assert card.shape[1] == pairs.CARD_WIDTH
    red = card[..., 0] - card[..., 1] > 120
    halves = red[:, : pairs.CARD_WIDTH // 2].sum(), red[:, pairs.CARD_WIDTH // 2 :].sum()
    assert min(halves) > 0.5 * max(halves) > 0, "the cat is in both pictures"
    dark = card.max(-1) < 100
    title = np.nonzero(dark[: pairs.MARGIN + 90].any(0))[0]
    assert title.min() >= pairs.MARGIN
    assert pairs.CARD_WIDTH - pairs.MARGIN >= title.max() > pairs.CARD_WIDTH / 3
    edge = np.concatenate([card[:, : pairs.MARGIN - 2], card[:, 2 - pairs.MARGIN :]], 1)
    assert (edge == 255).all(), "nothing is cut off"


def test_the_card_is_of_what_is_shown(studio: Studio) -> None:
    found = trial(studio, spoilt(50))
    one, same = (pairs.card(found, {"occlusion": 5}, 5) for _ in range(2))
    other = pairs.card(replace(found, model="another"), {"occlusion": 5}, 5)
    assert one.tobytes() == same.tobytes() != other.tobytes()


def test_a_sweep_draws_a_curve_for_each_model(robustness: RobustnessTab) -> None:
    told: list[float] = []
    drawn = robustness.draw_sweep(half(), 0, "contrast_down", lambda done, desc: told.append(done))
    assert told[-1] == 1
    assert drawn.count("<svg") == 2
    for name in ("tiny", "tiny-prompt"):
        assert f'aria-label="{name}: level 1: 100%' in drawn
    assert "factor 1, 0.95" in drawn
    assert robustness.draw_sweep(None, 0, "contrast_down") == texts.notice(texts.NO_PHOTO)


def test_no_curve_lies_on_another() -> None:
    points = [SweepPoint(name, level, 0.9) for name in ("one", "other") for level in range(1, LEVELS + 1)]
    first, second = re.findall(r"<figure>.*?</figure>", curves.curves(points, "occlusion"))
    assert "one" in first
    assert "other" in second
    for drawn in (first, second):
        assert drawn.count("<circle") == LEVELS


def test_a_model_that_finds_nothing_to_begin_with_has_no_curve() -> None:
    """The overlap of two empty answers is 1, which would look as if a pet were found."""
    points = [SweepPoint("one", level, 0.9) for level in range(1, LEVELS + 1)]
    points += [SweepPoint("blind", level, None) for level in range(1, LEVELS + 1)]
    seeing, blind = re.findall(r"<figure>.*?</figure>", curves.curves(points, "occlusion"))
    assert "<svg" in seeing
    assert blind == f"<figure><figcaption><b>blind</b> {curves.NOBODY}</figcaption></figure>"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1] * 10, "found up to level 10"),
        ([1, 0.9, 0.6, 0.4, 0.9], "found up to level 3"),
        ([1, 0], "lost at level 2"),
    ],
)
def test_how_long_a_pet_is_found(values: list[float], words: str) -> None:
    assert 0.4 < FOUND < 0.6
    assert curves.endurance(values) == words


def test_every_kind_has_a_name_of_its_own_that_anybody_knows() -> None:
    plain = [chosen.plain for chosen in PERTURBATIONS.values()]
    assert len(set(plain)) == len(plain)
    assert not any("aussian" in name for name in plain)
