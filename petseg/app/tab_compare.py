"""The Compare tab: all models side by side on the visitor's photo."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from petseg import PetsegError
from petseg.app import comparison, drawing, texts
from petseg.app.handlers import Studio
from petseg.app.parts import RUNS_MODELS, private, sentence
from petseg.app.state import Visit

INTRO = """Every model that is here, on the photo of the first tab. Where a model needs a click and you gave
none, the page clicks in the middle of the pet that the first model finds."""


class CompareTab:
    """The tab's controls, and what happens when they are used."""

    def __init__(self, studio: Studio, visit: gr.State, tab: gr.Tab) -> None:
        """Lay out the tab inside the current Blocks."""
        self.studio, self.visit = studio, visit
        gr.HTML(f'<p class="hint">{INTRO}</p>', elem_id="compare-intro")
        self.notice = gr.HTML(texts.notice(texts.NO_PHOTO), padding=False, elem_id="compare-notice")
        self.outputs: list[Any] = []
        with gr.Row(elem_classes="models-row", equal_height=False):
            for model in studio.models.here:
                with gr.Column(min_width=280, elem_id=f"compare-{model.name}"):
                    picture = gr.Image(
                        label=model.name,
                        interactive=False,
                        format="jpeg",
                        buttons=["fullscreen"],
                        elem_id=f"compare-picture-{model.name}",
                        elem_classes="picture",
                        alt_text=f"Overlay by {model.name}",
                    )
                    figures = gr.HTML(padding=False, elem_id=f"compare-figures-{model.name}")
                self.outputs += [picture, figures]
        if studio.models.missing:
            gr.HTML(texts.missing_models(studio.models), padding=False, elem_id="compare-missing")
        self.run = gr.Button("Compare again", elem_id="compare-run", size="sm", variant="primary")
        options: dict[str, Any] = {
            "inputs": self.visit,
            "outputs": [self.notice, *self.outputs],
        } | RUNS_MODELS
        private(tab.select, self.show, **options)
        private(self.run.click, self.show, show_progress="minimal", **options)

    def show(self, visit: Visit | None) -> Any:
        """Ask every model."""
        if visit is None:
            return [texts.notice(texts.NO_PHOTO), *[None, ""] * (len(self.outputs) // 2)]
        return [texts.notice(""), *self._filled(visit)]

    def _filled(self, visit: Visit) -> Iterator[Any]:
        for answer in comparison.compare(self.studio, visit):
            if isinstance(answer, PetsegError):
                yield visit.preview
                yield texts.notice(sentence(answer))
            else:
                yield drawing.overlay(answer.result, 0.5)
                yield texts.answer_figures(answer)
