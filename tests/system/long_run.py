"""Photos, many thousand, through one process; `test_soak` runs this in a process of its own.

Arguments: folder with photos, how many to take, and a model if it shall not be the default one. Prints JSON:
"memory", the resident bytes after each `EVERY` photos; "descriptors", how many were open before, and after
what waited for the garbage collector is gone; "errors", how many photos were refused; "pets", how many pixels
were found.
"""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from petseg import PetsegError, Segmentation, Segmenter

EVERY = 100
"""Photos between two looks at the process."""


WAYS = (Path, str, Path.read_bytes)
"""How a photo may be given."""


def finish(result: Segmentation) -> int:
    """Ask for what people ask for; the number of pixels that are pet."""
    assert result.label in result.scores
    assert result.encode(Path("mask.png"))
    return int(np.count_nonzero(result.mask))


def main() -> None:
    """Choose photos by chance, and watch this process."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    files, chance, process = sorted(folder.iterdir()), np.random.default_rng(0), psutil.Process()
    chosen = chance.integers(0, (len(files), len(WAYS)), (count, 2))
    photos = (WAYS[way](files[number]) for number, way in chosen)
    segmenter = Segmenter(*sys.argv[3:], device="cpu")
    said: dict[str, Any] = {"memory": [], "descriptors": [process.num_fds()], "errors": 0, "pets": 0}
    results = segmenter.each(photos, finish, keep_photos=False, return_errors=True)
    for done, result in enumerate(results, 1):
        if isinstance(result, PetsegError):
            said["errors"] += 1
        else:
            said["pets"] += result
        if done % EVERY == 0:
            said["memory"].append(process.memory_info().rss)
    gc.collect()
    said["descriptors"].append(process.num_fds())
    print("SAID", json.dumps(said))


main()
