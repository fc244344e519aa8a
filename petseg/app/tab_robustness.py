"""The Robustness tab: damage the photo, and see what the models still find."""

from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import gradio as gr

from petseg import PetsegError
from petseg.app import comparison, drawing, texts
from petseg.app.comparison import Trial
from petseg.app.handlers import Studio
from petseg.app.parts import RUNS_MODELS, private, sentence
from petseg.app.state import Visit
from petseg.measure.perturbations import LEVELS, PERTURBATIONS

COLOURS = ("#2563eb", "#d97706", "#16a34a", "#dc2626", "#7c3aed", "#0891b2", "#db2777", "#65a30d")
"""Of the curves, in turn."""
ALL = "*"
"""The choice of all models."""
INTRO = """Damage the photo and see what is still found. Each slider has the ten levels of the study; level 1
is clean. Several are applied in the order in which they stand here, each with the same seed, to a copy of the
photo of at most 512 pixels, about the size of the study's photos."""


@dataclass(frozen=True)
class Row:
    """The pictures and figures of one model."""

    model: str
    whole: gr.Column
    before: gr.Image
    after: gr.Image
    difference: gr.Image
    figures: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """In the order in which `RobustnessTab` fills them."""
        return [self.whole, self.before, self.after, self.difference, self.figures]


def slider_label(kind: str, level: float) -> str:
    """A slider's label: what it does, and how strongly, in its own unit."""
    chosen = PERTURBATIONS[kind]
    return f"{chosen.title}: {chosen.strengths[int(level) - 1]:g} ({chosen.unit})"


class RobustnessTab:
    """The tab's controls, and what happens when they are used."""

    def __init__(self, studio: Studio, visit: gr.State, tab: gr.Tab) -> None:
        """Lay out the tab inside the current Blocks."""
        self.studio, self.visit, self.tab = studio, visit, tab
        gr.HTML(f'<p class="hint">{INTRO}</p>', elem_id="robustness-intro")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self._lay_out_controls()
            with gr.Column(scale=3, min_width=320):
                self.notice = gr.HTML(
                    texts.notice(texts.NO_PHOTO), padding=False, elem_id="robustness-notice"
                )
                self.rows = [self._lay_out_row(model.name) for model in studio.models.here]
                self._lay_out_sweep()
        self._attach()

    def _lay_out_controls(self) -> None:
        names = [model.name for model in self.studio.models.here]
        choices = [(name, name) for name in names] + ([("All models", ALL)] if len(names) > 1 else [])
        self.model = gr.Radio(
            choices, value=names[0] if names else None, label="Model", elem_id="robustness-model"
        )
        self.sliders = {
            kind: gr.Slider(1, LEVELS, 1, step=1, label=slider_label(kind, 1), elem_id=f"level-{kind}")
            for kind in PERTURBATIONS
        }
        with gr.Row(elem_classes="toolbar"):
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed", min_width=90)
            self.reset = gr.Button("Reset", elem_id="reset", size="sm", min_width=90)

    def _lay_out_row(self, name: str) -> Row:
        with gr.Column(visible=False, elem_id=f"robustness-{name}") as whole:
            figures = gr.HTML(padding=False, elem_id=f"robustness-figures-{name}")
            with gr.Row():
                pictures = [
                    gr.Image(
                        label=title,
                        interactive=False,
                        format="jpeg",
                        buttons=["fullscreen"],
                        min_width=140,
                        elem_id=f"robustness-{title.lower()}-{name}",
                        elem_classes="picture",
                        alt_text=f"{title}, {name}",
                    )
                    for title in ("Before", "After", "Difference")
                ]
        before, after, difference = pictures
        return Row(name, whole, before, after, difference, figures)

    def _lay_out_sweep(self) -> None:
        with gr.Row(elem_classes="toolbar"):
            self.kind = gr.Dropdown(
                [(chosen.title, kind) for kind, chosen in PERTURBATIONS.items()],
                value="gaussian_noise",
                label="Sweep over all levels of",
                elem_id="sweep-kind",
                scale=3,
                min_width=180,
            )
            self.run = gr.Button("Sweep", elem_id="sweep", variant="primary", size="sm", min_width=90)
        self.plot = gr.LinePlot(
            None,
            x="level",
            y="IoU",
            color="series",
            y_lim=[0, 1],
            x_lim=[1, LEVELS],
            height=300,
            color_title="",
            x_axis_format="d",
            label="IoU by level",
            elem_id="sweep-plot",
            buttons=[],
            visible="hidden",
        )
        self.sweep_legend = gr.HTML(padding=False, elem_id="sweep-legend")

    def _attach(self) -> None:
        sliders = list(self.sliders.values())
        controls = [self.visit, self.model, self.seed, *sliders]
        shown = [self.notice, *sliders, *(output for row in self.rows for output in row.outputs)]
        update: dict[str, Any] = {
            "inputs": controls,
            "outputs": shown,
            "trigger_mode": "always_last",
        } | RUNS_MODELS
        for change in (*(slider.change for slider in sliders), self.model.change, self.seed.change):
            private(change, self.show, **update)
        private(self.tab.select, self.show, **update)
        private(self.reset.click, lambda: [0, *[1] * len(PERTURBATIONS)], outputs=[self.seed, *sliders])
        private(
            self.run.click,
            self.draw_sweep,
            inputs=[self.visit, self.model, self.seed, self.kind],
            outputs=[self.plot, self.sweep_legend],
            show_progress="full",
            show_progress_on=self.sweep_legend,
            **RUNS_MODELS,
        )

    def show(self, visit: Visit | None, model: str, seed: float | None, *levels: float) -> list[Any]:
        """Damage the photo as the sliders say, and ask the chosen models."""
        labels = [
            gr.Slider(label=slider_label(kind, level))
            for kind, level in zip(PERTURBATIONS, levels, strict=True)
        ]
        hidden = [gr.Column(visible=False), *[gr.skip()] * 4] * len(self.rows)
        if visit is None:
            return [texts.notice(texts.NO_PHOTO), *labels, *hidden]
        chosen = dict(zip(PERTURBATIONS, map(int, levels), strict=True))
        apply = partial(comparison.damage, levels=chosen, seed=int(seed or 0))
        try:
            trials = list(comparison.trials(self.studio, visit, self._names(model), [apply]))
        except PetsegError as error:  # what is shown is of another model, or another photo
            return [texts.notice(sentence(error)), *labels, *hidden]
        found = {trial.model: trial for trial in trials}
        rows = [update for row in self.rows for update in self._filled(found.get(row.model))]
        return [texts.difference_legend(), *labels, *rows]

    def _filled(self, trial: Trial | None) -> list[Any]:
        if trial is None:
            return [gr.Column(visible=False), *[gr.skip()] * 4]
        return [
            gr.Column(visible=True),
            drawing.overlay(trial.before, 0.5),
            drawing.overlay(trial.after, 0.5),
            drawing.difference(trial.before.mask, trial.after.mask, trial.after.photo),
            texts.trial_figures(trial),
        ]

    def _names(self, model: str) -> list[str]:
        return [row.model for row in self.rows] if model == ALL else [model]

    def draw_sweep(
        self,
        visit: Visit | None,
        model: str,
        seed: float | None,
        kind: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio is told to hand one over)
    ) -> Any:
        """Go through the ten levels, and draw the curve."""
        if visit is None:
            raise gr.Error(texts.NO_PHOTO, print_exception=False)
        title, strengths = PERTURBATIONS[kind].title, PERTURBATIONS[kind].strengths
        points = comparison.sweep(
            self.studio,
            visit,
            self._names(model),
            kind,
            int(seed or 0),
            lambda done: progress(done, desc=f"{title}, level by level"),
        )
        values = ", ".join(f"{strength:g}" for strength in strengths)
        colours = dict(zip(dict.fromkeys(point.series for point in points), cycle(COLOURS), strict=False))
        plot = gr.LinePlot(
            {
                "columns": ["level", "IoU", "series"],
                "data": [[point.level, point.value, point.series] for point in points],
                "datatypes": {"level": "quantitative", "IoU": "quantitative", "series": "nominal"},
                "mark": "line",
            },
            visible=True,
            x_title=f"{title}, level",
            color_map=colours,
        )
        caption = f"Levels 1 to {LEVELS}: {PERTURBATIONS[kind].unit} {values}."
        return plot, texts.sweep_legend(colours, caption)
