"""What a further click costs beside the first one on the same photo: `python -m benchmarks.refine prompt`.

On scikit-image's cat, and on the same cat small in a larger photo, of which petseg takes close-ups.
Each round has a photo with grain of its own, of which nothing is known from the round before.
"""

import argparse
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray

from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.bench import environment, spread
from petseg.segmenter import Segmenter

FIRST, SECOND = (0.49, 0.5), (0.55, 0.83)
"""Clicks on the cat, in widths and heights of its photo: on the face, and further down."""
AROUND = 3
"""Width and height of the larger photo over those of the cat's in its middle."""
AIM = 1 / 3
"""A second click's time over the first one's, at most."""
WARM_UP = 3
"""Rounds before those that count."""


def photos(large: bool, rounds: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """So many photos, (H, W, 3) uint8, each with the two clicks (2, 2) in its pixels."""
    cat = skimage.data.chelsea()
    height, width = cat.shape[:2]
    edge = np.array([0, 0]) if large else np.array([width, height]) * (AROUND - 1) // 2
    plain = np.full((height + 2 * edge[1], width + 2 * edge[0], 3), 120, np.uint8)
    plain[edge[1] : edge[1] + height, edge[0] : edge[0] + width] = cat
    clicks = np.array([FIRST, SECOND]) * (width, height) + edge
    for seed in range(rounds):
        grain = np.random.default_rng(seed).normal(0, 3, plain.shape)
        yield np.clip(plain + grain, 0, 255).astype(np.uint8), clicks


def time_clicks(segmenter: Segmenter, large: bool, rounds: int) -> dict[str, Any]:
    """Milliseconds from a click to the mask, of the first one and of the second, and their ratio."""
    times = []
    for photo, (first, second) in list(photos(large, WARM_UP + rounds)):  # all drawn before the clock runs
        marks = [perf_counter()]
        answer = segmenter.segment(photo, first)
        _ = answer.mask
        marks.append(perf_counter())
        _ = segmenter.refine(answer, second).mask
        marks.append(perf_counter())
        times.append(np.diff(marks))
    firsts, seconds = (spread(column.tolist()) for column in np.transpose(times[WARM_UP:]))
    return {"first": firsts, "second": seconds, "ratio": seconds["median"] / firsts["median"]}


def main() -> int:
    """Measure as the command line says; 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refine", description=__doc__)
    parser.add_argument("model", nargs="?", default="prompt", help="any promptable model that petseg opens")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=50)
    options = report_file.parse(parser)
    try:
        segmenter = Segmenter(options.model, device=options.device, threads=options.threads)
        segmenter.check_takes(["point"])
        report = {
            name: time_clicks(segmenter, name == "large", options.rounds) for name in ("large", "small")
        }
    except (PetsegError, OSError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    for name, found in report.items():
        first, second = (found[key]["median"] for key in ("first", "second"))
        print(f"{name} animal: {first:.1f} ms, then {second:.1f} ms: {found['ratio']:.2f} (aim {AIM:.2f})")
    report_file.write(options.json, report | environment() | {"aim": AIM})
    return 0


if __name__ == "__main__":
    sys.exit(main())
