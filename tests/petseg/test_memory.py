"""What a result takes of memory, beside the photo: numpy's arrays and bytes, a strip at a time.

`tracemalloc` counts them to the byte; Pillow's own images, of four bytes a pixel, it does not see.
"""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from petseg import pets
from petseg.pixels import decision, margins, opacity, pictures, polygons, saving, scaling
from petseg.rendered import Rendered
from petseg.segmentation import Segmentation
from tests.support.drawn_answers import CAT, DOG, answer

SIZE = 1200, 900
PIXELS = SIZE[0] * SIZE[1]


@pytest.fixture(autouse=True)
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small beside this photo as they are beside one of 100 megapixels."""
    for module in (decision, margins, pets, pictures, polygons, scaling):
        monkeypatch.setattr(module, "_STRIP", 1 << 15)
    monkeypatch.setattr(opacity, "_WIDE", 256)
    monkeypatch.setattr(opacity, "_REACH", 0.5)  # of a network of 32 pixels, each is 38 of the photo


def taken(work: Callable[[], object]) -> tuple[float, float]:
    """Bytes for each pixel of the photo that some work took at its most, and those that are kept."""
    gc.collect()
    tracemalloc.start()
    try:
        result = work()
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del result
    return most / PIXELS, kept / PIXELS


def test_animals_take_a_bit_for_a_pixel_of_their_boxes() -> None:
    result = answer(CAT, DOG, size=SIZE)
    assert result.mask.any()
    most, kept = taken(lambda: result.pets)
    assert len(result.pets) == 2
    assert kept < 0.25
    assert most < 3


@pytest.mark.parametrize("kind", [kind for kind in saving.SUFFIXES if kind != "sticker"])
@pytest.mark.parametrize("of", ["all", "one"])
def test_a_file_takes_no_further_planes(kind: saving.Kind, of: str, tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)  # makes files large
    result: Segmentation = answer(CAT, DOG, size=SIZE, photo=grain)
    shown: Rendered = result.pets[0] if of == "one" else result
    target = tmp_path / f"x{saving.SUFFIXES[kind][0]}"
    shown.save(target, kind)  # what is kept, is kept now
    most, _ = taken(lambda: shown.save(target, kind))
    # An animal's mask, and its plane of classes; of a mask Pillow's copy, too. Strips are 5 % of the photo.
    assert most < (2.6 if kind.startswith("mask") else 2.1)
