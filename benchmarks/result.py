"""One result of one photo in a process of its own, for `benchmarks.large`: its time, and the most memory."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import petseg
from petseg.annotations import WRITERS
from petseg.measure.bench import peak_memory
from petseg.pixels import saving
from petseg.rendered import Rendered

CLICK, PET, COMMAND = "click-", "pet-", "command"
"""Before the kind of a result: of the animal in the middle that was clicked on, and of the largest animal
alone; and all kinds at once, from the command line."""

_GROUNDS = {"on-blur": "blur", "on-grey": "grey"}
_OF_ALL = (*saving.SUFFIXES, *_GROUNDS)
KINDS = (
    *_OF_ALL,
    *(PET + kind for kind in _OF_ALL),
    *(CLICK + kind for kind in ("cutout", "overlay", "json", PET + "cutout")),
    *WRITERS,
    COMMAND,
    f"{COMMAND} --each",
)
"""Results that can be asked for."""


def make(photo: Path, kind: str, folder: Path) -> dict[str, float]:
    """Write a result into an empty folder; seconds, and those of the processor, from the answer on."""
    if kind.startswith(COMMAND):
        started, worked = time.perf_counter(), time.process_time()
        _command(photo, folder, kind.split()[1:])
        return _since(started, worked)
    if kind.startswith(CLICK):
        result = petseg.Segmenter("prompt", threads=2).segment(photo, _middle(photo))
    else:
        result = petseg.segment(photo, threads=2)
    started, worked = time.perf_counter(), time.process_time()
    if kind in WRITERS:
        with WRITERS[kind](folder / WRITERS[kind].file if kind != "yolo" else folder) as writer:
            writer.add(result)
        return _since(started, worked)
    name = kind.removeprefix(CLICK)
    shown: Rendered = result.pets[0] if name.startswith(PET) else result
    name = name.removeprefix(PET)
    chosen: Any = "on" if name in _GROUNDS else name
    target = folder / f"x{saving.SUFFIXES[chosen][0]}"
    shown.save(target, chosen, background=_GROUNDS.get(name, "white"))
    return _since(started, worked)


def _since(started: float, worked: float) -> dict[str, float]:
    return {"seconds": time.perf_counter() - started, "processor": time.process_time() - worked}


def _middle(photo: Path) -> tuple[float, float]:
    from PIL import Image

    with Image.open(photo) as image:
        return image.width / 2, image.height / 2


def _command(photo: Path, folder: Path, words: Sequence[str]) -> None:
    from petseg.cli import app

    kinds = ",".join((*saving.SUFFIXES, *WRITERS))
    app(["segment", str(photo), "-o", str(folder), "--save", kinds, "-q", *words], standalone_mode=False)


def main() -> None:
    """Print the figures of the photo and the kind in the arguments as JSON."""
    photo, kind = sys.argv[1:]
    with TemporaryDirectory(prefix="petseg-result-") as folder:
        figures: dict[str, Any] = make(Path(photo), kind, Path(folder))
        sizes = [path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()]
    print(json.dumps(figures | {"memory": peak_memory(), "files": len(sizes), "bytes": sum(sizes)}))


if __name__ == "__main__":
    main()
