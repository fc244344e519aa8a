"""Simulated people: which animal is meant, how they ask for it, what is wrong with an answer.

All coordinates are pixels of the model's square; what is drawn depends only on the generator.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from petseg.pixels.classes import BORDER
from petseg.pixels.geometry import bounds

Mask = NDArray[np.bool_]

SMALLEST = 40
"""Pixels below which an animal is never meant: it may hardly be recognisable."""
BOX_ALONE, BOX_BESIDE = 0.15, 0.1
"""Shares of prompts that start with a box only, and with a box and clicks."""
SEVERAL, MORE = 0.35, 4
"""Share of prompts that start with more clicks than one, and how many more at most."""
JITTER = 0.05
"""Standard deviation of a jittered click, over the square root of the area that it is meant for."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is meant.

    Attributes:
        inside: (S, S) bool, the pixels of the animal, or of the background.
        valid: (S, S) bool, False where the truth is unknown.
        species: 1 cat, 2 dog, 0 background.
        number: the animal's in its scene, 0 for the background.
    """

    inside: Mask
    valid: Mask
    species: int
    number: int = 0

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(S, S) uint8, the right answer: the animal in its class, all else background, 255 unknown."""
        return np.select([~self.valid, self.inside], [BORDER, self.species], 0).astype(np.uint8)


def animals(instances: NDArray[np.uint8], smallest: int = SMALLEST) -> NDArray[np.int64]:
    """The numbers of the animals with at least `smallest` pixels, ascending."""
    counts = np.bincount(instances.ravel(), minlength=256)
    counts[[0, BORDER]] = 0
    return np.flatnonzero(counts >= max(1, smallest))


def make_target(instances: NDArray[np.uint8], species: NDArray[np.uint8], number: int) -> Target:
    """The animal `number`, or the background for 0; arguments as in `train.data.scenes.Scene`."""
    return Target(instances == number, instances != BORDER, int(species[number]), number)


def draw_target(
    instances: NDArray[np.uint8],
    species: NDArray[np.uint8],
    generator: np.random.Generator,
    background: float,
) -> Target:
    """An animal, or with probability `background`, or for want of one, the background.

    The weight of an animal is the root of its area: in a close-up of one, mostly that one is meant.
    """
    numbers = animals(instances)
    wants_background = generator.random() < background
    if len(numbers) and not (wants_background and (instances == 0).any()):
        sides = np.sqrt(np.bincount(instances.ravel(), minlength=256)[numbers])
        return make_target(instances, species, int(generator.choice(numbers, p=sides / sides.sum())))
    return make_target(instances, species, 0)


def background_by_area(instances: NDArray[np.uint8], weight: float) -> float:
    """How likely a random pixel is of the background, whose pixels count `weight` and an animal's 1."""
    counts = np.bincount(instances.ravel(), minlength=256)
    background, animal = weight * counts[0], counts[1:BORDER].sum()
    return float(background / max(1.0, background + animal))


def depth(mask: Mask, *, exact: bool = False) -> NDArray[np.float32]:
    """Distance of each true pixel to the nearest other one, the edge of the square counting as outside.

    Unless `exact` it is the 5 x 5 approximation, good to about 2 % and twice as fast.
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    distances = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE if exact else 5)
    return np.asarray(distances, np.float32)[1:-1, 1:-1]


def deepest(mask: Mask) -> tuple[float, float]:
    """x, y of the centre of the pixel deepest inside a mask that is not empty."""
    row, column = np.unravel_index(depth(mask).argmax(), mask.shape)
    return column + 0.5, row + 0.5


def anywhere(mask: Mask, generator: np.random.Generator) -> tuple[float, float]:
    """x, y of a random place in a mask that is not empty."""
    found = np.flatnonzero(mask)
    row, column = divmod(int(found[generator.integers(len(found))]), mask.shape[1])
    return column + 0.5, row + 0.5


def barycentre(mask: Mask) -> tuple[float, float]:
    """x, y of the mean of the pixels of a mask that is not empty; it may lie outside of them."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def covers(mask: Mask, point: tuple[float, float]) -> bool:
    """Whether the pixel at x, y, which lies in the square, is in the mask."""
    return bool(mask[int(point[1]), int(point[0])])


def jittered(
    point: tuple[float, float], mask: Mask, generator: np.random.Generator, share: float = JITTER
) -> tuple[float, float]:
    """The point moved by a normal step of `share` of the root of the mask's area, kept in the mask."""
    spread = share * np.sqrt(np.count_nonzero(mask))
    for _ in range(8):
        x, y = (float(value) for value in np.asarray(point) + generator.normal(0, spread, 2))
        if 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and mask[int(y), int(x)]:
            return x, y
    return point


def tightest_box(mask: Mask) -> NDArray[np.float64]:
    """x0, y0, x1, y1 around the pixels of a mask that is not empty."""
    return np.array(bounds(mask), np.float64)


def loose_box(mask: Mask, generator: np.random.Generator) -> NDArray[np.float64]:
    """A box whose sides miss the animal's by -3 to 15 % of its width and height, inside the square."""
    box = tightest_box(mask)
    height, width = mask.shape
    sides = np.tile(box[2:] - box[:2], 2) * generator.uniform(-0.03, 0.15, 4) * generator.choice([0.2, 1.0])
    box += sides * (-1, -1, 1, 1)
    return np.clip(box, 0, (width, height, width, height))


@dataclass
class Session:
    """One person after one target, who has asked for it but has no answer yet.

    Attributes:
        target: what is meant.
        generator: of all that is drawn.
        points: the clicks so far, x, y.
        positive: whether each of them is on the target.
        box: x0, y0, x1, y1, or None.
    """

    target: Target
    generator: np.random.Generator
    points: list[tuple[float, float]] = field(default_factory=list)
    positive: list[bool] = field(default_factory=list)
    box: NDArray[np.float64] | None = None

    def start_as(self, first: str, box: float) -> None:
        """Start as a study's people do, see `train.config.PromptingConfig`; the background is clicked too."""
        inside = self.target.inside
        if not inside.any():
            return
        if self.target.species and self.generator.random() < box:
            self.box = loose_box(inside, self.generator)
            return
        point = barycentre(inside)
        if first == "anywhere" or not covers(inside, point):
            point = anywhere(inside, self.generator)
        self._click(point, True)

    def start(self) -> None:
        """A first click, uniform or deep inside; or several; or a box, but never around the background."""
        generator, inside = self.generator, self.target.inside
        if not inside.any():  # a square of nothing but unknown pixels
            return
        kind = generator.random() if self.target.species else 1.0
        if kind < BOX_ALONE + BOX_BESIDE:
            self.box = loose_box(inside, generator)
        if kind < BOX_ALONE:
            return
        if generator.random() < 0.5:
            self._click(anywhere(inside, generator), True)
        else:
            self._click(jittered(deepest(inside), inside, generator), True)
        if self.target.species and generator.random() < SEVERAL:
            outside = self.target.valid & ~inside
            for _ in range(int(generator.integers(1, MORE + 1))):
                positive = bool(generator.random() < 0.5)
                area = inside if positive or not outside.any() else outside
                self._click(anywhere(area, generator), area is inside)

    def _click(self, point: tuple[float, float], positive: bool) -> None:
        self.points.append(point)
        self.positive.append(positive)


def open_sessions(
    instances: NDArray[np.uint8],
    species: NDArray[np.uint8],
    generator: np.random.Generator,
    people: int,
    background: float,
    *,
    boxes: bool = True,
    first: str = "mixed",
    box: float = 0.0,
    by_area: bool = False,
) -> list[Session]:
    """Started sessions about one photo.

    Args:
        instances, species: as in `train.data.scenes.Scene`.
        people: how many sessions.
        background, by_area: see `train.config.PromptingConfig`.
        boxes: whether there may be boxes; without them, a session that starts with one starts with a click.
        first, box: how they start, see `train.config.PromptingConfig`.
    """
    background = background_by_area(instances, background) if by_area else background
    sessions = []
    for _ in range(people):
        session = Session(draw_target(instances, species, generator, background), generator)
        if first == "mixed":
            session.start()
        else:
            session.start_as(first, box)
        if session.box is not None and not boxes:
            session = clicked_deep(session.target, generator)
        sessions.append(session)
    return sessions


def held_out_sessions(
    instances: NDArray[np.uint8], species: NDArray[np.uint8], generator: np.random.Generator, people: int
) -> list[Session]:
    """A session for each of the photo's largest animals, started with one jittered click deep inside."""
    numbers = animals(instances)
    sizes = np.bincount(instances.ravel(), minlength=256)[numbers]
    largest = numbers[np.argsort(-sizes, kind="stable")][:people]
    return [clicked_deep(make_target(instances, species, int(number)), generator) for number in largest]


def clicked_deep(target: Target, generator: np.random.Generator) -> Session:
    """A session that starts with one jittered click deep inside the target."""
    click = jittered(deepest(target.inside), target.inside, generator)
    return Session(target, generator, [click], [True])


def errors(target: Target, prediction: Mask) -> tuple[Mask, Mask]:
    """Pixels of the animal that were missed, and those that are falsely called pet; unknown ones are neither.

    A click on the background is answered rightly by no pet at all.
    """
    wanted = target.inside if target.species else np.zeros_like(target.inside)
    return wanted & ~prediction & target.valid, ~wanted & prediction & target.valid
