"""Hostile files for everything that reads photos: `python -m tests.fuzz.corpus FOLDER`.

Names begin with what must become of the file: "good" (a mask), "bad" (an error), "any" (one of the two).
"""

import argparse
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from tests.fuzz import damage, samples, traps

CUT = (
    "baseline.jpg",
    "progressive.jpg",
    "mpo.jpg",
    "RGB.png",
    "animated.png",
    "animated.gif",
    "animated.webp",
)
"""Sound files that are cut and damaged; of TIFF, that of `CUT_TIFF`."""
CUT_TIFF = "tiff_lzw.tiff"
CUTS, FLIPS = 14, 8
"""How often each."""


def contents(seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every file with bytes of its own."""
    rng = np.random.default_rng(seed)
    sound = dict(samples.sound())
    for name, data in (*sound.items(), *samples.oriented(), *traps.metadata()):
        yield f"good-{name}", data
    for name, data in traps.bombs().items():
        yield f"bad-{name}", data
    for name, data in traps.oddities():
        yield f"any-{name}", data
    for name, data in traps.polyglots():
        yield name, data
    for name in (*CUT, CUT_TIFF):
        stem, _, suffix = name.rpartition(".")
        for at, left in damage.cuts(sound[name], CUTS):
            yield f"any-{stem}-cut-at-{at}.{suffix}", left
        for index, damaged in enumerate(damage.flips(sound[name], rng, FLIPS)):
            yield f"any-{stem}-flipped-{index}.{suffix}", damaged
    for wrong, name in (
        ("jpg", "RGB.png"),
        ("png", "baseline.jpg"),
        ("gif", "lossy.webp"),
        ("txt", "plain.gif"),
    ):
        yield f"good-named-as.{wrong}", sound[name]
    yield "bad-empty.jpg", b""
    yield "bad-one-byte.jpg", b"\xff"
    yield "bad-zeros.png", bytes(4096)
    for size in (2, 16, 500):
        yield f"bad-noise-{size}.jpg", rng.bytes(size)
    for width, height in ((0, 8), (8, 0), (0, 0)):
        yield f"bad-{width}x{height}.png", traps.png(width, height)


def _names(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Sound files whose names are the trouble."""
    for name in (
        "a space",
        "caf\u00e9 \U0001f431",
        "line\nbreak",
        "..dots..",
        "'quote\"",
        "-dash",
        "$(id)",
        "%s%n",
        "tab\t",
    ):
        yield f"good-{name}.png", data
    yield "good-" + "x" * 240 + ".png", data


def write(folder: Path, seed: int = 0) -> list[Path]:
    """Make the corpus.

    Args:
        folder: an empty one.
        seed: of the random damage.

    Returns:
        What to feed to petseg: files, links, pipes, devices, and paths that lead out and in again.
    """
    made: list[Path] = []
    sound = dict(samples.sound())["RGB.png"]
    for name, data in (*contents(seed), *_names(sound)):
        path = folder / name
        if path.exists():
            raise ValueError(f"two files are called {name!r}")
        path.write_bytes(data)
        made.append(path)
    return [*made, *_oddly_placed(folder, sound)]


def _oddly_placed(folder: Path, sound: bytes) -> Iterator[Path]:
    """What is no plain file with a plain path. What this machine does not allow is left out."""
    (folder / "inner").mkdir()
    target = folder / "inner" / "good.png"
    target.write_bytes(sound)
    yield folder / "inner" / ".." / "inner" / "good.png"
    links = {
        "good-link.png": target,
        "good-relative-link.png": Path("inner/../inner/good.png"),
        "bad-dangling.png": folder / "nowhere.png",
        "bad-loop.png": folder / "bad-loop.png",
        "bad-link-to-folder.png": folder / "inner",
        "bad-link-to-zeros.png": Path("/dev/zero"),
        "bad-link-to-nothing.png": Path("/dev/null"),
    }
    with suppress(OSError, NotImplementedError):
        for name, leads_to in links.items():
            (folder / name).symlink_to(leads_to)
            yield folder / name
        (folder / "bad-one.png").symlink_to(folder / "bad-other.png")
        (folder / "bad-other.png").symlink_to(folder / "bad-one.png")
        yield folder / "bad-one.png"
    (folder / "bad-folder.jpg").mkdir()
    yield folder / "bad-folder.jpg"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "bad-pipe.jpg")
        yield folder / "bad-pipe.jpg"
    if hasattr(socket, "AF_UNIX"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as listening:  # a path may be too long for one
            listening.bind(str(folder / "bad-socket.jpg"))
            yield folder / "bad-socket.jpg"
    for name, number in (("bad-null.jpg", 3), ("bad-zero.jpg", 5)):
        with suppress(OSError, AttributeError):
            os.mknod(folder / name, stat.S_IFCHR | 0o600, os.makedev(1, number))
            yield folder / name
    yield folder / "bad-missing.jpg"
    yield folder / ("bad-" + "y" * 300 + ".png")


def main() -> None:
    """Write the corpus into a folder, to be looked at or fed to something else."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.corpus", description=__doc__)
    parser.add_argument("folder", type=Path, help="to be made")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    print(f"{len(write(options.folder, options.seed))} files in {options.folder}")


if __name__ == "__main__":
    main()
