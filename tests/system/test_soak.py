"""Weeks of work in minutes: nothing piles up in a process that segments photos, whatever they are."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

psutil = pytest.importorskip("psutil", reason="to watch a process: pip install psutil")

ROOT = Path(__file__).parents[2]
LONG_RUN = Path(__file__).with_name("long_run.py")
EVERY = 100
"""Photos between two readings, as in `long_run`."""
AROUND = 5
"""Readings before and after, whose median counts: one may fall into the work on a large photo."""
FIRST, GROWTH = 1000, 0.05
"""By how much memory may grow after so many photos."""
REFUSED = 3
"""Files that are no photos."""


def draw(folder: Path, sizes: list[tuple[int, int]]) -> None:
    """Write photos of these sizes, in turn as JPEG, PNG and WebP, and files that are none."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number, (width, height) in enumerate(sizes):
        coarse = chance.integers(0, 256, (8, 8, 3), np.uint8)
        photo = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        photo.save(folder / f"{number}.{('jpg', 'png', 'webp')[number % 3]}")
    whole = (folder / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no photo")
    (folder / "empty.png").touch()


def soak(folder: Path, count: int, *model: Path) -> dict[str, Any]:
    """See `long_run`."""
    words = [sys.executable, str(LONG_RUN), str(folder), str(count), *map(str, model)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.rpartition("SAID ")[2]))


def check(said: dict[str, Any], count: int, files: int) -> None:
    """Every photo was answered, and no descriptor stayed open."""
    assert len(said["memory"]) == count // EVERY
    assert abs(said["errors"] - count * REFUSED / files) < count * REFUSED / files / 2
    assert said["pets"] > 0
    before, after = said["descriptors"]
    assert after == before


def test_descriptors_are_given_back(model_path: Path, tmp_path: Path) -> None:
    sizes = [(30 + 20 * number, 400 - 20 * number) for number in range(12)]
    draw(tmp_path / "photos", sizes)
    count = 500  # of each file, in each way that it may be given, about ten
    check(soak(tmp_path / "photos", count, model_path), count, len(sizes) + REFUSED)


@pytest.mark.slow
def test_twenty_thousand_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = np.random.default_rng(1)
    sizes = [(int(width), int(height)) for width, height in chance.integers(40, 420, (50, 2))]
    sizes += [(1, 1), (3, 900), (900, 3), (1280, 960), (960, 1280), (2000, 1500), (4000, 3000)]
    draw(tmp_path / "photos", sizes)
    count = 20_000
    said = soak(tmp_path / "photos", count)
    middle = FIRST // EVERY
    first = statistics.median(said["memory"][middle - AROUND : middle + AROUND])
    last = statistics.median(said["memory"][-2 * AROUND :])
    with capsys.disabled():
        print(
            f"\n{count} photos: {first / 2**20:.0f} MiB after {FIRST}, {last / 2**20:.0f} MiB at the end "
            f"({last / first - 1:+.1%}); descriptors {said['descriptors']}; {said['errors']} refused"
        )
    check(said, count, len(sizes) + REFUSED)
    assert last / first - 1 < GROWTH
