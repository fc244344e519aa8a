"""The answer for one photo, and what one does with it."""

import io
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
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
        square: (S, S, 3) uint8: the photo as the model saw it.
        fill: grey around the photo in that square.
    """

    prompt: Prompt
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
    ) -> None:
        """Keep what the network said.

        Args:
            logits: (3, S, S) float32, background, cat, dog.
            letterbox: where the photo lies in the square of side S.
            photo: (H, W, 3) uint8 RGB, upright.
            model: name of the model.
            asked: what the network was asked, if it takes prompts.
            resize: how the mask gets its size: "smooth" resizes the logits before the best class is
                taken, "nearest" afterwards: cheaper, with edges as coarse as the model's pixels.

        Raises:
            OutputError: `resize` is neither.
        """
        check_resize(resize)
        self.size = letterbox.width, letterbox.height
        self.photo = photo
        self.model = model
        self.asked = asked
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

    @cached_property
    def _margins(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """By how much cat and dog exceed background, two (H, W) float32.

        The best class and the softmax depend on the logits' differences only, so two planes are resized
        instead of three.
        """
        background, cat, dog = self._logits
        return self._letterbox.restore(cat - background), self._letterbox.restore(dog - background)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8 at the photo's size: 0 background, 1 cat, 2 dog."""
        if self._resize == "nearest":
            return self._letterbox.restore_labels(self._logits.argmax(0).astype(np.uint8)).copy()
        cat, dog = self._margins
        best = (dog > cat).view(np.uint8)
        best += 1
        best *= (cat > 0) | (dog > 0)  # twenty times faster than to pick pixels by this
        return best

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
        is solid: a network that is only fairly sure shall leave no ghosts and no holes.
        """
        opacity = np.clip(self.alpha * 2 - 0.5, 0, 1)
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
                score, scores, size, model, polygons). By default .png is the mask and .json the JSON.
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
