"""Clicks where there is no pet: how often one is found all the same."""

import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from petseg.dialogue import NEAR
from petseg.measure.metrics import FALSE_ALARM, mean
from train.data.samples import Sample
from train.data.scenes import read_scene
from train.people.clicked import Clicked

DEFINITION = (
    "one wanted click a photo, at a seeded place where no animal is, any as likely; found: share of photos "
    f"in which anything is called pet, large: in which over {FALSE_ALARM:.0%} of the photo is; clear: number "
    f"of clicks over {NEAR:.0%} of the longer side away from every animal and its border, since a nearer one "
    "means that animal; clear_found: share of those that find any"
)


def click_on_nothing(clicked: Clicked, samples: Sequence[Sample], seed: int) -> dict[str, Any]:
    """Click once beside all animals of each photo.

    Args:
        clicked: who answers.
        samples: photos, with animals or without.
        seed: of the places; each photo draws its own, whatever else is measured.

    Returns:
        "photos", those of nothing but animals left out, "found", "large", "clear" and "clear_found", see
        `DEFINITION`.
    """
    shares, clear = [], []
    for sample in tqdm(samples, desc="click on nothing", unit="photo", mininterval=1):
        scene = read_scene(sample)
        beside = scene.instances == 0
        free = np.argwhere(beside)
        if len(free):
            away = cv2.distanceTransform(beside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            generator = np.random.default_rng([seed, zlib.crc32(sample.name.encode())])
            row, column = free[generator.integers(len(free))]
            clicked.start(scene.image)
            answer = clicked.click((float(column) + 0.5, float(row) + 0.5), True)
            shares.append(np.count_nonzero(answer) / answer.size)
            clear.append(away[row, column] > NEAR * max(away.shape))
    covered = np.array(shares)
    found = (covered > 0).astype(float)
    return {
        "photos": len(shares),
        "found": mean(found),
        "large": mean((covered > FALSE_ALARM).astype(float)),
        "clear": int(np.count_nonzero(clear)),
        "clear_found": mean(found[np.array(clear, bool)]),
    }
