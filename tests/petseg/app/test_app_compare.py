"""The Compare tab: the order of the models, what each is best for, figures of its card beside the photo."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

import petseg
from petseg.app import comparison, handlers, merits, texts
from petseg.app.handlers import Studio
from petseg.app.merits import Candidate
from petseg.app.models import Listed
from petseg.app.tab_compare import CompareTab, models_html


@pytest.fixture
def compare(studio: Studio) -> CompareTab:
    with gr.Blocks(), gr.Tab() as holder:
        return CompareTab(studio, gr.State(), holder)


def listed(name: str, metrics: Mapping[str, Any], size: int = 1, prompts: tuple[str, ...] = ()) -> Listed:
    return Listed(name, prompts, True, "", metrics, size)


EXACT = listed(
    "exact", {"pet_iou": 0.95, "species_confusion": 0, "named": 0.99, "missed": 1, "animals": 100}, 9
)
SMALL = listed(
    "small", {"pet_iou": 0.6, "species_confusion": 0.1, "named": 0.7, "missed": 9, "animals": 100}, 2
)
TAPPED = listed("tapped", {"click_iou": 0.9, "click_species": 0.98}, 5, ("point",))
BARE = listed("bare", {}, 7)


def test_the_best_come_first_and_the_unknown_last() -> None:
    assert [model.name for model in merits.best_first([BARE, SMALL, TAPPED, EXACT])] == [
        "exact",
        "tapped",
        "small",
        "bare",
    ]


def test_what_each_is_best_for_follows_from_figures_and_times() -> None:
    candidates = [Candidate(EXACT, 30), Candidate(SMALL, 5), Candidate(TAPPED, 40), Candidate(BARE, 50)]
    best = merits.best_for(candidates)
    assert best == {
        "exact": ["exact outlines", "finding every pet"],
        "small": ["quick answers on this machine", "a small download"],
        "tapped": ["picking one pet with a tap"],
        "bare": [],
    }
    swift = merits.best_for([Candidate(EXACT, 3), *candidates[1:]])
    assert "quick answers on this machine" not in swift["small"]


def test_nobody_is_best_where_nobody_else_was_measured() -> None:
    assert merits.best_for([Candidate(EXACT), Candidate(BARE)]) == {"exact": [], "bare": ["a small download"]}
    assert merits.false_alarms(listed("blind", {"false_alarms": 0.0, "photos_without_pets": 0})) is None


def test_the_order_and_the_words_of_the_models_in_the_package() -> None:
    models = [
        Listed(info.name, info.prompts, True, "", info.metrics, info.bytes) for info in petseg.list_models()
    ]
    known = [value for model in merits.best_first(models) if (value := merits.outline(model)) is not None]
    assert known == sorted(known, reverse=True)
    assert len(known) == len(models), "each card says how well it outlines"
    for model in models:
        for word in merits.best_for([Candidate(each, 1) for each in models])[model.name]:
            assert word in [merit.words for merit in merits.MERITS]


def rows(text: str, name: str) -> dict[str, tuple[str, str]]:
    """What of a model's table stands where: (of the photo, of test photos)."""
    (article,) = re.findall(rf'<article id="compare-{name}">.*?</article>', text)
    found = re.findall(r"<tr><th[^>]*>(.*?)</th><td>(.*?)</td><td>(.*?)</td></tr>", article)
    return {what: (mine, published) for what, mine, published in found}


def test_all_models_side_by_side(compare: CompareTab, upload: Path) -> None:
    assert compare.show(None) == [texts.notice(texts.NO_PHOTO), ""]
    notice, shown = compare.show(handlers.open_photo(compare.studio, upload))
    assert notice == ""
    assert merits.BEST_FIRST in shown
    first, second = rows(shown, "tiny"), rows(shown, "tiny-prompt")
    assert first["Outline"][0] == "the others are compared with it"
    assert "the same as tiny" in second["Outline"][0]
    assert re.fullmatch(r"\d+ ms", first["Time, warm"][0])
    largest = compare.studio.models.get("tiny").segment(upload).pets[0]
    assert f"{largest.label}, " in second["Answer"][0]


def test_the_cards_figures_stand_beside_the_photos(compare: CompareTab, upload: Path) -> None:
    visit = handlers.open_photo(compare.studio, upload)
    answers = list(comparison.compare(compare.studio, visit))
    metrics = {"pet_iou": 0.912, "named": 0.834, "false_alarms": 0.021, "photos_without_pets": 40}
    models = [listed("tiny", metrics), listed("tiny-prompt", {}, 1, ("point",))]
    shown = models_html(models, answers, visit)
    assert rows(shown, "tiny")["Outline"][1] == "91.2% the same as by hand"
    assert rows(shown, "tiny")["Answer"][1] == "83.4% found and named rightly"
    assert rows(shown, "tiny")["False alarms"][1] == "in 2.1% of 40 photos without a pet"
    assert rows(shown, "tiny-prompt")["Outline"][1] == "not measured"
    assert shown.index("compare-tiny") < shown.index("compare-tiny-prompt")


def test_a_model_that_cannot_answer_says_why(compare: CompareTab) -> None:
    grey = handlers.open_example("grey.png", np.full((60, 100, 3), 128, np.uint8))
    _, shown = compare.show(grey)
    assert "nothing to click on" in shown
    assert rows(shown, "tiny-prompt")["Answer"][0] == "none"


def test_a_photo_that_was_put_away_leaves_nothing_of_the_one_before(
    compare: CompareTab, upload: Path
) -> None:
    visit = handlers.open_photo(compare.studio, upload)
    upload.unlink()
    notice, shown = compare.show(visit)
    assert "put away" in notice
    assert shown == ""
