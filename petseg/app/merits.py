"""What each model is best at, and in which order they stand: by the figures of its card and its time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from petseg.app.models import Listed

BEST_FIRST = (
    "Best first: by how well each outlined the pets of test photos that none of them learned from"
    " (one that answers a tap: after one tap)."
)
"""Why the models stand as `best_first` puts them."""


@dataclass(frozen=True)
class Candidate:
    """A model, and how fast it was here.

    Attributes:
        model: with the figures of its card.
        milliseconds: of a warm answer on this machine; None where it gave none.
    """

    model: Listed
    milliseconds: float | None = None


@dataclass(frozen=True)
class Merit:
    """Something to be best at.

    Attributes:
        words: what follows "best for".
        value: how good a model is at it, more is better; None where nobody measured that.
        alone: whether a model may be best at it that has no rival.
    """

    words: str
    value: Callable[[Candidate], float | None]
    alone: bool = False


def number(metrics: Mapping[str, Any], *names: str) -> float | None:
    """The first of these figures that a card has; None where it has none of them."""
    found = (metrics.get(name) for name in names)
    return next((float(value) for value in found if isinstance(value, int | float)), None)


def outline(model: Listed) -> float | None:
    """Overlap (IoU, 0..1) of the pets in test photos, of one that needs a click after one click."""
    return number(model.metrics, "click_iou" if model.prompts else "pet_iou")


def false_alarms(model: Listed) -> float | None:
    """Share of test photos without a pet in which one was found; None where there were no such photos."""
    if not number(model.metrics, "photos_without_pets"):
        return None
    return number(model.metrics, "false_alarms")


def named(model: Listed) -> float | None:
    """Share of the animals in test photos that were found and named rightly."""
    return number(model.metrics, "named", "click_species")


def _missed(model: Listed) -> float | None:
    missed, animals = (number(model.metrics, name) for name in ("missed", "animals"))
    return None if missed is None or not animals else missed / animals


def _least(value: float | None) -> float | None:
    return None if value is None else -value


MERITS = (
    Merit("exact outlines", lambda one: None if one.model.prompts else outline(one.model)),
    Merit("picking one pet with a tap", lambda one: outline(one.model) if one.model.prompts else None, True),
    Merit("quick answers on this machine", lambda one: _least(one.milliseconds)),
    Merit("finding every pet", lambda one: _least(_missed(one.model))),
    Merit("telling cats from dogs", lambda one: _least(number(one.model.metrics, "species_confusion"))),
    Merit("photos without pets", lambda one: _least(false_alarms(one.model))),
    Merit("a small download", lambda one: _least(one.model.bytes)),
)
"""Most important first."""
TOLD = 2
"""Merits of a model that are told, at most."""


def best_first(models: Sequence[Listed]) -> list[Listed]:
    """Sorted as `BEST_FIRST` says; those without such a figure come last, as they were."""
    return sorted(models, key=lambda model: -1 if (value := outline(model)) is None else value, reverse=True)


def best_for(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Name of each model -> what it is the best of all of them for, most important first; at most `TOLD`.

    Who shares a best value with others has that merit with them.
    """
    found: dict[str, list[str]] = {one.model.name: [] for one in candidates}
    for merit in MERITS:
        values = {one.model.name: merit.value(one) for one in candidates}
        known = {name: value for name, value in values.items() if value is not None}
        if len(known) < (1 if merit.alone else 2) or (len(known) > 1 and len(set(known.values())) == 1):
            continue
        for name in [name for name, value in known.items() if value == max(known.values())]:
            found[name].append(merit.words)
    return {name: words[:TOLD] for name, words in found.items()}
