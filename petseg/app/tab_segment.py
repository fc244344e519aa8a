"""The Segment tab: a photo in, its pets outlined; clicks to correct, files to keep."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import gradio as gr

from petseg.app import examples, handlers, texts
from petseg.app.handlers import VIEWS, Studio
from petseg.app.models import AUTO, Models
from petseg.app.parts import LIGHT, RUNS_MODELS, address, as_path, photo_input, private
from petseg.app.state import Kind, Visit
from petseg.pixels.saving import Kind as FileKind

MODES = [("Pet", "pet"), ("Not pet", "not pet"), ("Box: drag, or two corners", "corner")]
THRESHOLD_HINT = "Threshold 0: the likeliest class decides. Higher keeps only what is surer to be pet."
PUT_AWAY = ["put-away"]
"""Classes of what is not shown, but stays on the page: a photo may be dropped while another one is shown."""
CHOOSE_EXAMPLE = """element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) trigger("select", {index: Number(button.dataset.index)});
});"""
COPY_CODE = """element.addEventListener("click", (event) => {
  if (event.target.tagName !== "BUTTON") return;
  getSelection().selectAllChildren(element.querySelector("code"));
  document.execCommand("copy");  // works where navigator.clipboard is missing: without HTTPS
  event.target.textContent = "Copied";
});"""
DRAW_BOX = (files("petseg.app") / "box.js").read_text(encoding="utf-8")
PRESS_DOWNLOAD = "() => setTimeout(() => document.getElementById('download-file').click(), 150)"


class SegmentTab:
    """The tab's controls, and what happens when they are used."""

    def __init__(self, studio: Studio, visit: gr.State) -> None:
        """Lay out the tab inside the current Blocks."""
        self.studio, self.visit = studio, visit
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                self._lay_out_stage()
            with gr.Column(scale=2, min_width=300):
                self._lay_out_panel(studio.models)
        self._attach()

    def _lay_out_stage(self) -> None:
        with gr.Column(elem_id="drop-area") as self.drop_area:
            self.photo = photo_input(
                label="Photo of a cat or a dog",
                sources=["upload", "clipboard", "webcam"],
                height=460,
                elem_id="photo",
                placeholder="# Drop a photo of a cat or a dog\nor click to choose one, or paste",
            )
        with gr.Column(elem_id="stage", elem_classes=PUT_AWAY) as self.stage:
            self.result = gr.Image(
                label="Result",
                show_label=False,
                interactive=False,
                format="jpeg",
                type="filepath",
                elem_id="result",
                buttons=["fullscreen"],
                alt_text="",
            )
            self.mode = gr.Radio(
                MODES, value="pet", label="Not right? Click on the picture to mark", elem_id="click-mode"
            )
            with gr.Row(elem_id="click-tools"):
                self.undo = gr.Button("Undo", elem_id="undo", size="sm", min_width=80)
                self.clear = gr.Button("Clear clicks", elem_id="clear-clicks", size="sm", min_width=80)
                self.again = gr.Button(
                    "New photo", elem_id="new-photo", size="sm", min_width=80, variant="primary"
                )
            with gr.Accordion("Give a click in numbers", open=False, elem_id="typed-click"), gr.Row():
                self.x = gr.Number(0, label="x, pixels from the left", precision=0, elem_id="click-x")
                self.y = gr.Number(0, label="y, pixels from the top", precision=0, elem_id="click-y")
                self.add = gr.Button("Add click", elem_id="add-click", size="sm", min_width=80)
        # Not a gallery, with which the browser would fetch a video player.
        self.examples = gr.HTML(
            texts.example_buttons(examples.all_examples()),
            js_on_load=CHOOSE_EXAMPLE,
            apply_default_css=False,
            padding=False,
            elem_id="examples",
        )
        self.drawn = gr.HTML("", js_on_load=DRAW_BOX, visible="hidden", elem_id="drawn-box")

    def _lay_out_panel(self, models: Models) -> None:
        self.legend = gr.HTML(texts.legend(None, None), elem_id="legend", padding=False)
        self.model = gr.Radio(
            [("Automatic", AUTO), *((model.name, model.name) for model in models.here)],
            value=AUTO,
            label="Model",
            info=texts.model_info(models),
            elem_id="model",
        )
        if models.missing:
            gr.HTML(texts.missing_models(models), padding=False, elem_id="missing-models")
        self.view = gr.Radio(list(VIEWS), value="Overlay", label="View", elem_id="view")
        with gr.Row():
            self.opacity = gr.Slider(0, 1, 0.5, step=0.05, label="Opacity", elem_id="opacity", min_width=140)
            self.threshold = gr.Slider(
                0,
                0.95,
                0,
                step=0.05,
                label="Threshold",
                elem_id="threshold",
                min_width=140,
            )
        gr.HTML(f'<p class="hint">{THRESHOLD_HINT}</p>', padding=False)
        with gr.Column(elem_id="downloads"):
            gr.HTML("<p>Keep it, at the photo's full size</p>")
            with gr.Row():
                self.keep_mask = gr.Button("Mask PNG", elem_id="download-mask", size="sm", min_width=90)
                self.keep_cutout = gr.Button("Cutout PNG", elem_id="download-cutout", size="sm", min_width=90)
                self.keep_json = gr.Button("JSON, polygons", elem_id="download-json", size="sm", min_width=90)
        self.file = gr.DownloadButton("Download", elem_id="download-file", visible="hidden")
        with gr.Accordion("The same in code", open=False, elem_id="code"):
            here, there = texts.code_blocks()
            self.python = gr.HTML(here, js_on_load=COPY_CODE, elem_id="code-python")
            self.client = gr.HTML(there, js_on_load=COPY_CODE, elem_id="code-client")

    def _attach(self) -> None:
        look = [self.model, self.view, self.opacity, self.threshold]
        shown = [self.result, self.legend, self.python, self.client]
        whole = [self.visit, self.photo, self.drop_area, self.stage, *shown]
        asked: dict[str, Any] = {"inputs": [self.visit, *look], "outputs": [self.visit, *shown]} | RUNS_MODELS
        begun: dict[str, Any] = {"outputs": whole, "show_progress": "minimal"} | RUNS_MODELS
        private(self.photo.input, self.begin, inputs=[self.photo, *look], **begun)
        private(self.examples.select, self.begin_example, inputs=look, **begun)
        private(self.again.click, self.start_over, outputs=whole, **LIGHT)
        private(self.result.select, self.click, **asked | {"inputs": [self.visit, *look, self.mode]})
        typed = [self.visit, *look, self.mode, self.x, self.y]
        private(self.add.click, self.type_click, **asked | {"inputs": typed})
        private(self.drawn.box, self.draw_box, **asked)
        private(self.undo.click, self.asking(Visit.undone), **asked)
        private(self.clear.click, self.asking(Visit.cleared), **asked)
        private(self.model.change, self.asking(lambda visit: visit), **asked)
        redrawn: dict[str, Any] = {"inputs": [self.visit, *look], "outputs": shown} | LIGHT
        private(self.view.change, self.redraw, **redrawn)
        for slider in (self.opacity, self.threshold):
            private(slider.change, self.redraw, trigger_mode="always_last", **redrawn)
        kinds: tuple[FileKind, ...] = ("mask", "cutout", "json")
        for button, kind in zip((self.keep_mask, self.keep_cutout, self.keep_json), kinds, strict=True):
            made = private(
                button.click,
                self.keeper(kind),
                inputs=[self.visit, self.threshold],
                outputs=self.file,
                show_progress="full",
                **RUNS_MODELS,
            )
            made.success(None, js=PRESS_DOWNLOAD, api_visibility="private")

    # Handlers. Those that are attached by `private` get the values of their `inputs`, in that order.

    def begin(
        self, photo: str | None, model: str, view: str, opacity: float, threshold: float, request: gr.Request
    ) -> Any:
        """A photo was uploaded, pasted, or taken."""
        if photo is None:
            return gr.skip()
        visit = handlers.open_photo(self.studio, as_path(photo))
        return self._begun(visit, model, view, opacity, threshold, request)

    def begin_example(
        self,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        chosen: gr.EventData,
        request: gr.Request,
    ) -> Any:
        """An example was chosen."""
        example = examples.all_examples()[chosen.index]
        visit = handlers.open_example(example.name, example.photo)
        return self._begun(visit, model, view, opacity, threshold, request)

    def _begun(
        self, visit: Visit, model: str, view: str, opacity: float, threshold: float, request: gr.Request
    ) -> Any:
        visit = handlers.answer(self.studio, visit, model)
        hidden, seen = gr.Column(elem_classes=PUT_AWAY), gr.Column(elem_classes=[])
        # The photo input is emptied, ready for the next one: what is shown is the result.
        return visit, None, hidden, seen, *self._shown(visit, view, opacity, threshold, request)

    def start_over(self) -> Any:
        """Put the photo away and ask for another one."""
        nothing = [None, texts.legend(None, None), *texts.code_blocks()]
        return None, None, gr.Column(elem_classes=[]), gr.Column(elem_classes=PUT_AWAY), *nothing

    def asking(self, change: Callable[[Visit], Visit]) -> Callable[..., Any]:
        """What changes the clicks, and gets the answer to them from the model that is chosen now."""

        def ask(
            visit: Visit | None,
            model: str,
            view: str,
            opacity: float,
            threshold: float,
            request: gr.Request,
        ) -> Any:
            if visit is None:
                return gr.skip()
            visit = handlers.answer(self.studio, change(visit), model)
            return visit, *self._shown(visit, view, opacity, threshold, request)

        return ask

    def click(
        self,
        visit: Visit | None,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        mode: Kind,
        place: gr.SelectData,
        request: gr.Request,
    ) -> Any:
        """The picture was clicked."""
        ask = self.asking(lambda visit: visit.with_step(mode, *visit.at(*place.index)))
        return ask(visit, model, view, opacity, threshold, request)

    def draw_box(
        self,
        visit: Visit | None,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        drawn: gr.EventData,
        request: gr.Request,
    ) -> Any:
        """A box was drawn on the picture, by dragging."""
        ask = self.asking(lambda visit: visit.with_box(visit.at(*drawn.one), visit.at(*drawn.other)))
        return ask(visit, model, view, opacity, threshold, request)

    def type_click(
        self,
        visit: Visit | None,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        mode: Kind,
        x: float | None,
        y: float | None,
        request: gr.Request,
    ) -> Any:
        """A click was given in numbers."""

        def change(visit: Visit) -> Visit:
            width, height = visit.size
            if x is None or y is None or not (0 <= x < width and 0 <= y < height):
                message = f"Give x from 0 to {width - 1} and y from 0 to {height - 1}."
                raise gr.Error(message, print_exception=False)
            return visit.with_step(mode, int(x), int(y))

        return self.asking(change)(visit, model, view, opacity, threshold, request)

    def redraw(
        self,
        visit: Visit | None,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        request: gr.Request,
    ) -> Any:
        """Show the same answer in another way."""
        return gr.skip() if visit is None else self._shown(visit, view, opacity, threshold, request)

    def _shown(
        self, visit: Visit, view: str, opacity: float, threshold: float, request: gr.Request
    ) -> tuple[Any, ...]:
        result = handlers.shown(visit, threshold)
        found = "no answer yet" if result is None else f"found: {result.label}"
        image = gr.Image(
            handlers.picture(visit, view, opacity, threshold), alt_text=f"{view} of your photo; {found}"
        )
        return image, texts.legend(visit, result), *texts.code_blocks(visit, threshold, address(request))

    def keeper(self, kind: FileKind) -> Any:
        """What makes one kind of file."""

        def keep(visit: Visit | None, threshold: float) -> str:
            if visit is None:
                raise gr.Error("There is nothing to keep: choose a photo first.", print_exception=False)
            return str(handlers.download(self.studio, visit, threshold, kind))

        return keep
