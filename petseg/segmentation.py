"""The answer for one photo, and what one does with it."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from petseg.clicks.prompts import Prompt
from petseg.clicks.several import Several
from petseg.clicks.state import ClickState
from petseg.engine.apart import Separator
from petseg.errors import OutputError
from petseg.lazy import lazy
from petseg.measure.metrics import species_of
from petseg.pets import Pet, components, divided
from petseg.pixels import decision, polygons, saving
from petseg.pixels.checks import check_tolerance, is_number
from petseg.pixels.classes import CLASSES
from petseg.pixels.geometry import Letterbox, Region, bounds
from petseg.pixels.image import shrink
from petseg.pixels.margins import Margins, softmax
from petseg.pixels.opacity import OfPets
from petseg.pixels.readonly import ReadOnly, frozen
from petseg.rendered import Rendered
from petseg.version import version

Resize: TypeAlias = Literal["smooth", "nearest"]

Pixels: TypeAlias = NDArray[np.uint8] | Callable[[], NDArray[np.uint8]]
"""A photo, (H, W, 3) uint8 RGB, upright, or what reads it once it is needed."""


class Segmentation(ReadOnly, Rendered):
    """Where the cats and dogs of one photo are.

    Everything is worked out when it is first asked for, and kept. All arrays are read-only, so that what is
    made of one agrees with what is made of another: change a copy.

    Attributes:
        size: (width, height) of the upright photo, in pixels.
        source: path or name that the photo came from, None for pixels and bytes.
        model: name of the model that answered.
        precision: what it calculated in, "float32" or "int8".
        state: what it takes to go on from the answer to a prompt, None for a model that finds all pets.
        missed: (M, 2) float64, clicks that were on no pet, nor just beside one: they changed nothing.
        threshold: how probable a pet must be at a pixel; None where the most likely class decides.
    """

    def __init__(
        self,
        logits: NDArray[np.float32],
        letterbox: Letterbox,
        photo: Pixels,
        model: str,
        *,
        state: ClickState | Several | None = None,
        resize: Resize = "smooth",
        threshold: float | None = None,
        precision: str = "float32",
        sure: float = decision.SURE,
        source: str | None = None,
        separator: Separator | None = None,
        animals: NDArray[np.float32] | None = None,
        missed: NDArray[np.float64] | None = None,
    ) -> None:
        """Keep what the network said.

        Args:
            logits: (3, S, S) float32, background, cat, dog.
            letterbox: what of the photo lies where in the square of side S.
            photo: (H, W, 3) uint8 RGB, upright, or what reads it.
            model: name of the model.
            state: what it takes to go on from here, if the model takes prompts.
            resize: how the mask gets its size: "smooth" resizes the logits before the best class is
                taken, "nearest" afterwards: cheaper, with edges as coarse as the model's pixels.
            threshold: see `with_threshold`.
            precision: what the network calculated in, "float32" or "int8".
            sure: see `petseg.models.manifest.Manifest`.
            source: path or name that the photo came from.
            separator: tells animals apart, for `pets`; None: they are the regions of the mask.
            animals: (K, S, S) float32, of an answer about animals that were pointed at: by how much each
                exceeds background; None: of one, or of all pets that there are.
            missed: (M, 2) clicks that were on nothing.

        Raises:
            OutputError: `resize` is neither, or a threshold outside 0..1.
        """
        check_resize(resize)
        if threshold is not None and not is_number(threshold, lambda value: 0 < value < 1):
            raise OutputError(f"threshold is {threshold!r}; give a number between 0 and 1, or None")
        self.size = letterbox.width, letterbox.height
        self.source = source
        self._photo = frozen(photo) if isinstance(photo, np.ndarray) else photo
        self.model = model
        self.precision = precision
        self._sure = sure
        self.state = state
        self.threshold = threshold
        self._logits = frozen(logits)
        self._letterbox = letterbox
        self._resize = resize
        self._separator = separator
        if animals is None and state is not None:
            animals = decision.margin(logits)[None]
        self._planes = None if animals is None else frozen(animals)
        self.missed = frozen(np.zeros((0, 2)) if missed is None else missed)

    def __repr__(self) -> str:
        """Label, score, size and model on one line."""
        width, height = self.size
        return f"<Segmentation {self.label} {self.score:.3f}, {width} x {height}, model {self.model!r}>"

    @property
    def photo(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright, read-only.

        Raises:
            ImageError: it was not kept (see `Segmenter.map`), and can no more be read.
        """
        photo = self._photo  # once: another thread may put the pixels there meanwhile
        if not isinstance(photo, np.ndarray):
            photo = self._photo = frozen(photo())
        return photo

    @property
    def prompt(self) -> Prompt | None:
        """The clicks and the box that were answered; None unless it was about one animal."""
        return self.state.prompt if isinstance(self.state, ClickState) else None

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The same for each animal that was pointed at; what one was told of the others stands there too."""
        return tuple(state.prompt for state in self.states)

    @property
    def states(self) -> tuple[ClickState, ...]:
        """What is known of each animal that was pointed at."""
        if isinstance(self.state, Several):
            return self.state.states
        return () if self.state is None else (self.state,)

    def with_threshold(self, threshold: float | None) -> "Segmentation":
        """The same answer, stricter or laxer about what is a pet.

        Mask, label, score, overlay, cutout, polygons and files follow; `probabilities` and `alpha` stay
        what the network said. The network does not run again.

        Args:
            threshold: a pixel is pet, of the likelier of the two, where the probabilities of cat and dog
                together reach this, 0..1 without the ends; None: where cat or dog is the most likely class.

        Raises:
            OutputError: a threshold outside 0..1.
        """
        return self._copy(self._letterbox, self._photo, self.state, threshold)

    def thumbnail(self, copy: int | NDArray[np.uint8]) -> "Segmentation":
        """The same answer for a smaller copy of the photo: for screens, where the full size is waste.

        It is for looking at, and says nothing of what was asked: to go on, keep the answer itself.

        Args:
            copy: its longest side in pixels, to have it made: a photo that is no larger is taken as it is;
                or, where one is at hand, the copy itself, (h, w, 3) uint8.

        Raises:
            OutputError: a side below 1, or an array that is no smaller copy of the photo.
        """
        if not isinstance(copy, np.ndarray):
            if not is_number(copy, lambda value: value >= 1):
                raise OutputError(f"side is {copy!r}; give a number of pixels, 1 or more")
            copy = shrink(self.photo, copy)
        height, width = copy.shape[:2] if copy.ndim == 3 and copy.shape[2] == 3 else (0, 0)
        fits = 0 < width <= self.size[0] and 0 < height <= self.size[1] and copy.dtype == np.uint8
        # Each side may be off by a pixel, however it was rounded.
        if not fits or abs(width * self.size[1] - height * self.size[0]) > sum(self.size):
            raise OutputError(
                f"an array of shape {copy.shape} and dtype {copy.dtype} is no smaller copy of a photo of "
                f"{self.size[0]} x {self.size[1]} pixels; give (h, w, 3) uint8 of the same proportions"
            )
        if (width, height) == self.size:
            return self
        letterbox = self._letterbox.resized(width, height)
        return self._copy(letterbox, copy, None, self.threshold)

    def _copy(
        self,
        letterbox: Letterbox,
        photo: Pixels,
        state: ClickState | Several | None,
        threshold: float | None,
    ) -> "Segmentation":
        return Segmentation(
            self._logits,
            letterbox,
            photo,
            self.model,
            state=state,
            resize=self._resize,
            threshold=threshold,
            precision=self.precision,
            sure=self._sure,
            source=self.source,
            separator=self._separator,
            animals=self._planes,
            missed=self.missed,
        )

    @lazy
    def _margins(self) -> Margins:
        """By how much cat and dog exceed background."""
        return Margins(self._letterbox, *self._seen)

    @property
    def _seen(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same at the network's own pixels, two (S, S) float32."""
        return decision.margins(self._logits)

    @lazy
    def _shows_pet(self) -> bool:
        if self._planes is not None:  # whoever points says that there is something
            return True
        return decision.shows_pet(self._letterbox, *self._seen, self.threshold, self._sure)

    @lazy
    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8 at the photo's size: 0 background, 1 cat, 2 dog.

        Without enough pixels that are sure of a pet (`petseg.pixels.decision`) all of it is background.
        """
        if not self._shows_pet:
            return frozen(np.zeros((self._letterbox.height, self._letterbox.width), np.uint8))
        if self._resize == "nearest":
            return frozen(self._letterbox.restore_labels(decision.classify(*self._seen, self.threshold)))
        return frozen(decision.mask(self._letterbox, *self._seen, self.threshold))

    @property
    def pets(self) -> tuple[Pet, ...]:
        """Every animal by itself, largest first; none where the mask has no pet.

        Together they are the mask, and no pixel is in two of them. Animals that were pointed at come in that
        order, each in however many pieces, but for those of which nothing was found. Without a point or a
        box, the promptable model says which places of the mask are of one animal when this is first asked for
        (`petseg.engine.apart.Separator`), which needs the photo, and about the time of the answer itself.
        After pickling that is done where the answer is then.

        Raises:
            ImageError: see `photo`.
            ModelError, DeviceError: the promptable model cannot be used.
        """
        # Made anew: kept, they and the answer would hold each other, and its photo, beyond its last use.
        return tuple(pet.within(self) for pet in self._animals)

    @lazy
    def _animals(self) -> tuple[Pet, ...]:
        """The same, kept, before they know the answer that they are part of."""
        if self._planes is None:
            parts = self._separator.planes(lambda: self.photo, self.mask) if self._separator else None
            if parts is None:
                return components(self.mask, self._margins)
            return divided(self.mask, self._margins, *parts)
        if not self.mask.any():
            return ()
        if len(self._planes) == 1:
            return (Pet.of(self.mask != 0, self.label, self.score),)
        return divided(self.mask, self._margins, self._letterbox, self._planes, in_order=True)

    @lazy
    def probabilities(self) -> NDArray[np.float32]:
        """(3, H, W) float32: background, cat, dog; they sum to 1 at each pixel."""
        return frozen(self._margins.probabilities())

    @property
    def alpha(self) -> NDArray[np.float32]:
        """(H, W) float32: the probability of any pet."""
        return frozen(self._margins.pet())

    @lazy
    def label(self) -> str:
        """The class that covers most of the pet area: "cat" or "dog", "background" without any."""
        return CLASSES[species_of(self.mask)]

    @property
    def scores(self) -> dict[str, float]:
        """Class -> its mean probability over the pet area, over the whole photo if there is none.

        Where the photo is larger than what the network saw, it is the mean over the network's own pixels,
        which hardly differs.
        """
        return dict(self._scores)

    @lazy
    def _scores(self) -> dict[str, float]:
        """The same, kept."""
        own = self._own_pixels()
        if own is None:
            means = self._margins.means(self.mask)
        else:
            margins, classes = own
            area = classes != 0
            chosen = [plane[area] if area.any() else plane.ravel() for plane in margins]
            means = softmax(*chosen).mean(1, dtype=np.float64)
        return dict(zip(CLASSES, means.tolist(), strict=True))

    def _own_pixels(
        self,
    ) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], NDArray[np.uint8]] | None:
        """By how much cat and dog exceed background, and the class, there; None if that says too little."""
        cat, dog = (plane[self._letterbox.inner] for plane in self._seen)
        classes = decision.classify(cat, dog, self.threshold) * np.uint8(self._shows_pet)
        # Where there is no pet, all of the photo counts, of which a close-up shows a part.
        says = self._letterbox.enlarges and (self._letterbox.whole or classes.any())
        return ((cat, dog), classes) if says and CLASSES[species_of(classes)] == self.label else None

    @property
    def score(self) -> float:
        """Mean probability of `label` over the pet area (of the background: over the whole photo), 0..1."""
        return self._scores[self.label]

    def polygons(self, tolerance: float = 1.0) -> list[dict[str, Any]]:
        """The outlines of the mask's regions, largest first.

        Args:
            tolerance: how far, in pixels, an outline may stray; 0 is exact.

        Returns:
            One for each region: {"label": "cat", "score": mean probability of that class in it,
            "exterior": [[x, y], ...], "holes": [[[x, y], ...], ...]}. Vertices are corners of pixels: (0, 0)
            is the upper left corner of the photo, (width, height) the lower right. At any tolerance they are
            valid: no outline crosses itself or another one, and holes lie inside.

        Raises:
            OutputError: a negative or infinite tolerance.
        """
        check_tolerance(tolerance)
        runs = polygons.Runs.of(self.mask)
        outlines = polygons.trace(runs, tolerance)
        scores = self._margins.means_by_region(self.mask, runs).tolist()
        return [
            {
                "label": CLASSES[runs.classes[i]],
                "score": scores[i],
                "exterior": outlines[i].exterior.tolist(),
                "holes": [hole.tolist() for hole in outlines[i].holes],
            }
            for i in runs.largest_first
        ]

    def _classes(self, rows: slice) -> NDArray[np.uint8]:
        return self.mask[rows]

    @lazy
    def _cut_out(self) -> OfPets | None:
        """Kept, since each animal asks for it."""
        return OfPets.of(self.photo, self._margins, self.threshold) if self._shows_pet else None

    def _opacity(self) -> OfPets | None:
        return self._cut_out

    def _bounds(self) -> Region | None:
        return bounds(self.mask != 0) if self.mask.any() else None

    def _document(self) -> dict[str, Any]:
        return {
            saving.MARK: version(),
            "label": self.label,
            "score": self.score,
            "scores": self.scores,
            "size": list(self.size),
            "model": self.model,
            "precision": self.precision,
            "threshold": self.threshold,
            "polygons": self.polygons(),
        }


def check_resize(resize: str) -> None:
    """Raise `OutputError` unless it is one of the two ways."""
    if resize not in get_args(Resize):
        raise OutputError(f"resize {resize!r} is unknown; give 'smooth' or 'nearest'")
