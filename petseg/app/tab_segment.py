"""The Segment tab: a photo in, its pets by themselves; taps to correct, stickers and files to keep.

All that is seen is drawn in the browser (`picture/`). It sends the photo once and, at each change, all
clicks: a handler needs nothing of what it was asked before, so none is lost, and the last one counts.
"""

import html
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from petseg import PetsegError
from petseg.app import answers, asked, examples, handlers, texts
from petseg.app.asked import Asked
from petseg.app.handlers import Studio
from petseg.app.models import AUTO, Models
from petseg.app.parts import RUNS_MODELS, address, private, told
from petseg.app.state import Visit

_ROOM = files("petseg.app") / "picture"
SCRIPTS = ("shapes", "painter", "marks", "camera", "panel", "keep", "stage", "pointer", "controls")
"""Files of the picture's script, in the order in which they need each other."""
SCRIPT = "\n".join((_ROOM / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
_MARKUP = (_ROOM / "picture.html").read_text(encoding="utf-8")
_HAND_OVER = """watch("value", () =>
  document.getElementById("stage").dispatchEvent(new CustomEvent("aside", {detail: props.value})));"""
_LOST = (
    """() => { document.getElementById("stage").dispatchEvent(new CustomEvent("lost", {detail: "KIND"})); }"""
)


class SegmentTab:
    """The tab's controls, and what happens when they are used."""

    def __init__(self, studio: Studio, visit: gr.State) -> None:
        """Lay out the tab inside the current Blocks."""
        self.studio, self.visit = studio, visit
        self.picture = gr.HTML(
            "",
            html_template=markup(studio.models),
            js_on_load=SCRIPT,
            apply_default_css=False,
            padding=False,
            elem_id="picture",
        )
        self.aside = gr.HTML("", js_on_load=_HAND_OVER, visible="hidden", elem_id="aside")
        # The browser asks one thing after the other, and always says all: nothing is to be left out.
        options: dict[str, Any] = {"trigger_mode": "multiple"} | RUNS_MODELS
        asks = private(
            self.picture.ask, self.ask, inputs=[self.visit], outputs=[self.visit, self.picture], **options
        )
        keeps = private(self.picture.keep, self.keep, inputs=[self.visit], outputs=self.aside, **options)
        private(self.picture.peek, self.peek, outputs=self.aside, **options)
        private(self.picture.prepare, self.prepare, inputs=[self.visit], **options)
        for event, kind in ((asks, "ask"), (keeps, "keep")):
            private(event.failure, None, js=_LOST.replace("KIND", kind))

    # Handlers. Those that are attached by `private` get the values of their `inputs`, in that order.

    def ask(self, visit: Visit | None, event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        """A photo is given, or something was clicked or chosen."""

        def work(question: Asked) -> tuple[Visit, str]:
            answered = self._answered(visit, question)
            said = answers.describe(answered, question, self.studio.models, address(request))
            return replace(answered, answer=None), said

        done = self._told(event, work)
        # Where it failed, what was shown before stays.
        return (gr.skip(), done) if isinstance(done, str) else done

    def peek(self, event: gr.EventData, request: gr.Request) -> str:
        """An example is to be shown small, with its answer."""

        def work(question: Asked) -> str:
            question = replace(question, photo=None, steps=(), needs_photo=True)
            answered = self._answered(None, question)
            return answers.describe(answered, question, self.studio.models, address(request))

        return str(self._told(event, work))

    def keep(self, visit: Visit | None, event: gr.EventData) -> str:
        """A file is wanted."""

        def work(question: Asked) -> str:
            path = handlers.download(
                self.studio,
                self._answered(visit, question),
                question.kind,
                level=question.level,
                animal=question.animal,
                background=question.background,
            )
            # Gradio deletes after a while what it knows of; it does not look for files in texts.
            self.aside.temp_files.add(str(path))
            return json.dumps({"number": question.number, "file": str(path), "name": path.name})

        return str(self._told(event, work))

    def prepare(self, visit: Visit | None, event: gr.EventData) -> None:
        """Somebody is about to tap: what was found without one is asked of the model that takes taps.

        It is asked about each animal, which for many takes longer than about the one that is tapped then.
        """
        self._told(event, lambda question: self._answered(visit, question))

    def _answered(self, visit: Visit | None, question: Asked) -> Visit:
        """The photo that is meant, with the answer to what is asked."""
        if question.photo is None:
            return self._example(visit, question)
        # A file that was put away in the meantime is not answered from memory.
        same = visit is not None and isinstance(visit.source, Path) and visit.source == question.photo
        if visit is None or not same or not question.photo.exists():
            visit = handlers.open_photo(self.studio, question.photo)
        return handlers.ask(self.studio, visit, question.steps, question.model)

    def _example(self, visit: Visit | None, question: Asked) -> Visit:
        known = examples.all_examples()
        if not 0 <= question.example < len(known):
            raise PetsegError("there is no such example")
        example = known[question.example]
        first = handlers.example(self.studio, example.name, example.photo, question.model)
        if not question.steps:
            return first
        same = visit is not None and visit.source is example.photo
        return handlers.ask(self.studio, visit if visit and same else first, question.steps, question.model)

    def _told(self, event: gr.EventData, work: Callable[[Asked], Any]) -> Any:
        """What was worked out, or what went wrong, for the browser; Gradio's own errors bear no number."""
        data = event._data
        try:
            return work(asked.parse(data, self.studio.folder))
        except Exception as error:
            return answers.failed(asked.number_of(data), told(error, "the picture"))


def markup(models: Models) -> str:
    """What the picture is made of, as HTML."""
    choices = [("Automatic", AUTO), *((model.name, model.name) for model in models.here)]
    rows = "".join(
        f'<label><input type="radio" name="model" value="{html.escape(value)}"'
        f"{' checked' if value == AUTO else ''}>{html.escape(name)}</label>"
        for name, value in choices
    )
    cards = "".join(
        f'<button type="button" data-example="{number}"><canvas width="320" height="200"></canvas>'
        f"<span>{html.escape(example.title)}</span></button>"
        for number, example in enumerate(examples.all_examples())
    )
    missing = texts.missing_models(models) if models.missing else ""
    return (
        _MARKUP.replace("<!-- models -->", rows)
        .replace("<!-- about models -->", f"<p>{html.escape(texts.model_info(models))}</p>{missing}")
        .replace("<!-- examples -->", cards)
    )
