"""Which photos a command line means, and what their results are called."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from petseg.errors import ImageError, ImageWarning, PetsegError
from petseg.measure.datasets import IMAGE_SUFFIXES
from petseg.pixels import saving
from petseg.pixels.saving import Kind

ENDINGS: dict[Kind, str] = {
    "mask": ".mask.png",
    "mask-gray": ".mask-gray.png",
    "cutout": ".cutout.png",
    "overlay": ".overlay.jpg",
    "on": ".on.jpg",
    "crop": ".crop.jpg",
    "sticker": ".sticker.png",
    "json": ".json",
}
"""Kind of result -> what its file name ends in."""

FILE_SUFFIXES = IMAGE_SUFFIXES | {".json"}
"""An output that ends so is meant to be a file, not a folder."""

UNREAD = frozenset(
    {".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".rwl", ".pef"}
    | {".srw", ".x3f", ".3fr", ".iiq", ".gpr", ".raw", ".dcr", ".kdc", ".erf", ".mef", ".mrw", ".mos"}
    | {".jxl", ".jxr", ".svg", ".eps", ".ai", ".xcf", ".psd", ".psb", ".exr", ".hdr"}
)
"""Pictures that petseg does not read: raw ones of cameras, and others."""

_RESULTS = tuple(ENDINGS[kind] for kind in ("mask", "mask-gray", "cutout", "overlay", "sticker"))
_PERHAPS = (ENDINGS["crop"], ENDINGS["on"])
"""Names that people give their own pictures too: they are results where petseg says so in the file."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, and what its results are called.

    Attributes:
        path: the photo.
        name: of its results within the output folder, sub-folders included, less an entry of `ENDINGS`.
    """

    path: Path
    name: Path

    def target(self, out: Path, ending: str) -> Path:
        """The file for a result below the folder `out` whose name ends so."""
        return out / self.name.parent / (self.name.name + ending)


def is_folder(path: Path) -> bool:
    """`path.is_dir()`, False where that may not be asked (before Python 3.14 it raises)."""
    try:
        return path.is_dir()
    except OSError:
        return False


def find_photos(given: Sequence[Path], out: Path | None) -> tuple[list[Photo], list[PetsegError]]:
    """The photos that are meant, each once, in the order given and sorted within folders.

    A file is always taken. Of a folder, the images in it and in its sub-folders are taken, except hidden
    ones, results of petseg (by their names) and everything in `out`; links to folders are not entered.
    Those, and pictures that petseg never reads (`UNREAD`), are counted in an `ImageWarning`.

    Results are named after the photo without its suffix. Where that would be ambiguous within the
    photo's folder (a.jpg beside a.png) the suffix stays, whichever of the two is asked for.

    Args:
        given: files and folders.
        out: the folder for the results, None if there is none.

    Returns:
        The photos, and what could not be taken: a folder without photos or one that cannot be read.
    """
    faults: list[PetsegError] = []
    photos: dict[str, Photo] = {}
    name_of = _namer()
    for path in given:
        folder = is_folder(path)
        unread: Counter[str] = Counter()
        links: list[Path] = []
        found = list(_walk(path, out, faults, unread, links)) if folder else [path]
        count_unread(str(path), unread)
        _count_links(path, links)
        for file in found:
            below = file.relative_to(path).parent if folder else Path()
            photos.setdefault(os.path.abspath(file), Photo(file, below / name_of(file)))  # noqa: PTH100 (resolve would follow links)
        if not found:
            looked_for = " ".join(sorted(IMAGE_SUFFIXES))
            faults.append(ImageError(f"folder {str(path)!r} holds no photos (looked for {looked_for})"))
    return list(photos.values()), faults


def count_unread(folder: str, suffixes: Mapping[str, int]) -> None:
    """Warn, with an `ImageWarning`, of pictures that are left out.

    Args:
        folder: where they are, or its address.
        suffixes: one of `UNREAD` -> how many end so.
    """
    if suffixes:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(suffixes.items()))
        warnings.warn(
            f"folder {folder!r} holds pictures that petseg does not read: {counts}; save them as JPEG",
            ImageWarning,
            stacklevel=3,
        )


def _count_links(folder: Path, links: Sequence[Path]) -> None:
    """Warn of links to folders: who entered them could meet photos twice, or go round for ever."""
    if links:
        warnings.warn(
            f"folder {str(folder)!r} holds links to folders, which are not entered: {len(links)} "
            f"({str(links[0])!r}, say); if there are photos behind them, give those folders as well",
            ImageWarning,
            stacklevel=3,
        )


def unread_suffix(name: str) -> str | None:
    """The suffix, in lower case, of a picture that petseg never reads (`UNREAD`); None of any other file."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in UNREAD and not name.startswith(".") else None


def _walk(
    root: Path, out: Path | None, faults: list[PetsegError], unread: Counter[str], links: list[Path]
) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        faults.append(ImageError(f"folder {error.filename!r} cannot be read ({error.strerror})"))

    skipped = None if out is None else saving.identity(out)
    for folder, folders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (skipped is None or saving.identity(here / name) != skipped)
        )
        links += [link for name in folders if (link := here / name).is_symlink()]
        for name in sorted(files):
            if is_photo(name):
                if not (name.lower().endswith(_PERHAPS) and saving.is_ours(here / name)):
                    yield here / name
            elif suffix := unread_suffix(name):
                unread[suffix] += 1


def is_photo(name: str) -> bool:
    """Whether a file in a folder counts, by its name."""
    lower = name.lower()
    if Path(lower).suffix not in IMAGE_SUFFIXES or lower.startswith(".") or lower.endswith(_RESULTS):
        return False
    # "a.jpg.crop.jpg" is a result of the photo "a.jpg", by a name that nobody else gives.
    rests = [lower.removesuffix(ending) for ending in _PERHAPS if lower.endswith(ending)]
    return not any(Path(rest).suffix in IMAGE_SUFFIXES for rest in rests)


def _namer() -> Callable[[Path], str]:
    """A function from a photo to the name of its results, unique among the photos of its folder."""

    @cache
    def neighbours(folder: Path) -> tuple[frozenset[str], Counter[str]]:
        try:
            names = [name.casefold() for name in os.listdir(folder) if is_photo(name)]  # noqa: PTH208 (paths are slow)
        except OSError:
            names = []
        return frozenset(names), Counter(Path(name).stem for name in names)

    def name_of(photo: Path) -> str:
        if photo.suffix.lower() not in IMAGE_SUFFIXES:
            return photo.name
        names, stems = neighbours(photo.parent)
        stem = photo.stem.casefold()
        # The second: "a.jpg.png" must leave "a.jpg" to "a.jpg" where that is beside it.
        return photo.name if stems[stem] > 1 or stem in names else photo.stem

    return name_of
