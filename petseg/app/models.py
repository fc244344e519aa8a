"""The models that the page offers: those that are here, loaded when first used, and those that are not."""

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import petseg
from petseg import Segmenter

_log = logging.getLogger(__name__)

AUTO = ""
"""The choice of a visitor, or of a call, that names no model."""


@dataclass(frozen=True)
class Listed:
    """A model as the page shows it.

    Attributes:
        name: what it is asked for by.
        prompts: what it takes besides the photo: none, or some of "point" and "box".
        here: whether its weights are on this machine.
        note: what it is, or how to get it.
        metrics: the figures of its card, under the names that they have there.
        bytes: what its weights weigh; None where that is not known.
    """

    name: str
    prompts: tuple[str, ...]
    here: bool
    note: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    bytes: int | None = None

    @property
    def takes(self) -> str:
        """What one gives it, for people."""
        return f"answers for the {' or '.join(self.prompts)} you give" if self.prompts else "finds all pets"


class Models:
    """Which models there are; any number of threads may share it."""

    def __init__(
        self, segmenters: Mapping[str, Segmenter] | None = None, *, device: str = "auto", threads: int = 0
    ) -> None:
        """List the models, and load none.

        Args:
            segmenters: name -> model, the default first. None: those of the catalogue whose weights are here,
                each loaded when it is first asked.
            device, threads: as for `petseg.Segmenter`, for those of the catalogue.
        """
        self._device, self._threads = device, threads
        self._lock = threading.Lock()
        self._loaded = dict(segmenters or {})
        self.listed = [
            Listed(name, manifest.prompts, True, f"{manifest.size} px", manifest.metrics)
            for name, manifest in ((name, segmenter.manifest) for name, segmenter in self._loaded.items())
        ]
        for info in petseg.list_models():
            here = info.status != "can be pulled"
            if info.name in self._loaded or (here and segmenters is not None):
                continue
            note = info.description if here else f"petseg pull {info.name}"
            self.listed.append(Listed(info.name, info.prompts, here, note, info.metrics, info.bytes))

    @property
    def here(self) -> list[Listed]:
        """Those that can answer, the default first."""
        return [model for model in self.listed if model.here]

    @property
    def missing(self) -> list[Listed]:
        """Those whose weights are not here."""
        return [model for model in self.listed if not model.here]

    def get(self, name: str) -> Segmenter:
        """The model of that name, loaded if it was not.

        Raises:
            ModelError: no such model here, or it is damaged.
        """
        listed = self.find(name)
        if not listed.here:
            raise petseg.ModelError(
                f"the weights of {name!r} are not on this machine; get them: {listed.note}"
            )
        with self._lock:  # two visitors who come first shall not load it twice
            if name not in self._loaded:
                self._loaded[name] = Segmenter(name, device=self._device, threads=self._threads)
            return self._loaded[name]

    def warm(self) -> None:
        """Load the models that `AUTO` asks, and let each answer once, since a first answer takes longer.

        What is wrong with one is logged; whoever asks it is told.
        """
        blank = np.full((64, 64, 3), 127, np.uint8)
        asked: tuple[tuple[list[str], dict[str, Any]], ...] = (([], {}), (["point"], {"point": (32, 32)}))
        for kinds, prompt in asked:
            if (name := self.first(kinds)) is None:
                continue
            try:
                self.get(name).segment(blank, **prompt)
            except petseg.PetsegError:
                _log.exception("%s cannot be used", name)

    def find(self, name: str) -> Listed:
        """What is known of the model of that name.

        Raises:
            ModelError: there is none.
        """
        for model in self.listed:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.here)
        raise petseg.ModelError(f"there is no model {name!r} here; choose one of {known}")

    def first(self, kinds: Collection[str]) -> str | None:
        """The model for a choice of `AUTO`: the first that takes what is given, and needs nothing else.

        Args:
            kinds: what is given besides the photo, some of "point" and "box".
        """
        for model in self.here:
            if set(kinds) <= set(model.prompts) and bool(model.prompts) == bool(kinds):
                return model.name
        return None

    def advice(self, kinds: Collection[str]) -> str:
        """What to do where `first` knows none."""
        if not kinds:
            return "Every model here answers for what you point at: click on the pet."
        able = [model.note for model in self.missing if set(kinds) <= set(model.prompts)]
        how = f" One that does: {able[0]}." if able else ""
        return f"No model here takes a {' and a '.join(kinds)}.{how}"

    def takes(self, name: str, kind: str) -> bool:
        """Whether the visitor's choice takes a "point" or a "box"."""
        models = self.here if name == AUTO else [self.find(name)]
        return any(kind in model.prompts for model in models)
