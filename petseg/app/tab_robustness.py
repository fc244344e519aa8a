"""The Robustness tab: damage the photo, and see what a model still finds."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from petseg import PetsegError
from petseg.app import comparison, curves, pairs, texts
from petseg.app.comparison import Trial
from petseg.app.handlers import Studio
from petseg.app.parts import RUNS_MODELS, private, sentence
from petseg.app.state import Visit
from petseg.measure.perturbations import LEVELS, PERTURBATIONS

INTRO = "Spoil your photo, one kind of damage at a time, and watch what is still found. Level 1 is clean."
STUDY = f"""The levels are those of a study of pet photos, so they are for a copy of at most
{comparison.STUDY_SIDE} pixels. More kinds come on top, in this order, each with the same seed."""
FIRST_LEVEL = 6
"""What a visitor sees first: enough that something is to be seen."""
SPEAK = """element.setAttribute("aria-live", "polite");"""
SHARE = """async (file) => {
  if (!file) return;
  const answer = await fetch(file.url), name = file.orig_name ?? "petseg.png";
  const card = new File([await answer.blob()], name, { type: "image/png" });
  if (matchMedia("(pointer: coarse)").matches && navigator.canShare?.({ files: [card] })) {
    return navigator.share({ files: [card] }).catch(() => {});  // who thinks better of it meets no error
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(card);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""
"""Hands the card to the phone's sheet for sharing; elsewhere it is saved."""


class RobustnessTab:
    """The tab's controls, and what happens when they are used."""

    def __init__(self, studio: Studio, visit: gr.State, tab: gr.Tab) -> None:
        """Lay out the tab inside the current Blocks."""
        self.studio, self.visit, self.tab = studio, visit, tab
        gr.HTML(f'<p class="hint">{INTRO}</p>', padding=False, elem_id="robustness-intro")
        with gr.Row(equal_height=False, elem_id="robustness"):
            with gr.Column(scale=5, min_width=300, elem_id="robustness-seen"):
                self.notice = gr.HTML(
                    texts.notice(texts.NO_PHOTO), padding=False, elem_id="robustness-notice"
                )
                self.said = gr.HTML("", js_on_load=SPEAK, padding=False, elem_id="robustness-said")
                self.pair = gr.HTML("", padding=False, elem_id="robustness-pair")
            with gr.Column(scale=3, min_width=280):
                self._lay_out_controls()
                with gr.Accordion("Advanced", open=False, elem_id="robustness-advanced"):
                    self._lay_out_advanced()
        self.curves = gr.HTML(padding=False, elem_id="sweep-curves")
        self._attach()

    def _lay_out_controls(self) -> None:
        choices = [(chosen.plain, kind) for kind, chosen in PERTURBATIONS.items()]
        first = choices[0][1]
        self.kind = gr.Radio(choices, value=first, label="What happens to the photo", elem_id="damage-kind")
        self.level = gr.Slider(
            1, LEVELS, FIRST_LEVEL, step=1, label="How much, level", elem_id="damage-level", buttons=[]
        )
        self.share = gr.Button("Card to share", elem_id="robustness-share", variant="primary")
        self.card = gr.File(visible="hidden", label="The card", elem_id="robustness-card")

    def _lay_out_advanced(self) -> None:
        names = [model.name for model in self.studio.models.here]
        self.model = gr.Radio(
            names, value=names[0] if names else None, label="Model", elem_id="robustness-model"
        )
        self.seed = gr.Number(0, label="Seed of what is random", precision=0, minimum=0, elem_id="seed")
        gr.HTML(f'<p class="hint">{STUDY}</p>', padding=False)
        self.sliders = {
            kind: gr.Slider(1, LEVELS, 1, step=1, label=chosen.plain, elem_id=f"level-{kind}", buttons=[])
            for kind, chosen in PERTURBATIONS.items()
        }
        with gr.Row():
            self.reset = gr.Button("Back to 1", elem_id="reset", size="sm", min_width=100)
            self.run = gr.Button("All levels, all models", elem_id="sweep", size="sm", min_width=150)

    def _attach(self) -> None:
        sliders = list(self.sliders.values())
        changing: list[Any] = [self.model, self.kind, self.level, self.seed, *sliders]
        controls = [self.visit, *changing]
        changes = [control.change for control in changing]
        # One event for all, and one answer at a time, so that an earlier one never comes after a later one:
        # while Gradio sends a question it takes the next for the first, and both are under way.
        private(
            partial(gr.on, [*changes, self.tab.select]),
            self.show,
            inputs=controls,
            outputs=[self.notice, self.said, self.pair],
            trigger_mode="always_last",
            concurrency_id="damage",
            concurrency_limit=1,
        )
        # In the browser, at once: an answer of the server could come after what the visitor does next.
        stale = [self.kind.change, self.seed.change, self.tab.select]
        private(partial(gr.on, stale), None, outputs=self.curves, js='() => ""')
        private(self.reset.click, None, outputs=sliders, js=f"() => {[1] * len(sliders)}")
        made = private(
            self.share.click,
            self.make_card,
            inputs=controls,
            outputs=self.card,
            show_progress="full",
            show_progress_on=self.share,
            **RUNS_MODELS,
        )
        private(made.success, None, inputs=self.card, js=SHARE)
        private(
            self.run.click,
            self.draw_sweep,
            inputs=[self.visit, self.seed, self.kind],
            outputs=self.curves,
            show_progress="full",
            scroll_to_output=True,
            **RUNS_MODELS,
        )

    # Handlers, which get the values of their `inputs`, in that order.

    def show(
        self, visit: Visit | None, model: str, kind: str, level: float, seed: float | None, *others: float
    ) -> list[str]:
        """Damage the photo as the controls say, and ask the model: a notice, the verdict, both pictures."""
        if visit is None:
            return [texts.notice(texts.NO_PHOTO), "", ""]
        levels = levels_of(kind, level, others)
        try:
            trial = self._trial(visit, model, levels, seed)
        except PetsegError as error:  # what is shown is of another model, or another photo
            return [texts.notice(sentence(error)), "", ""]
        return ["", pairs.told(trial, int(level)), pairs.pair(trial, levels)]

    def make_card(
        self, visit: Visit | None, model: str, kind: str, level: float, seed: float | None, *others: float
    ) -> str:
        """Write what is shown as a picture to share; returns its path."""
        if visit is None:
            raise gr.Error(texts.NO_PHOTO, print_exception=False)
        levels = levels_of(kind, level, others)
        trial = self._trial(visit, model, levels, seed)
        path = self.studio.new_folder() / f"{Path(visit.name).stem}.{kind}-{int(level)}.png"
        pairs.card(trial, levels, int(level)).save(path)
        return str(path)

    def _trial(self, visit: Visit, model: str, levels: dict[str, int], seed: float | None) -> Trial:
        apply = partial(comparison.damage, levels=levels, seed=int(seed or 0))
        return next(comparison.trials(self.studio, visit, [model], [apply]))

    def draw_sweep(
        self,
        visit: Visit | None,
        seed: float | None,
        kind: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio is told to hand one over)
    ) -> str:
        """Go through the ten levels with every model, and draw a curve for each."""
        if visit is None:
            return texts.notice(texts.NO_PHOTO)
        names = [model.name for model in self.studio.models.here]
        doing = f"{PERTURBATIONS[kind].plain}, level by level"
        try:
            points = comparison.sweep(
                self.studio, visit, names, kind, int(seed or 0), lambda done: progress(done, desc=doing)
            )
        except PetsegError as error:
            return texts.notice(sentence(error))
        return curves.curves(points, kind)


def levels_of(kind: str, level: float, others: tuple[float, ...]) -> dict[str, int]:
    """Kind -> level of all that is done to the photo.

    Args:
        kind, level: what the visitor tries; it stands in the place of that kind among `others`.
        others: the level of each of `PERTURBATIONS` that comes on top.
    """
    return dict(zip(PERTURBATIONS, map(int, others), strict=True)) | {kind: int(level)}
