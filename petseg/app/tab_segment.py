"""The Segment tab: a photo in, its pets outlined; clicks to correct, files to keep."""

from typing import Any

import gradio as gr

from petseg.app import examples, handlers, texts
from petseg.app.handlers import VIEWS, Studio
from petseg.app.models import AUTO, Models
from petseg.app.parts import LIGHT, RUNS_MODELS, address, as_path, photo_input, private
from petseg.app.state import Kind, Visit
from petseg.segmentation import Kind as FileKind

MODES = [("Pet", "pet"), ("Not pet", "not pet"), ("Box, two corners", "corner")]
THRESHOLD_HINT = "Threshold 0: the likeliest class decides. Higher keeps only what is surer to be pet."
PUT_AWAY = ["put-away"]
"""Classes of what is not shown, but stays on the page: a photo may be dropped while another one is shown."""
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
        self.examples = gr.Gallery(
            [(example.photo, example.title) for example in examples.all_examples()],
            label="Or try one of these",
            columns=3,
            height="auto",
            allow_preview=False,
            object_fit="cover",
            format="jpeg",
            interactive=False,
            buttons=[],
            elem_id="examples",
        )

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
            gr.Markdown("Keep it, at the photo's full size")
            with gr.Row():
                self.keep_mask = gr.Button("Mask PNG", elem_id="download-mask", size="sm", min_width=90)
                self.keep_cutout = gr.Button("Cutout PNG", elem_id="download-cutout", size="sm", min_width=90)
                self.keep_json = gr.Button("JSON, polygons", elem_id="download-json", size="sm", min_width=90)
        self.file = gr.DownloadButton("Download", elem_id="download-file", visible="hidden")
        with gr.Accordion("The same in code", open=False, elem_id="code"):
            self.python = gr.Code(
                texts.python_code(None, 0),
                language="python",
                label="Python",
                elem_id="code-python",
                lines=1,
                wrap_lines=True,
            )
            self.client = gr.Code(
                texts.client_code(None, 0, ""),
                language="python",
                label="Over the network",
                elem_id="code-client",
                lines=1,
                wrap_lines=True,
            )

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
        private(self.undo.click, self.take_back, **asked)
        private(self.clear.click, self.clear_clicks, **asked)
        private(self.model.change, self.ask, **asked)
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
        chosen: gr.SelectData,
        request: gr.Request,
    ) -> Any:
        """An example was chosen."""
        example = examples.all_examples()[chosen.index]
        visit = handlers.open_example(example.name, example.photo, example.truth)
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
        nothing = [None, texts.legend(None, None), texts.python_code(None, 0), texts.client_code(None, 0, "")]
        return None, None, gr.Column(elem_classes=[]), gr.Column(elem_classes=PUT_AWAY), *nothing

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
        if visit is None:
            return gr.skip()
        left, top = place.index
        clicked = visit.with_step(mode, *visit.at(left, top))
        return self.ask(clicked, model, view, opacity, threshold, request)

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
        if visit is None:
            return gr.skip()
        if x is None or y is None or not (0 <= x < visit.size[0] and 0 <= y < visit.size[1]):
            width, height = visit.size
            message = f"Give x from 0 to {width - 1} and y from 0 to {height - 1}."
            raise gr.Error(message, print_exception=False)
        return self.ask(visit.with_step(mode, int(x), int(y)), model, view, opacity, threshold, request)

    def take_back(
        self,
        visit: Visit | None,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        request: gr.Request,
    ) -> Any:
        """Undo the last click."""
        undone = visit and visit.undone()
        return self.ask(undone, model, view, opacity, threshold, request)

    def clear_clicks(
        self,
        visit: Visit | None,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        request: gr.Request,
    ) -> Any:
        """Undo all clicks."""
        cleared = visit and visit.cleared()
        return self.ask(cleared, model, view, opacity, threshold, request)

    def ask(
        self,
        visit: Visit | None,
        model: str,
        view: str,
        opacity: float,
        threshold: float,
        request: gr.Request,
    ) -> Any:
        """Get the answer to what is clicked now, from the model that is chosen now."""
        if visit is None:
            return gr.skip()
        visit = handlers.answer(self.studio, visit, model)
        return visit, *self._shown(visit, view, opacity, threshold, request)

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
        return (
            image,
            texts.legend(visit, result),
            texts.python_code(visit, threshold),
            texts.client_code(visit, threshold, address(request)),
        )

    def keeper(self, kind: FileKind) -> Any:
        """What makes one kind of file."""

        def keep(visit: Visit | None, threshold: float) -> str:
            if visit is None:
                raise gr.Error("There is nothing to keep: choose a photo first.", print_exception=False)
            return str(handlers.download(self.studio, visit, threshold, kind))

        return keep
