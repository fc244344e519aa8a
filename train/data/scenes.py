"""Photos with one mask for each animal: reading them, close-ups, and composites of two."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.measure.pair import Pair, read_labels
from petseg.pixels.classes import BORDER
from petseg.pixels.geometry import bounds
from train.data.samples import Sample

# Its threads gain nothing on patches as small as these, and there is a process for each core already.
cv2.setNumThreads(1)

PASTED_SIDE = (0.45, 1.25)
"""Range of a pasted animal's longer side, over that of the animal it is put beside."""
LARGE = 0.5
"""Share of the pixels of a donor's largest animal that others must have to be pasted too."""
VISIBLE = 0.5
"""Share of each animal that a pasted one must leave to be seen."""
CLOSEUP_SIDE = (1.3, 3.6)
"""Range of a close-up's side, over the longer side of its animal; its logarithm is uniform."""
AROUND_SIDE, AROUND_SHIFT = (1.0, 1.4), 0.05
"""Range of the side of what shows all animals, over that of their box; most of its shift, over itself."""
ANYWHERE_SIDE = (0.12, 1.2)
"""Range of a pasted animal's longer side, over the shorter side of a photo that it may be anywhere in."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo and its animals.

    Attributes:
        image: (H, W, 3) uint8.
        instances: (H, W) uint8, 0 background, 1..254 one number for each animal, 255 ignored.
        species: (256,) uint8, the class of each number; 0 for 0 and `BORDER` for 255.
    """

    image: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    species: NDArray[np.uint8]

    @property
    def numbers(self) -> NDArray[np.uint8]:
        """The animals that have pixels, ascending."""
        present = np.flatnonzero(np.bincount(self.instances.ravel(), minlength=256))
        numbers: NDArray[np.uint8] = present[(present != 0) & (present != BORDER)].astype(np.uint8)
        return numbers


def has_instances(sample: Sample) -> bool:
    """Whether instances/NAME.png lies beside the folder of the sample's mask."""
    return isinstance(sample, Pair) and not sample.trimap and _instance_file(sample).is_file()


def _instance_file(pair: Pair) -> Path:
    return pair.mask.parent.parent / "instances" / pair.mask.name


def read_scene(sample: Sample, side: int = 0) -> Scene:
    """Read a photo; without instance masks of its own, its class mask is one animal.

    Args:
        sample: what to read.
        side: the longer side is reduced to this; 0 keeps it.
    """
    image, classes = sample.read_image(), sample.read_mask()
    if has_instances(sample):
        instances = read_labels(_instance_file(sample))  # type: ignore[arg-type]
    else:
        instances = np.where((classes == 0) | (classes == BORDER), classes, np.uint8(1))
    for other in (classes, instances):
        if image.shape[:2] != other.shape:
            raise ValueError(f"{sample.name}: photo is {image.shape[:2]} but a mask {other.shape}")
    species = np.zeros(256, np.uint8)
    species[BORDER] = BORDER
    for number in np.unique(instances):
        if number not in (0, BORDER):
            counts = np.bincount(classes[instances == number], minlength=256)
            species[number] = 2 if counts[2] > counts[1] else 1
    scale = side / max(instances.shape)
    if 0 < scale < 1:
        height, width = (max(1, round(length * scale)) for length in instances.shape)
        size = (width, height)
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        instances = np.asarray(Image.fromarray(instances).resize(size, Image.Resampling.NEAREST))
    return Scene(image, instances, species)


def close_up(scene: Scene, generator: np.random.Generator) -> Scene:
    """The surroundings of a random animal; a scene without one stays as it is."""
    numbers = scene.numbers
    if not len(numbers):
        return scene
    x0, y0, x1, y1 = bounds(scene.instances == generator.choice(numbers))
    side = max(32.0, max(x1 - x0, y1 - y0) * np.exp(generator.uniform(*np.log(CLOSEUP_SIDE))))
    height, width = scene.instances.shape
    left, right = _window(x0, x1, side, width, generator)
    top, bottom = _window(y0, y1, side, height, generator)
    area = (slice(top, bottom), slice(left, right))
    return Scene(scene.image[area], scene.instances[area], scene.species)


def around_all(scene: Scene, generator: np.random.Generator) -> Scene:
    """The surroundings of all animals, with little around them; a scene without one stays as it is.

    What `petseg.engine.apart` looks at, a little more or less of it.
    """
    if not len(scene.numbers):
        return scene
    x0, y0, x1, y1 = bounds((scene.instances != 0) & (scene.instances != BORDER))
    side = max(x1 - x0, y1 - y0) * generator.uniform(*AROUND_SIDE)
    height, width = scene.instances.shape
    windows = []
    for start, end, limit in ((y0, y1, height), (x0, x1, width)):
        first = max(0, (start + end - side) / 2 + generator.uniform(-AROUND_SHIFT, AROUND_SHIFT) * side)
        windows.append(slice(int(first), min(limit, int(np.ceil(first + side)))))
    area = tuple(windows)
    return Scene(scene.image[area], scene.instances[area], scene.species)


def _window(start: int, end: int, side: float, limit: int, generator: np.random.Generator) -> tuple[int, int]:
    """A stretch of length `side` around start..end, at a random place, cut at 0 and `limit`."""
    first = generator.uniform(end - side, start)
    return max(0, int(first)), min(limit, int(np.ceil(first + side)))


def composite(scene: Scene, donor: Scene, generator: np.random.Generator, tries: int = 4) -> Scene:
    """Paste one of the donor's larger animals into the scene, beside or over a random animal of it.

    The photo is blended over a soft edge, the mask has a hard one, and pixels that the donor's mask leaves
    open are open afterwards. Where no try leaves enough of every animal, the scene stays as it is.
    """
    present, candidates = scene.numbers, donor.numbers
    free = np.setdiff1d(np.arange(1, BORDER), present)
    if not len(candidates) or not len(present) or not len(free):
        return scene
    counts = np.bincount(donor.instances.ravel(), minlength=256)[candidates]
    chosen = generator.choice(candidates[counts >= LARGE * counts.max()])
    x0, y0, x1, y1 = bounds(donor.instances == chosen)
    cut, labels = donor.image[y0:y1, x0:x1], donor.instances[y0:y1, x0:x1]
    layer = np.select([labels == chosen, labels == BORDER], [free[0], BORDER], 0).astype(np.uint8)
    if generator.random() < 0.5:
        cut, layer = cut[:, ::-1], layer[:, ::-1]
    species = scene.species.copy()
    species[free[0]] = donor.species[chosen]
    before = np.bincount(scene.instances.ravel(), minlength=256)
    for _ in range(tries):
        near = bounds(scene.instances == generator.choice(present))
        image, instances = _paste(scene, cut, layer, _place(near, cut.shape[1::-1], generator))
        after = np.bincount(instances.ravel(), minlength=256)
        if after[free[0]] and (after[present] >= VISIBLE * before[present]).all():
            return Scene(image, instances, species)
    return scene


def paste_anywhere(scene: Scene, donor: Scene, generator: np.random.Generator, tries: int = 4) -> Scene:
    """Paste the donor's animal anywhere into the scene, at any size, maybe cut off by the frame.

    Its longer side is between `ANYWHERE_SIDE` of the scene's shorter one; its logarithm is uniform. Where no
    try leaves enough of every animal, the scene stays as it is.

    Args:
        scene: with or without animals.
        donor: whose animal 1 is pasted.
        generator: what is drawn comes from it.
        tries: places that are tried.
    """
    free = np.setdiff1d(np.arange(1, BORDER), scene.numbers)[0]
    x0, y0, x1, y1 = bounds(donor.instances == 1)
    cut, labels = donor.image[y0:y1, x0:x1], donor.instances[y0:y1, x0:x1]
    layer = np.select([labels == 1, labels == BORDER], [free, BORDER], 0).astype(np.uint8)
    if generator.random() < 0.5:
        cut, layer = cut[:, ::-1], layer[:, ::-1]
    # As if under the light of another room.
    gain = generator.uniform(0.7, 1.3) * generator.uniform(0.93, 1.07, 3)
    cut = np.clip(cut * gain.astype(np.float32), 0, 255).astype(np.uint8)
    species = scene.species.copy()
    species[free] = donor.species[1]
    height, width = scene.instances.shape
    before = np.bincount(scene.instances.ravel(), minlength=256)
    present = scene.numbers
    for _ in range(tries):
        side = min(height, width) * np.exp(generator.uniform(*np.log(ANYWHERE_SIDE)))
        scale = side / max(labels.shape)
        wide, high = (max(4, round(length * scale)) for length in labels.shape[::-1])
        x, y = (generator.uniform(0, end) - length / 2 for end, length in ((width, wide), (height, high)))
        box = round(x), round(y), round(x) + wide, round(y) + high
        image, instances = _paste(scene, cut, layer, box)
        after = np.bincount(instances.ravel(), minlength=256)
        if after[free] and (after[present] >= VISIBLE * before[present]).all():
            return Scene(image, instances, species)
    return scene


def _place(
    near: tuple[int, int, int, int], size: tuple[int, int], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 for something of `size` (width, height), left or right of the box `near`."""
    x0, y0, x1, y1 = near
    scale = max(x1 - x0, y1 - y0) * generator.uniform(*PASTED_SIDE) / max(size)
    width, height = (max(4, round(side * scale)) for side in size)
    reach = ((x1 - x0) + width) / 2 * generator.uniform(0.5, 1.2)
    x = (x0 + x1) / 2 + generator.choice((-1, 1)) * reach - width / 2
    y = (y0 + y1) / 2 + (y1 - y0) * generator.uniform(-0.4, 0.4) - height / 2
    return round(x), round(y), round(x) + width, round(y) + height


def _paste(
    scene: Scene, cut: NDArray[np.uint8], layer: NDArray[np.uint8], box: tuple[int, int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The scene's image and instances with `cut` over them where `layer` is not 0, scaled to `box`."""
    x0, y0, x1, y1 = box
    size = (x1 - x0, y1 - y0)
    cut, layer = (
        np.asarray(cv2.resize(np.ascontiguousarray(plane), size, interpolation=how), np.uint8)
        for plane, how in ((cut, cv2.INTER_AREA), (layer, cv2.INTER_NEAREST))
    )
    solid = ((layer != 0) & (layer != BORDER)).astype(np.float32)
    alpha = cv2.GaussianBlur(solid, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)[..., None]
    height, width = scene.instances.shape
    top, bottom, left, right = max(0, y0), min(height, y1), max(0, x0), min(width, x1)
    image, instances = scene.image.copy(), scene.instances.copy()
    if top >= bottom or left >= right:
        return image, instances
    area = (slice(top, bottom), slice(left, right))
    part = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
    below, above = (pixels.astype(np.float32) for pixels in (image[area], cut[part]))
    image[area] = np.rint(below + alpha[part] * (above - below)).astype(np.uint8)
    instances[area] = np.where(layer[part] == 0, instances[area], layer[part])
    return image, instances
