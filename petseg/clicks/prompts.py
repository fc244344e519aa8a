"""Clicks and boxes: what people may give, and what the network is fed.

Points are `(x, y)` in pixels of the upright photo, boxes `(x0, y0, x1, y1)`; training, evaluation and
the app all encode them here.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg.errors import PromptError
from petseg.pixels.geometry import Letterbox
from petseg.pixels.readonly import ReadOnly

SIGMA = 5.0
"""Spread of a click in model pixels at a side of `SIGMA_SIZE`; it grows with the side."""
SIGMA_SIZE = 256
REACH = 6
"""A click is 0 from this many sigmas on, along x or y, where it would be below 2e-8."""

BOX_EVIDENCE = 0.5
"""Height of a box in both channels: below a click's 1, so that clicks inside a box still show."""

Point: TypeAlias = Sequence[float] | NDArray[Any]
Points: TypeAlias = Sequence[Point] | NDArray[Any]
Labels: TypeAlias = Sequence[int] | NDArray[Any]
Box: TypeAlias = Sequence[float] | NDArray[Any]
Boxes: TypeAlias = Sequence[Box] | NDArray[Any]

MOST_OBJECTS = 100
"""Animals that can be pointed at in one photo."""


OUTSIDE = 1.0
"""Pixels by which a box may be larger than the photo: detectors round and regress; it is clipped."""


class PromptWarning(UserWarning):
    """A prompt that can be answered, but hardly means what it says."""


@dataclass(frozen=True)
class Prompt(ReadOnly):
    """What was asked for, checked.

    Attributes:
        points: (N, 2) float64, in pixels of the photo.
        positive: (N,) bool: on the thing that is wanted, or on something that is not.
        box: (4,) float64 x0, y0, x1, y1 in pixels of the photo, or None.
    """

    points: NDArray[np.float64]
    positive: NDArray[np.bool_]
    box: NDArray[np.float64] | None = None

    @property
    def kinds(self) -> list[str]:
        """What is given: "point", "box" or both."""
        return (["point"] if len(self.points) else []) + (["box"] if self.box is not None else [])

    @property
    def is_one_click(self) -> bool:
        """Whether it is a single click and nothing else."""
        return self.kinds == ["point"] and len(self.points) == 1

    def with_click(self, point: NDArray[np.float64], *, positive: bool) -> "Prompt":
        """One more click at a point (2,)."""
        points = np.concatenate([self.points, point[None]])
        return replace(self, points=points, positive=np.append(self.positive, positive))

    def first(self, count: int) -> "Prompt":
        """The box and so many of the clicks."""
        return replace(self, points=self.points[:count], positive=self.positive[:count])


def check(
    width: int,
    height: int,
    *,
    point: Point | None = None,
    points: Points | None = None,
    labels: Labels | None = None,
    box: Box | None = None,
) -> Prompt | None:
    """Check a prompt against the photo it is meant for.

    Args:
        width, height: of the upright photo, in pixels.
        point: one click `(x, y)`, short for `points=[(x, y)]`.
        points: (N, 2) clicks, with 0 <= x < width and 0 <= y < height; none where there is a box.
        labels: (N,) of 1 (wanted, the default) and 0 (not wanted).
        box: `(x0, y0, x1, y1)` around the thing that is wanted; clipped if up to a pixel outside the photo.

    Returns:
        The prompt, None if nothing was given.

    Raises:
        PromptError: malformed, outside the photo, or nothing but unwanted clicks.

    Warns:
        PromptWarning: all coordinates lie in 0..1, as if they were shares of the photo's sides.
    """
    prompt = _read(width, height, point, points, labels, box)
    if prompt is not None and prompt.box is None and not prompt.positive.any():
        raise PromptError("every click has label 0; give one with label 1 on the wanted pet, or a box")
    return prompt


def check_several(
    width: int,
    height: int,
    *,
    points: Points | None = None,
    labels: Labels | None = None,
    boxes: Boxes | None = None,
    objects: Labels | None = None,
    known: int = 0,
) -> list[Prompt]:
    """Check what is said of several animals.

    Args:
        width, height: of the upright photo, in pixels.
        points, labels: clicks, as in `check`.
        boxes: (K, 4) a box around each of the first animals; of the first ones after those that are known.
        objects: (N,) for each click the number of its animal, from 0.
        known: how many animals there are already.

    Returns:
        For each animal what is said of it, perhaps nothing of those that are known.

    Raises:
        PromptError: malformed, outside the photo, a click of which nobody knows whose it is, a number that is
            left out, or an animal with nothing but unwanted clicks.
    """
    corners = [] if boxes is None else _rows(boxes, "boxes", width, height)
    clicks = _read(width, height, None, points, labels, None)
    count = 0 if clicks is None else len(clicks.points)
    if objects is None:
        if count and len(corners) + known != 1:
            raise PromptError("it is not said which animal each click is about; give objects: [0, 0, 1, ...]")
        objects = [0] * count
    numbers = _numbers(objects, "objects")
    if numbers.shape != (count,):
        raise PromptError(f"objects have shape {numbers.shape} for {count} points; give one for each point")
    if (numbers < 0).any() or (numbers != np.round(numbers)).any():
        raise PromptError(
            f"objects hold {numbers.tolist()!r:.80}; give whole numbers, 0 for the first animal"
        )
    total = int(max(known + len(corners), numbers.max(initial=-1) + 1))
    if total > MOST_OBJECTS:
        raise PromptError(f"these are {total} animals; give at most {MOST_OBJECTS}")
    result = []
    for number in range(total):
        own = numbers == number
        box = corners[number - known] if known <= number < known + len(corners) else None
        prompt = Prompt(np.zeros((0, 2)), np.zeros(0, bool), box)
        if clicks is not None:
            prompt = replace(prompt, points=clicks.points[own], positive=clicks.positive[own])
        if number >= known and box is None and not prompt.positive.any():
            raise PromptError(
                f"object {number} has no click with label 1 and no box; number animals from {known} without "
                "gaps, and give each a wanted click or a box"
            )
        result.append(prompt)
    if not any(prompt.kinds for prompt in result):
        raise PromptError("nothing is said of any animal; give points with objects, or boxes")
    return result


def _rows(boxes: Any, name: str, width: int, height: int) -> list[NDArray[np.float64]]:
    rows = _numbers(boxes, name)
    if rows.size == 0 or rows.ndim != 2 or rows.shape[1] != 4:
        raise PromptError(f"{name} have shape {rows.shape}; give (N, 4): [(x0, y0, x1, y1), ...]")
    checked = [_check_box(row, width, height) for row in rows]
    _warn_if_normalised(np.zeros((0, 2)), np.concatenate(checked), width, height)
    return checked


def extend(
    prompt: Prompt,
    width: int,
    height: int,
    *,
    point: Point | None = None,
    label: int = 1,
    points: Points | None = None,
    labels: Labels | None = None,
    box: Box | None = None,
) -> Prompt:
    """Add clicks to a prompt, or give it another box.

    Args:
        prompt: what was asked before.
        width, height: of the upright photo, in pixels.
        point: one more click.
        label: of `point`, 1 (wanted) or 0 (not wanted).
        points, labels: several more, as in `check`.
        box: in the place of the one before, if there was one.

    Raises:
        PromptError: malformed, outside the photo, or nothing is added.
    """
    if point is not None and labels is not None:
        raise PromptError("labels are given with point; give label with point, or labels with points")
    if point is None and label != 1:
        raise PromptError("label is given without point; give labels with points")
    more = _read(width, height, point, points, labels if point is None else [label], box)
    if more is None:
        raise PromptError("nothing is added; give a point, points or a box")
    return Prompt(
        np.concatenate([prompt.points, more.points]),
        np.concatenate([prompt.positive, more.positive]),
        prompt.box if more.box is None else more.box,
    )


def _read(
    width: int,
    height: int,
    point: Point | None,
    points: Points | None,
    labels: Labels | None,
    box: Box | None,
) -> Prompt | None:
    """The same as `check`, without asking for a wanted click."""
    if point is not None:
        if points is not None:
            raise PromptError("point and points are both given; give all clicks in points")
        points = np.asarray(_numbers(point, "point"))[None]
    if points is not None and box is not None and _is_empty(points):
        points = None  # as pages and tools say it that collect clicks and were given a box alone
    if points is None and labels is not None:
        if box is None or not _is_empty(labels):
            raise PromptError("labels are given without points; give points too")
        labels = None
    if points is None and box is None:
        return None
    clicks = np.zeros((0, 2)) if points is None else _check_points(points, width, height)
    positive = _check_labels(labels, len(clicks))
    corners = None if box is None else _check_box(box, width, height)
    _warn_if_normalised(clicks, corners, width, height)
    return Prompt(clicks, positive, corners)


def _is_empty(values: Any) -> bool:
    try:
        return np.size(values) == 0
    except Exception:  # of no one shape: what asks for numbers says so
        return False


def _numbers(values: Any, name: str) -> NDArray[np.float64]:
    """An array of its own, that nobody changes."""
    try:
        given = np.asarray(values)
        if given.dtype.kind in "cmM" or (given.dtype.kind == "b" and name != "labels"):
            raise TypeError(f"of type {given.dtype}")
        numbers = np.array(given, np.float64)
    except Exception as error:  # what an array of another library says: a tensor that requires grad, on a GPU
        reason = f" ({error})" if not isinstance(error, TypeError | ValueError | OverflowError) else ""
        raise PromptError(
            f"{name} {_shown(values)} are no numbers{reason}; give pixels of the photo"
        ) from error
    if not np.isfinite(numbers).all():
        raise PromptError(f"{name} holds NaN or infinity; give pixels of the photo")
    numbers.flags.writeable = False
    return numbers


def _warn_if_normalised(
    clicks: NDArray[np.float64], corners: NDArray[np.float64] | None, width: int, height: int
) -> None:
    """Clicks on whole pixels are taken at their word; a box of one pixel is not."""
    given = clicks.ravel() if corners is None else np.concatenate([clicks.ravel(), corners])
    meant = corners is None and (given == np.round(given)).all()
    if min(width, height) > 1 and given.max() <= 1 and not meant:
        boxes = "box" if corners is None or len(corners) == 4 else "boxes"
        what = boxes if not len(clicks) else "points" if corners is None else "points and box"
        warnings.warn(
            f"all coordinates of the {what} lie in 0..1, but the photo has {width} x {height} pixels; "
            f"if they are shares of its sides, multiply x by {width} and y by {height}",
            PromptWarning,
            stacklevel=5,
        )


def _shown(values: Any) -> str:
    try:
        return f"{values!r:.100}"
    except Exception:  # Python does not print thousands of digits, and a tensor may not print itself
        return "that cannot be shown"


def _check_points(points: Any, width: int, height: int) -> NDArray[np.float64]:
    clicks = _numbers(points, "points")
    if clicks.size == 0:
        raise PromptError("points are empty; give (N, 2): [(x, y), ...], or a box, or leave them out")
    if clicks.ndim != 2 or clicks.shape[1] != 2:
        labelled = clicks.ndim == 2 and clicks.shape[1] == 3
        hint = "; if the third column has labels, give them as labels" if labelled else ""
        raise PromptError(f"points have shape {clicks.shape}; give (N, 2): [(x, y), ...]{hint}")
    outside = ((clicks < 0) | (clicks >= (width, height))).any(1)
    if outside.any():
        x, y = clicks[outside][0]
        raise PromptError(
            f"point ({x:g}, {y:g}) is outside the photo of {width} x {height} pixels; "
            f"give 0 <= x < {width} and 0 <= y < {height}"
        )
    return clicks


def _check_labels(labels: Any, count: int) -> NDArray[np.bool_]:
    if labels is None:
        return np.ones(count, bool)
    values = _numbers(labels, "labels")
    if values.shape != (count,):
        raise PromptError(f"labels have shape {values.shape} for {count} points; give one label per point")
    if not (known := np.isin(values, (0, 1))).all():
        raise PromptError(f"labels hold {values[~known][0]:g}; give 1 for wanted and 0 for not wanted")
    return values.astype(bool)


def _check_box(box: Any, width: int, height: int) -> NDArray[np.float64]:
    corners = _numbers(box, "box")
    if corners.shape != (4,):
        several = ", or all of them as boxes" if corners.ndim == 2 and corners.shape[1] == 4 else ""
        raise PromptError(f"box has shape {corners.shape}; give (x0, y0, x1, y1){several}")
    limits = np.array([width, height] * 2)
    clipped = np.clip(corners, 0, limits)
    near = (np.abs(corners - clipped) <= OUTSIDE).all()
    if near and (clipped[:2] < clipped[2:]).all():
        clipped.flags.writeable = False
        return clipped
    x0, y0, x1, y1 = corners.tolist()
    hint = ""
    if min(x0, y0) >= 0 < min(x1, y1) and x0 + x1 <= width and y0 + y1 <= height:
        hint = f"; if it is (x, y, width, height), give ({x0:g}, {y0:g}, {x0 + x1:g}, {y0 + y1:g})"
    raise PromptError(
        f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) does not fit the photo of {width} x {height} pixels; "
        f"give 0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height}{hint}"
    )


def encode(prompt: Prompt, letterbox: Letterbox) -> NDArray[np.float32]:
    """What the network is fed.

    A click is a Gaussian of height 1, several take their maximum. A box is `BOX_EVIDENCE` inside, falling
    off like a click around it, and the rest is as much evidence against.

    Args:
        prompt: in pixels of the photo; what lies outside the letterbox's region leaves no trace but the
            fringe of a click near its edge.
        letterbox: what of the photo lies where in the model's square of side S.

    Returns:
        (2, S, S) float32 in 0..1: channel 0 evidence for, channel 1 evidence against.
    """
    size = letterbox.size
    sigma = SIGMA * size / SIGMA_SIZE
    maps = np.zeros((2, size, size), np.float32)
    centres = np.arange(size) + 0.5
    reach = REACH * sigma
    for (x, y), positive in zip(letterbox.to_model(prompt.points).tolist(), prompt.positive, strict=True):
        if not (-reach < min(x, y) and max(x, y) < size + reach):
            continue  # in a part of the photo that the square does not show
        columns, rows = (slice(max(0, int(at - reach)), int(at + reach) + 1) for at in (x, y))
        around = maps[0 if positive else 1, rows, columns]
        np.maximum(around, _bump(centres[columns] - x, centres[rows] - y, sigma), out=around)
    if prompt.box is not None:
        (x0, y0), (x1, y1) = letterbox.to_model(prompt.box.reshape(2, 2))
        beyond_x = np.maximum(np.maximum(x0 - centres, centres - x1), 0)
        beyond_y = np.maximum(np.maximum(y0 - centres, centres - y1), 0)
        inside = _bump(beyond_x, beyond_y, sigma)
        np.maximum(maps[0], BOX_EVIDENCE * inside, out=maps[0])
        np.maximum(maps[1], BOX_EVIDENCE * (1 - inside), out=maps[1])
    return maps


def _bump(dx: NDArray[np.float64], dy: NDArray[np.float64], sigma: float) -> NDArray[np.float32]:
    """Gaussian of height 1 from distances along x (columns) and y (rows), (rows, columns) float32."""
    fall_x, fall_y = (np.exp(-0.5 * (d / sigma) ** 2).astype(np.float32) for d in (dx, dy))
    return np.outer(fall_y, fall_x)
