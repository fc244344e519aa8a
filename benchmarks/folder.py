"""A folder, a photo of 12 megapixels, and a start from a standstill: `python -m benchmarks.folder`.

Photos are copies of scikit-image's cat with grain of their own, or with --data those of a folder.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
import psutil
import skimage.data
from PIL import Image

from petseg.errors import PetsegError
from petseg.folders import Photo, find_photos
from petseg.measure import report_file
from petseg.measure.bench import environment, in_seconds, spread
from petseg.measure.tables import aligned
from petseg.saver import Saver, Wanted
from petseg.segmenter import Segmenter

ORDINARY, LARGE = (500, 375), (4000, 3000)
"""Width and height of the photos in the folder, and of the large one."""
DISTINCT = 50
"""Photos in the folder that differ; the others are links to them."""
AIMS = {"photos per second": 60.0, "12 megapixels": 250.0, "cold start": 1.0, "growth": 0.05}
"""On two cores: at least so many; at most so many milliseconds, seconds, and share of memory from a tenth of
the folder to its end."""
COMMAND = [sys.executable, "-c", "from petseg.cli import main; main()", "segment"]


def draw(path: Path, size: tuple[int, int], seed: int) -> Path:
    """Write a JPEG of the cat with grain, which no other seed gives; returns `path`."""
    image = Image.fromarray(skimage.data.chelsea()).resize(size, Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed).normal(0, 5, (size[1], size[0], 1))
    Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def fill(folder: Path, count: int, data: Path | None) -> None:
    """Put so many photos into a folder; those of `data` again and again."""
    originals = folder.parent / "originals"
    originals.mkdir()
    if data is None:
        found = [draw(originals / f"{seed}.jpg", ORDINARY, seed) for seed in range(min(count, DISTINCT))]
    else:
        photos = [photo.path for photo in find_photos([data], None)[0]]
        if not photos:
            raise FileNotFoundError(f"{data} holds no photos")
        # Copies, since only files of one disk can be linked.
        found = [
            Path(shutil.copy(photo, originals / f"{number}{photo.suffix}"))
            for number, photo in enumerate(photos[:count])
        ]
    folder.mkdir()
    for number, photo in enumerate(islice(cycle(found), count)):
        os.link(photo, folder / f"{number:06}{photo.suffix}")


def tally(folder: Path) -> int:
    """How many files there are, 0 if there is no folder."""
    return len(os.listdir(folder)) if folder.is_dir() else 0  # noqa: PTH208 (paths are slow)


def segment_folder(folder: Path, out: Path, options: list[str]) -> dict[str, Any]:
    """Let the command line segment a folder, and watch its memory; the seconds are those of its process."""
    count, marks = tally(folder), []
    words = [*COMMAND, str(folder), "-o", str(out), "-q", *options]
    started = perf_counter()
    with subprocess.Popen(words) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                marks.append((tally(out), watched.memory_info().rss))
            except psutil.Error:
                break
            sleep(0.2)
    seconds = perf_counter() - started
    if process.returncode or tally(out) != count:
        raise ChildProcessError(f"{tally(out)} of {count} photos have masks")
    early = [rss for done, rss in marks if count / 20 <= done <= count / 5]
    late = [rss for done, rss in marks if done >= count * 0.8]
    figures: dict[str, Any] = {"photos": count, "seconds": seconds, "photos per second": count / seconds}
    if early and late:
        figures |= {"early": max(early), "late": max(late), "growth": max(late) / max(early) - 1}
    return figures


def time_large(photo: Path, out: Path, rounds: int, threads: int) -> dict[str, float]:
    """Milliseconds from a large JPEG to its full-size mask file, by what the command line does."""
    segmenter, target = Segmenter(device="cpu", threads=threads), Photo(photo, Path(photo.stem))

    def once() -> None:
        saver = Saver(out, Wanted(kinds=["mask"]), [target])
        for encoded in segmenter.each([photo], saver.encode, workers=1, keep_photos=False):
            if isinstance(encoded, PetsegError):
                raise encoded
            saver.write(target, encoded)

    for _ in range(3):
        once()
    with Image.open(out / f"{photo.stem}.mask.png") as mask:
        assert mask.size == LARGE
    return spread([in_seconds(once) for _ in range(rounds)])


def time_start(photo: Path, out: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of `petseg segment` on one ordinary photo, from the start of its process to its end."""
    words = [*COMMAND, str(photo), "-o", str(out), "-q"]
    return spread([in_seconds(lambda: subprocess.run(words, check=True)) for _ in range(rounds)])


def measure(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """All figures."""
    fill(root / "photos", options.photos, options.data)
    large = draw(root / "large.jpg", LARGE, 0)
    extra = ["--device", "cpu", "--threads", str(options.threads)]
    if options.workers:
        extra += ["--workers", str(options.workers)]
    one = next((root / "photos").iterdir())
    time_start(one, root / "warm", 1)  # so that the files are in the system's cache
    return {
        "cold start": time_start(one, root / "cold", options.rounds),
        "12 megapixels": time_large(large, root / "large", options.rounds, options.threads),
        "large file": large.stat().st_size,
        "folder": segment_folder(root / "photos", root / "masks", extra),
    }


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    folder, large, cold = report["folder"], report["12 megapixels"], report["cold start"]
    rate, size = folder["photos per second"], report["large file"] / 1e6
    rows = [
        (f"{folder['photos']} photos", f"{rate:.1f} per second", f"{AIMS['photos per second']:.0f}"),
        (
            f"JPEG of 12 megapixels, {size:.1f} MB, to mask file",
            _milliseconds(large),
            f"{AIMS['12 megapixels']:.0f}",
        ),
        ("petseg segment, one photo", _milliseconds(cold), f"{1000 * AIMS['cold start']:.0f}"),
    ]
    if "growth" in folder:
        early, late = (folder[key] / 2**20 for key in ("early", "late"))
        grown = f"{early:.0f} to {late:.0f} MiB ({folder['growth']:+.1%})"
        rows.append(("memory, early to late in the folder", grown, f"{AIMS['growth']:.0%}"))
    shown = aligned([(name, value, f"aim {aim}") for name, value, aim in rows], right=(1, 2))
    return f"{shown}\n{report['machine']}"


def _milliseconds(times: dict[str, float]) -> str:
    return f"{times['median']:.0f} ms (p95 {times['p95']:.0f})"


def main() -> int:
    """Measure as the command line says; 1 if something is missing or fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folder", description=__doc__)
    parser.add_argument("--photos", type=int, default=1000, help="in the folder; default: 1000")
    parser.add_argument("--data", type=Path, help="take real photos from this folder")
    parser.add_argument("--threads", type=int, default=0, help="of each network; default: petseg's choice")
    parser.add_argument("--workers", type=int, default=0, help="default: petseg's choice")
    parser.add_argument("--rounds", type=int, default=10, help="of the large photo and of the start")
    options = report_file.parse(parser)
    try:
        with tempfile.TemporaryDirectory(prefix="petseg-folder-") as name:
            report = measure(options, Path(name)) | environment() | {"aims": AIMS}
    except (PetsegError, OSError, subprocess.SubprocessError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(table(report))
    report_file.write(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
