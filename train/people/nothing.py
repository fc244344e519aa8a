"""Clicks where there is no pet: how often one is found all the same."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from petseg.measure.metrics import FALSE_ALARM, mean
from train.data.samples import Sample
from train.data.scenes import read_scene
from train.people.clicked import Clicked

DEFINITION = (
    "one wanted click a photo, at a seeded place where no animal is, any as likely; found: share of photos "
    f"in which anything is called pet, large: in which over {FALSE_ALARM:.0%} of the photo is"
)


def click_on_nothing(clicked: Clicked, samples: Sequence[Sample], seed: int) -> dict[str, Any]:
    """Click once beside all animals of each photo.

    Args:
        clicked: who answers.
        samples: photos, with animals or without.
        seed: of the places; each photo draws its own, whatever else is measured.

    Returns:
        "photos", those of nothing but animals left out, and "found" and "large", see `DEFINITION`.
    """
    shares = []
    for sample in tqdm(samples, desc="click on nothing", unit="photo", mininterval=1):
        scene = read_scene(sample)
        free = np.argwhere(scene.instances == 0)
        if len(free):
            generator = np.random.default_rng([seed, zlib.crc32(sample.name.encode())])
            row, column = free[generator.integers(len(free))]
            clicked.start(scene.image)
            answer = clicked.click((float(column) + 0.5, float(row) + 0.5), True)
            shares.append(np.count_nonzero(answer) / answer.size)
    covered = np.array(shares)
    return {
        "photos": len(shares),
        "found": mean((covered > 0).astype(float)),
        "large": mean((covered > FALSE_ALARM).astype(float)),
    }
