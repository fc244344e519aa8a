"""The answer for one photo, and what one does with it."""

import io
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg import polygons
from petseg.errors import OutputError
from petseg.geometry import Letterbox
from petseg.metrics import CLASSES, species_of
from petseg.prompts import Prompt

Resize: TypeAlias = Literal["smooth", "nearest"]
Kind: TypeAlias = Literal["mask", "cutout", "overlay", "json"]

Color: TypeAlias = tuple[int, int, int]
COLORS: dict[str, Color] = {"background": (0, 0, 0), "cat": (255, 140, 0), "dog": (0, 114, 255)}
"""Class -> RGB; orange and blue stay apart for colour-blind eyes too."""

OUTSIDE = -1e4
"""By how much a pet exceeds background where it is ruled out (`petseg.zoom`, `petseg.animal`)."""

_SUFFIXES: dict[str, tuple[str, ...]] = {
    "mask": (".png",),
    "cutout": (".png", ".webp"),
    "overlay": (".png", ".jpg", ".jpeg", ".webp"),
    "json": (".json",),
}
"""What can be saved as what: a mask suffers no lossy format, a cutout needs transparency."""

_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"quality": 95}),
}


@dataclass(frozen=True, eq=False)
class Asked:
    """What a promptable model was asked, and about what: all that is needed to go on from its answer.

    Attributes:
        prompt: in pixels of the photo.
        letterbox: the photo, or the region of it, that the model saw last.
        square: (S, S, 3) uint8: that, as the model saw it.
        fill: grey around the photo in that square.
    """

    prompt: Prompt
    letterbox: Letterbox
    square: NDArray[np.uint8]
    fill: int


class Segmentation:
    """Where the cats and dogs of one photo are.

    Everything is worked out when it is first asked for, and kept.

    Attributes:
        size: (width, height) of the upright photo, in pixels.
        photo: (H, W, 3) uint8 RGB, upright, read-only.
        model: name of the model that answered.
        asked: what it was asked, None for a model that finds all pets.
        threshold: how probable a pet must be at a pixel; None where the most likely class decides.
    """

    def __init__(
        self,
        logits: NDArray[np.float32],
        letterbox: Letterbox,
        photo: NDArray[np.uint8],
        model: str,
        *,
        asked: Asked | None = None,
        resize: Resize = "smooth",
        threshold: float | None = None,
    ) -> None:
        """Keep what the network said.

        Args:
            logits: (3, S, S) float32, background, cat, dog.
            letterbox: what of the photo lies where in the square of side S.
            photo: (H, W, 3) uint8 RGB, upright.
            model: name of the model.
            asked: what the network was asked, if it takes prompts.
            resize: how the mask gets its size: "smooth" resizes the logits before the best class is
                taken, "nearest" afterwards: cheaper, with edges as coarse as the model's pixels.
            threshold: see `with_threshold`.

        Raises:
            OutputError: `resize` is neither, or a threshold outside 0..1.
        """
        check_resize(resize)
        if threshold is not None and not 0 < threshold < 1:
            raise OutputError(f"threshold is {threshold!r}; give a number between 0 and 1, or None")
        self.size = letterbox.width, letterbox.height
        self.photo = photo
        self.model = model
        self.asked = asked
        self.threshold = threshold
        self._logits = logits
        self._letterbox = letterbox
        self._resize = resize

    def __repr__(self) -> str:
        """Label, score, size and model on one line."""
        width, height = self.size
        return f"<Segmentation {self.label} {self.score:.3f}, {width} x {height}, model {self.model!r}>"

    @property
    def prompt(self) -> Prompt | None:
        """The clicks and the box that were answered, None for a model that finds all pets."""
        return self.asked.prompt if self.asked else None

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
        return self._copy(self._letterbox, self.photo, self.asked, threshold)

    def thumbnail(self, side: int) -> "Segmentation":
        """The same answer for a smaller copy of the photo: for screens, where the full size is waste.

        It is for looking at, and says nothing of what was asked: to go on, keep the answer itself.

        Args:
            side: longest side in pixels; a photo that is no larger is taken as it is.

        Raises:
            OutputError: a side below 1.
        """
        if side < 1:
            raise OutputError(f"side is {side!r}; give a number of pixels, 1 or more")
        longest = max(self.size)
        if longest <= side:
            return self
        width, height = (max(1, round(length * side / longest)) for length in self.size)
        image = Image.fromarray(self.photo)
        photo = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
        scale = (width / self.size[0], height / self.size[1]) * 2
        x0, y0, x1, y1 = (round(edge * by) for edge, by in zip(self._letterbox.region, scale, strict=True))
        region = (min(x0, width - 1), min(y0, height - 1), max(x1, x0 + 1), max(y1, y0 + 1))
        letterbox = replace(self._letterbox, width=width, height=height, region=region)
        return self._copy(letterbox, photo, None, self.threshold)

    def _copy(
        self,
        letterbox: Letterbox,
        photo: NDArray[np.uint8],
        asked: Asked | None,
        threshold: float | None,
    ) -> "Segmentation":
        return Segmentation(
            self._logits,
            letterbox,
            photo,
            self.model,
            asked=asked,
            resize=self._resize,
            threshold=threshold,
        )

    @cached_property
    def _margins(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """By how much cat and dog exceed background, two (H, W) float32.

        The best class and the softmax depend on the logits' differences only, so two planes are resized
        instead of three.
        """
        background, cat, dog = self._logits
        restore = self._letterbox.restore
        return restore(cat - background, OUTSIDE), restore(dog - background, OUTSIDE)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8 at the photo's size: 0 background, 1 cat, 2 dog."""
        if self._resize == "nearest":
            background, cat, dog = self._logits
            return self._letterbox.restore_labels(self._classify(cat - background, dog - background)).copy()
        return self._classify(*self._margins)

    def _classify(self, cat: NDArray[np.float32], dog: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Class by pixel, uint8, from by how much cat and dog exceed background."""
        best = (dog > cat).view(np.uint8)
        best += 1
        best *= self._is_pet(cat, dog)  # twenty times faster than to pick pixels by this
        return best

    def _is_pet(self, cat: NDArray[np.float32], dog: NDArray[np.float32]) -> NDArray[np.bool_]:
        if self.threshold is None:
            return (cat > 0) | (dog > 0)
        # p >= t where the odds p / (1 - p) reach t / (1 - t), and the odds are exp(cat) + exp(dog).
        with np.errstate(over="ignore"):  # so sure that it is infinite is above any threshold
            return np.asarray(np.exp(cat) + np.exp(dog) >= self.threshold / (1 - self.threshold))

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """(3, H, W) float32: background, cat, dog; they sum to 1 at each pixel."""
        cat, dog = self._margins
        highest = np.maximum(np.maximum(cat, dog), 0)
        result: NDArray[np.float32] = np.stack([-highest, cat - highest, dog - highest])
        np.exp(result, out=result)
        result /= result.sum(0)
        return result

    @property
    def alpha(self) -> NDArray[np.float32]:
        """(H, W) float32: the probability of any pet."""
        return cast("NDArray[np.float32]", np.float32(1) - self.probabilities[0])

    @cached_property
    def label(self) -> str:
        """The class that covers most of the pet area: "cat" or "dog", "background" without any."""
        return CLASSES[species_of(self.mask)]

    @cached_property
    def scores(self) -> dict[str, float]:
        """Class -> its mean probability over the pet area, over the whole photo if there is none."""
        area = self.mask != 0
        planes = self.probabilities[:, area] if area.any() else self.probabilities.reshape(3, -1)
        means = planes.mean(1, dtype=np.float64).tolist()
        return dict(zip(CLASSES, means, strict=True))

    @property
    def score(self) -> float:
        """Mean probability of `label` over the pet area (of the background: over the whole photo), 0..1."""
        return self.scores[self.label]

    def overlay(self, opacity: float = 0.5, colors: Mapping[str, Color] = COLORS) -> Image.Image:
        """The photo with its pets tinted, as an RGB image.

        Args:
            opacity: of the tint, 0..1.
            colors: class -> RGB 0..255, for those that shall differ from `COLORS`.

        Raises:
            OutputError: an opacity outside 0..1, an unknown class, or something that is no colour.
        """
        if not 0 <= opacity <= 1:
            raise OutputError(f"opacity is {opacity!r}; give a number from 0 to 1")
        tint = Image.fromarray(_palette(colors)[self.mask])
        strength = np.where(self.mask != 0, np.uint8(round(255 * opacity)), np.uint8(0))
        return Image.composite(tint, Image.fromarray(self.photo), Image.fromarray(strength))

    def cutout(self) -> Image.Image:
        """The pets on a transparent ground, as an RGBA image with a soft edge.

        Opacity follows the probability of a pet, stretched so that up to 1/4 is clear and from 3/4 on
        is solid: a network that is only fairly sure shall leave no ghosts and no holes. A threshold t moves
        the middle of that from 1/2 to t, by dividing the odds of a pet by those of t.
        """
        alpha = self.alpha
        if self.threshold is not None:
            pet = alpha * np.float32(1 - self.threshold)
            other = (1 - alpha) * np.float32(self.threshold)
            np.divide(pet, pet + other, out=alpha)
        opacity = np.clip(alpha * 2 - 0.5, 0, 1)
        return Image.fromarray(np.dstack([self.photo, (opacity * 255 + 0.5).astype(np.uint8)]))

    def polygons(self, tolerance: float = 1.0) -> list[dict[str, Any]]:
        """The outlines of the mask's regions, largest first.

        Args:
            tolerance: how far, in pixels, an outline may stray; 0 is exact.

        Returns:
            One for each region: {"label": "cat", "score": mean probability of that class in it,
            "exterior": [[x, y], ...], "holes": [[[x, y], ...], ...]}. Vertices are corners of pixels: (0, 0)
            is the upper left corner of the photo, (width, height) the lower right.

        Raises:
            OutputError: a negative or infinite tolerance.
        """
        if not (tolerance >= 0 and math.isfinite(tolerance)):
            raise OutputError(f"tolerance is {tolerance!r}; give a number of pixels, 0 or more")
        numbers = polygons.regions(self.mask)
        outlines = polygons.trace(numbers, tolerance)
        inside = numbers != 0
        region, kind = numbers[inside] - 1, self.mask[inside]
        pixels = np.bincount(region, minlength=len(outlines))
        # Each pixel has the probability of its own class to say for its region.
        says = np.take_along_axis(self.probabilities[:, inside], kind[None].astype(np.intp), 0)[0]
        scores = np.bincount(region, says, minlength=len(outlines)) / pixels
        classes = np.zeros(len(outlines), np.intp)
        classes[region] = kind
        return [
            {
                "label": CLASSES[classes[i]],
                "score": float(scores[i]),
                "exterior": outlines[i].exterior.tolist(),
                "holes": [hole.tolist() for hole in outlines[i].holes],
            }
            for i in np.argsort(-pixels, kind="stable").tolist()
        ]

    def save(self, path: str | os.PathLike[str], kind: Kind | None = None, *, opacity: float = 0.5) -> None:
        """Write the result to a file, whole or not at all.

        Args:
            path: where to; folders are made, a file that is there is replaced.
            kind: "mask" (PNG with values 0, 1, 2 and a palette), "cutout", "overlay" or "json" (label,
                score, scores, size, model, threshold, polygons). By default .png is the mask and .json
                the JSON.
            opacity: of an overlay, 0..1.

        Raises:
            OutputError: the extension cannot hold it, or the file cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if kind is None:
            kind = "mask" if suffix == ".png" else "json"
            if suffix not in (".png", ".json"):
                raise OutputError(
                    f"{path} ends in {suffix!r}; give .png for the mask, .json, or say which kind"
                )
        if kind not in get_args(Kind):
            raise OutputError(f"kind {kind!r} is unknown; give one of {', '.join(get_args(Kind))}")
        if suffix not in _SUFFIXES[kind]:
            raise OutputError(f"{path} cannot hold a {kind}; use {' or '.join(_SUFFIXES[kind])}")
        if kind == "json":
            _write(path, json.dumps(self._document(), allow_nan=False).encode())
            return
        if kind == "overlay":
            image = self.overlay(opacity)
        else:
            image = self.cutout() if kind == "cutout" else self._mask_image()
        _write(path, _encode(image, suffix))

    def _mask_image(self) -> Image.Image:
        image = Image.fromarray(self.mask)
        image.putpalette(_palette(COLORS).tobytes())  # L becomes P: same values, shown in colour
        return image

    def _document(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "score": self.score,
            "scores": self.scores,
            "size": list(self.size),
            "model": self.model,
            "threshold": self.threshold,
            "polygons": self.polygons(),
        }


def check_resize(resize: str) -> None:
    """Raise `OutputError` unless it is one of the two ways."""
    if resize not in get_args(Resize):
        raise OutputError(f"resize {resize!r} is unknown; give 'smooth' or 'nearest'")


def _palette(colors: Mapping[str, Color]) -> NDArray[np.uint8]:
    """(3, 3) uint8 RGB by class."""
    if unknown := set(colors) - set(CLASSES):
        raise OutputError(f"colors has {sorted(unknown)}; the classes are {', '.join(CLASSES)}")
    chosen = COLORS | dict(colors)
    try:
        values = np.array([chosen[name] for name in CLASSES], np.int64)
        if values.shape != (3, 3) or values.min() < 0 or values.max() > 255:
            raise ValueError("not three numbers of 0..255")
    except (TypeError, ValueError) as error:
        raise OutputError(
            f"colors {dict(colors)} are no colours ({error}); give (red, green, blue)"
        ) from error
    return values.astype(np.uint8)


def _encode(image: Image.Image, suffix: str) -> bytes:
    buffer, (file_format, options) = io.BytesIO(), _FORMATS[suffix]
    try:
        # Nothing else goes along (EXIF, say): the image is made from bare arrays.
        image.save(buffer, file_format, **options)
    except (OSError, KeyError, ValueError) as error:
        raise OutputError(f"the image cannot be written as {suffix} ({error}); use .png") from error
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Write beside the target, then move over it: a reader never sees half a file."""
    try:
        path = Path(os.path.realpath(path))  # a link keeps pointing at what is written
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is there and no regular file; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".petseg-{secrets.token_hex(6)}.tmp")
        try:
            with draft.open("xb") as file:
                file.write(data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} cannot be written ({reason}); choose another place") from error
