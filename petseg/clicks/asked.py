"""What is asked about a photo: all of it, what clicks and a box point at, or each of several animals."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from petseg.clicks import prompts
from petseg.clicks.prompts import Box, Boxes, Labels, Point, Points, Prompt
from petseg.errors import PromptError

Asked: TypeAlias = Prompt | list[Prompt] | None
"""None: nothing is pointed at. A prompt: nobody said that it is about several animals, though it may be.
A list: what is said of each of several."""


def at_first(
    size: tuple[int, int],
    *,
    point: Point | None,
    points: Points | None,
    labels: Labels | None,
    box: Box | None,
    boxes: Boxes | None,
    objects: Labels | None,
) -> Asked:
    """What is asked about a photo of (width, height) that nothing was asked about before.

    Args:
        size: of the upright photo, in pixels.
        point, points, labels, box, boxes, objects: see `Segmenter.segment`.

    Raises:
        PromptError: malformed, outside the photo, or about nobody knows which animal.
    """
    if boxes is None and objects is None:
        return prompts.check(*size, point=point, points=points, labels=labels, box=box)
    _check_alone(point, box)
    return prompts.check_several(*size, points=points, labels=labels, boxes=boxes, objects=objects)


def further(
    before: Sequence[Prompt],
    size: tuple[int, int],
    *,
    point: Point | None,
    label: int,
    points: Points | None,
    labels: Labels | None,
    box: Box | None,
    boxes: Boxes | None,
    objects: Labels | int | None,
) -> Prompt | list[Prompt]:
    """What is asked after what was asked `before` about each animal.

    Args:
        before: what was said of each animal, one at least.
        size: of the upright photo, in pixels.
        point, label, points, labels, box, boxes, objects: see `Segmenter.refine`.

    Returns:
        The first prompt with what is added; or what is added for each animal, where that is said.

    Raises:
        PromptError: nothing to add, malformed, outside the photo, or about nobody knows which animal.
    """
    if boxes is None and objects is None:
        if len(before) > 1:
            _check_alone(None, box)
        return prompts.extend(
            before[0], *size, point=point, label=label, points=points, labels=labels, box=box
        )
    _check_alone(None, box)
    if point is not None:
        points, labels = [point], [label]
    numbers = None if objects is None else np.atleast_1d(objects)
    return prompts.check_several(
        *size, points=points, labels=labels, boxes=boxes, objects=numbers, known=len(before)
    )


def _check_alone(point: Point | None, box: Box | None) -> None:
    """Raise `PromptError` for what says nothing of which of several animals it is about."""
    if point is not None:
        raise PromptError("point is about one animal; give points, with objects")
    if box is not None:
        raise PromptError("box is about one animal; give boxes")
