"""Several clicks are one after the other: each corrects the answer to those before it."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from petseg.clicks.prompts import Prompt
from petseg.pixels.decision import margin
from petseg.pixels.polygons import region_at

STEPS = 20
"""Answers at most to the clicks of one question; of more clicks the earlier ones are asked about together."""
MANY = 100
"""Clicks above which nobody made them one by one, and all are asked about together."""


def steps(prompt: Prompt, answered: Prompt | None = None) -> Iterator[Prompt]:
    """The questions that lead to a prompt, each with one more click than the one before.

    Args:
        prompt: all that is asked in the end.
        answered: a question on the way there that has an answer; without one, the first is the box, or the
            clicks up to the first wanted one.
    """
    count = len(prompt.points)
    if answered is None:
        start = 0 if prompt.box is not None else int(np.argmax(prompt.positive)) + 1
        answered = prompt.first(count if count > MANY else max(start, count - STEPS + 1))
        yield answered
    for number in range(len(answered.points), count):
        yield prompt.first(number + 1)


def leads_to(answered: Prompt, prompt: Prompt) -> bool:
    """Whether a question is the first part of another one, with not too many steps between them."""
    begun = prompt.first(len(answered.points))
    return len(prompt.points) - len(answered.points) <= STEPS and all(
        np.array_equal(getattr(answered, field.name), getattr(begun, field.name)) for field in fields(Prompt)
    )


def corrected(
    before: NDArray[np.float32], after: NDArray[np.float32], click: tuple[float, float], *, positive: bool
) -> NDArray[np.float32]:
    """An answer after one more click: what that is about changes, the rest stays (after arXiv:2204.02574).

    Args:
        before: (3, S, S) background, cat, dog, without the click.
        after: the same of all clicks, which need not agree with it elsewhere.
        click: x, y in pixels of the square.
        positive: whether the click is on what is wanted.

    Returns:
        (3, S, S): `after` where, together with the click, a pet is added by a positive one or taken away by
        another, else `before`; all of `after` if nothing was found before.
    """
    was, now = margin(before) > 0, margin(after) > 0
    if not was.any():
        return after
    changed = region_at(now & ~was if positive else was & ~now, *click)
    return np.where(changed, after, before)
