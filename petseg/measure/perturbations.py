"""The eight perturbations of the robustness study and their ten levels.

Every perturbation maps an (H, W, 3) uint8 photo to one of the same shape and dtype; the arithmetic is on
0..255 pixels and clipped. Level 1 returns the photo unchanged. A seed makes the random ones repeatable.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Photo = NDArray[np.uint8]

LEVELS = 10


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind of damage.

    Attributes:
        title: what the study calls it.
        plain: the same for people who never heard of the study.
        unit: of the strengths.
        strengths: one for each level, level 1 first.
        apply: (photo, strength, generator) -> photo.
    """

    title: str
    plain: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[Photo, float, np.random.Generator], Photo]


def perturb(photo: Photo, kind: str, level: int, seed: int = 0) -> Photo:
    """Damage a photo.

    Args:
        photo: (H, W, 3) uint8.
        kind: a key of `PERTURBATIONS`.
        level: 1 (clean) to 10.
        seed: of the noise and of the occlusion's place.

    Raises:
        ValueError: unknown kind or level.

    Example:
        >>> import numpy as np
        >>> grey = np.full((1, 1, 3), 100, np.uint8)
        >>> perturb(grey, "brightness_up", 10).tolist()
        [[[145, 145, 145]]]
    """
    if kind not in PERTURBATIONS:
        raise ValueError(f"unknown perturbation {kind!r}; choose from {', '.join(PERTURBATIONS)}")
    if not 1 <= level <= LEVELS:
        raise ValueError(f"level must be 1 to {LEVELS}, got {level}")
    chosen = PERTURBATIONS[kind]
    if level == 1:
        return photo.copy()
    return chosen.apply(photo, chosen.strengths[level - 1], np.random.default_rng(seed))


def _clip(values: NDArray[np.float32]) -> Photo:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _gaussian_noise(photo: Photo, sigma: float, generator: np.random.Generator) -> Photo:
    noise = generator.standard_normal(photo.shape, np.float32)
    return _clip(photo + np.float32(sigma) * noise)


_KERNEL = ImageFilter.Kernel((3, 3), (1, 2, 1, 2, 4, 2, 1, 2, 1), scale=16)


def _gaussian_blur(photo: Photo, passes: float, _: np.random.Generator) -> Photo:
    # Pillow leaves the outermost pixels of a kernel filter as they are, so the photo is padded first.
    image = Image.fromarray(np.pad(photo, ((1, 1), (1, 1), (0, 0)), "edge"))
    for _pass in range(int(passes)):
        blurred = np.asarray(image.filter(_KERNEL))[1:-1, 1:-1]
        image = Image.fromarray(np.pad(blurred, ((1, 1), (1, 1), (0, 0)), "edge"))
    return np.asarray(image)[1:-1, 1:-1].copy()


def _scale(photo: Photo, factor: float, _: np.random.Generator) -> Photo:
    return _clip(photo * np.float32(factor))


def _shift(photo: Photo, offset: float, _: np.random.Generator) -> Photo:
    return _clip(photo + np.float32(offset))


def _occlusion(photo: Photo, side: float, generator: np.random.Generator) -> Photo:
    height, width = photo.shape[:2]
    top = int(generator.integers(0, max(1, height - int(side) + 1)))
    left = int(generator.integers(0, max(1, width - int(side) + 1)))
    result = photo.copy()
    result[top : top + int(side), left : left + int(side)] = 0
    return result


def _salt_and_pepper(photo: Photo, amount: float, generator: np.random.Generator) -> Photo:
    draw = generator.random(photo.shape[:2], np.float32)
    result = photo.copy()
    result[draw < amount / 2] = 0
    result[draw > 1 - amount / 2] = 255
    return result


PERTURBATIONS: dict[str, Perturbation] = {
    "gaussian_noise": Perturbation(
        "Gaussian noise", "Grain", "sigma", tuple(range(0, 20, 2)), _gaussian_noise
    ),
    "gaussian_blur": Perturbation(
        "Gaussian blur", "Blur", "passes of the 3x3 kernel", tuple(range(10)), _gaussian_blur
    ),
    "contrast_up": Perturbation(
        "Contrast up",
        "More contrast",
        "factor",
        (1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.1, 1.15, 1.2, 1.25),
        _scale,
    ),
    "contrast_down": Perturbation(
        "Contrast down",
        "Less contrast",
        "factor",
        (1.0, 0.95, 0.9, 0.85, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1),
        _scale,
    ),
    "brightness_up": Perturbation(
        "Brightness up", "Brighter", "added to pixels", tuple(range(0, 50, 5)), _shift
    ),
    "brightness_down": Perturbation(
        "Brightness down", "Darker", "added to pixels", tuple(-step for step in range(0, 50, 5)), _shift
    ),
    "occlusion": Perturbation(
        "Occlusion", "Black square", "side of the square, pixels", tuple(range(0, 50, 5)), _occlusion
    ),
    "salt_and_pepper": Perturbation(
        "Salt and pepper",
        "Speckles",
        "share of pixels",
        tuple(step * 2 / 100 for step in range(10)),
        _salt_and_pepper,
    ),
}
