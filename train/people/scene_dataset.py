"""Augmented scenes for promptable models: what is drawn, from which photos, and how it is split."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from train.config import Config, PromptingConfig
from train.data.augment import build_augmentation, fitting, plain, to_tensors
from train.data.samples import Sample
from train.data.scenes import Scene, close_up, composite, has_instances, read_scene
from train.people.conversation import Asked, pack_sessions
from train.people.targets import held_out_sessions, open_sessions
from train.sections import AugmentConfig

Item = tuple[Tensor, Tensor, Tensor, Asked, str]
"""Photo (3, S, S) uint8, instances (S, S) uint8, species (256,) uint8 (see `Scene`), who asks what, name."""

CROWD = 4
"""Most animals that are pasted into one scene."""
TWIN, NEIGHBOUR = 0.25, 0.25
"""Shares of them that are an animal of the scene once more, the hardest to tell apart, and of another photo
of several; the rest come from photos of one, which have the best masks."""
CLOSE_UP = "close-up of "
"""Before the name of a validation photo that is cut to the surroundings of one animal."""
LESS_CLOSE = 0.5
"""How much rarer close-ups of photos of one animal are than of photos of several."""


class SceneCache:
    """Samples read once and kept, photos of several animals larger than the others.

    Args:
        samples: what to read; a sample that comes several times is kept once.
        side: longer side of photos with one animal, 0 for the native size.
        multi_side: the same for photos with instance masks.
    """

    def __init__(self, samples: Sequence[Sample], side: int, multi_side: int) -> None:
        unique = list({id(sample): sample for sample in samples}.values())
        self.multi = [sample for sample in samples if has_instances(sample)]
        several = {id(sample) for sample in self.multi}
        self.single = [sample for sample in samples if id(sample) not in several]
        with ThreadPoolExecutor() as pool:
            read = [
                pool.submit(partial(read_scene, s, multi_side if id(s) in several else side)) for s in unique
            ]
            self._scenes = {id(s): future.result() for s, future in zip(unique, read, strict=True)}

    @classmethod
    def of(cls, samples: Sequence[Sample], config: Config) -> Self:
        """Those samples, as large as a config keeps them."""
        return cls(samples, config.data.cache_side, config.prompting.multi_cache_side)

    def __getitem__(self, sample: Sample) -> Scene:
        return self._scenes[id(sample)]

    def keep(self, wanted: Callable[[Scene], bool]) -> int:
        """Leave out the samples of other scenes; returns how many those are.

        Raises:
            ValueError: none would be left.
        """
        before = len(self.single) + len(self.multi)
        self.single, self.multi = (
            [sample for sample in samples if wanted(self[sample])] for samples in (self.single, self.multi)
        )
        if not (left := len(self.single) + len(self.multi)):
            raise ValueError("no photo is left to train on")
        return before - left


def augmented(scene: Scene, transform: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """A scene's photo and instances as in `Item`; `transform` draws from torch's generator."""
    image, instances = transform(*to_tensors(scene.image, scene.instances))
    return plain(image), plain(instances)


class SceneDataset(Dataset[Item]):
    """Training items, as many as `prompting.photos`, drawn anew in each epoch.

    What is drawn depends only on (seed, epoch, index).

    Args:
        cache: the photos.
        size: S.
        prompting, augment: see `train.config`.
        seed: see above.
        boxes: whether people may give boxes.
        fit: options of `train.data.augment.fitting`.
    """

    def __init__(
        self,
        cache: SceneCache,
        size: int,
        prompting: PromptingConfig,
        augment: AugmentConfig,
        seed: int,
        *,
        boxes: bool = True,
        **fit: str,
    ) -> None:
        self.cache, self.prompting, self.seed, self.epoch = cache, prompting, seed, 0
        self._boxes = boxes
        self._transform = build_augmentation(augment, size, **fit)

    @classmethod
    def of(cls, cache: SceneCache, config: Config, *, boxes: bool = True) -> Self:
        """The items that a config asks for."""
        options, data = config.prompting, config.data
        return cls(cache, data.size, options, config.augment, config.seed, boxes=boxes, **data.fitting)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's scenes (Accelerate calls this)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.prompting.photos

    def __getitem__(self, index: int) -> Item:
        generator = np.random.default_rng([self.seed, self.epoch, index])
        scene, name = self.draw(generator)
        image, instances = self.augmented(scene, generator)
        options, species = self.prompting, scene.species
        people = options.prompts_per_photo
        sessions = open_sessions(
            instances.numpy(),
            species,
            generator,
            people,
            options.background,
            boxes=self._boxes,
            first=options.first,
            box=options.box,
            by_area=options.by_area,
        )
        asked = pack_sessions(sessions, people, options.rounds - 1, generator)
        return image, instances, torch.from_numpy(species), asked, name

    def augmented(self, scene: Scene, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A scene's photo and instances as in `Item`; what is changed is drawn from the generator."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**62)))
            return augmented(scene, self._transform)

    def draw(self, generator: np.random.Generator) -> tuple[Scene, str]:
        """A photo of one or several animals, perhaps a close-up, perhaps with more of them pasted in."""
        options, (single, multi) = self.prompting, (self.cache.single, self.cache.multi)
        several = bool(multi) and (not single or generator.random() < options.multi)
        samples = multi if several else single
        sample = samples[generator.integers(len(samples))]
        scene = self.cache[sample]
        if generator.random() < options.closeup * (1 if several else LESS_CLOSE):
            scene = close_up(scene, generator)
        for _ in range(CROWD):
            if not single or generator.random() >= options.composite:
                break
            kind = generator.random()
            others = multi if multi and kind < TWIN + NEIGHBOUR else single
            donor = scene if kind < TWIN else self.cache[others[generator.integers(len(others))]]
            scene = composite(scene, donor, generator)
        return scene, sample.name


class HeldOutScenes(Dataset[Item]):
    """Validation items: letterboxed photos, the same clicks, always the same.

    First all whole photos; then, of those with instance masks, as many close-ups as there are people: it is
    mostly close-ups that decide about a small animal.

    Args:
        cache: the photos.
        size: S.
        people: largest animals of a photo that are asked for: crowds shall not outvote the rest.
        corrections: clicks after the first one.
        fit: options of `train.data.augment.fitting`.
    """

    def __init__(self, cache: SceneCache, size: int, people: int, corrections: int, **fit: str) -> None:
        self.cache = cache
        self.samples = [*cache.single, *cache.multi]
        self.whole = len(self.samples)
        self.samples += cache.multi * people
        self._transform = fitting(size, **fit)
        self._people, self._corrections = people, corrections

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        scene, generator = self.cache[self.samples[index]], np.random.default_rng(index)
        name = self.samples[index].name
        if index >= self.whole:
            scene, name = close_up(scene, generator), CLOSE_UP + name
        image, instances = augmented(scene, self._transform)
        sessions = held_out_sessions(instances.numpy(), scene.species, generator, self._people)
        asked = pack_sessions(sessions, self._people, self._corrections, generator)
        return image, instances, torch.from_numpy(scene.species), asked, name
