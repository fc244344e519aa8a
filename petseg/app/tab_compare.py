"""The Compare tab: all models side by side on the visitor's photo."""

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from petseg import PetsegError, PromptError
from petseg.app import comparison, merits, pairs, texts
from petseg.app.comparison import Answer
from petseg.app.handlers import Studio
from petseg.app.merits import Candidate
from petseg.app.models import Listed
from petseg.app.parts import RUNS_MODELS, private, sentence
from petseg.app.state import Visit
from petseg.pixels.image import shrink

INTRO = """Every model on your photo, beside what it did on test photos. One that answers a tap gets yours, or
one in the middle of the largest pet."""
SIDE = 640
"""Longest side of a picture, in pixels."""
UNKNOWN = "not measured"


class CompareTab:
    """The tab's controls, and what happens when they are used."""

    def __init__(self, studio: Studio, visit: gr.State, tab: gr.Tab) -> None:
        """Lay out the tab inside the current Blocks."""
        self.studio, self.visit = studio, visit
        gr.HTML(f'<p class="hint">{INTRO}</p>', padding=False, elem_id="compare-intro")
        self.notice = gr.HTML(texts.notice(texts.NO_PHOTO), padding=False, elem_id="compare-notice")
        self.models = gr.HTML("", padding=False, elem_id="compare-models")
        if studio.models.missing:
            gr.HTML(texts.missing_models(studio.models), padding=False, elem_id="compare-missing")
        self.run = gr.Button("Compare again", elem_id="compare-run", size="sm")
        options: dict[str, Any] = {
            "inputs": self.visit,
            "outputs": [self.notice, self.models],
            "show_progress": "minimal",
        } | RUNS_MODELS
        private(tab.select, self.show, **options)
        private(self.run.click, self.show, **options)

    def show(self, visit: Visit | None) -> list[str]:
        """Ask every model: a notice, and all answers."""
        if visit is None:
            return [texts.notice(texts.NO_PHOTO), ""]
        try:
            answers = list(comparison.compare(self.studio, visit))
        except PetsegError as error:  # what is shown is of another photo
            return [texts.notice(sentence(error)), ""]
        return ["", models_html(self.studio.models.here, answers, visit)]


def models_html(models: Sequence[Listed], answers: Sequence[Answer | PromptError], visit: Visit) -> str:
    """What every model says, the best first, as HTML.

    Args:
        models: in any order.
        answers: of each of them, in the same order.
        visit: whose photo.
    """
    given = {model.name: answer for model, answer in zip(models, answers, strict=True)}
    best = merits.best_for([Candidate(model, _milliseconds(given[model.name])) for model in models])
    cards = "".join(
        _card(model, given[model.name], best[model.name], visit, models[0].name)
        for model in merits.best_first(models)
    )
    return f'<p class="hint">{merits.BEST_FIRST}</p><div class="compared">{cards}</div>'


def _milliseconds(answer: Answer | PromptError) -> float | None:
    return answer.milliseconds if isinstance(answer, Answer) else None


def _card(model: Listed, answer: Answer | PromptError, best: Sequence[str], visit: Visit, first: str) -> str:
    name = html.escape(model.name)
    praise = f"Best for {' and '.join(best)}" if best else "Another one is better at each of these"
    if isinstance(answer, Answer):
        picture = pairs.spotlight(answer.result.thumbnail(shrink(visit.preview, SIDE)))
        said, note = pairs.answer(answer.result), ""
    else:
        picture, said, note = shrink(visit.preview, SIDE), "no answer", texts.notice(sentence(answer))
    return (
        f'<article id="compare-{name}">{pairs.img(picture, f"By {name}: {said}")}'
        f'<h2>{name}</h2><p class="praise">{praise}</p>{note}{_table(model, answer, first)}</article>'
    )


def _table(model: Listed, answer: Answer | PromptError, first: str) -> str:
    """This photo beside the test photos, as an HTML table."""
    here = _here(answer, first if first != model.name else None)
    rows = "".join(
        f'<tr><th scope="row">{what}</th><td>{html.escape(mine)}</td><td>{html.escape(published)}</td></tr>'
        for what, mine, published in zip(ROWS, here, _published(model), strict=True)
    )
    head = '<tr><td></td><th scope="col">Your photo</th><th scope="col">Test photos</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


ROWS = ("Answer", "Outline", "False alarms", "Pet in the photo", "Time, warm")


def _here(answer: Answer | PromptError, first: str | None) -> tuple[str, ...]:
    if not isinstance(answer, Answer):
        return ("none",) * len(ROWS)
    same = (
        "the others are compared with it"
        if first is None
        else f"{answer.agreement:.0%} the same as {first}'s"
    )
    area, time = f"{answer.area:.1%}", f"{answer.milliseconds:.0f} ms"
    return pairs.answer(answer.result), same, "", area, time


def _published(model: Listed) -> tuple[str, ...]:
    """Figures of the model's card, in the order of `ROWS`."""
    found, outline, alarms = merits.named(model), merits.outline(model), merits.false_alarms(model)
    without = merits.number(model.metrics, "photos_without_pets")
    return (
        UNKNOWN if found is None else f"{found:.1%} found and named rightly",
        UNKNOWN if outline is None else f"{outline:.1%} the same as by hand",
        UNKNOWN if alarms is None else f"in {alarms:.1%} of {without:.0f} photos without a pet",
        "",
        "",
    )
