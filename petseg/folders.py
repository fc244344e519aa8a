"""Which photos a command line means, and where their results go."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from petseg.errors import ImageError, ImageWarning, OutputError, PetsegError
from petseg.measure.datasets import IMAGE_SUFFIXES
from petseg.pixels import saving
from petseg.pixels.saving import Kind
from petseg.segmentation import Segmentation

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
    {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".jxl", ".svg", ".eps"}
)
"""Pictures that petseg does not read: raw ones of cameras, and others."""

_PICTURES = tuple(ending for kind, ending in ENDINGS.items() if kind != "json")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, and what its results are called.

    Attributes:
        path: the photo.
        name: of its results within the output folder, sub-folders included, less an entry of `ENDINGS`.
    """

    path: Path
    name: Path

    def target(self, out: Path, kind: Kind) -> Path:
        """The file for one kind of result below the folder `out`."""
        return out / self.name.parent / (self.name.name + ENDINGS[kind])


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
    Pictures that petseg never reads (`UNREAD`) are counted in an `ImageWarning`.

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
        found = list(_walk(path, out, faults, unread)) if folder else [path]
        if unread:
            counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(unread.items()))
            warnings.warn(
                f"folder {str(path)!r} holds pictures that petseg does not read: {counts}; save them as JPEG",
                ImageWarning,
                stacklevel=2,
            )
        for file in found:
            below = file.relative_to(path).parent if folder else Path()
            photos.setdefault(os.path.abspath(file), Photo(file, below / name_of(file)))  # noqa: PTH100 (resolve would follow links)
        if not found:
            looked_for = " ".join(sorted(IMAGE_SUFFIXES))
            faults.append(ImageError(f"folder {str(path)!r} holds no photos (looked for {looked_for})"))
    return list(photos.values()), faults


def _walk(root: Path, out: Path | None, faults: list[PetsegError], unread: Counter[str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        faults.append(ImageError(f"folder {error.filename!r} cannot be read ({error.strerror})"))

    skipped = None if out is None else _identity(out)
    for folder, folders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (skipped is None or _identity(here / name) != skipped)
        )
        for name in sorted(files):
            if is_photo(name):
                yield here / name
            elif (suffix := Path(name).suffix.lower()) in UNREAD and not name.startswith("."):
                unread[suffix] += 1


def is_photo(name: str) -> bool:
    """Whether a file in a folder counts, by its name."""
    lower = name.lower()
    return (
        Path(lower).suffix in IMAGE_SUFFIXES and not lower.startswith(".") and not lower.endswith(_PICTURES)
    )


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


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share: links of either kind, another case. None if nothing is there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


@dataclass(frozen=True, slots=True)
class Encoded:
    """A result, ready to be written.

    Attributes:
        label, score: see `Segmentation`.
        files: kind -> the bytes of its file.
    """

    label: str
    score: float
    files: dict[Kind, bytes]


class Saver:
    """Writes results, but never over a photo of this run, another result of it, or a file not petseg's."""

    def __init__(
        self,
        out: Path,
        kinds: Sequence[Kind],
        photos: Sequence[Photo],
        *,
        one_file: bool,
        opacity: float,
        force: bool = False,
    ) -> None:
        """Protect the photos, and make the folder.

        Args:
            out: folder for the results.
            kinds: what to save.
            photos: all photos of the run.
            one_file: `out` is the one result itself.
            opacity: of overlays, 0..1.
            force: replace files that petseg did not write, photos of this run excepted.

        Raises:
            OutputError: the folder cannot be made.
        """
        self._out, self._kinds, self._one_file, self._opacity = out, kinds, one_file, opacity
        self._force = force
        self._first: dict[Path, Photo] = {}
        for photo in photos:
            self._first.setdefault(photo.name, photo)
        self._taken = {
            identity: f"is the photo {str(photo.path)!r}"
            for photo in photos
            if (identity := _identity(photo.path))
        }
        if not one_file:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"folder {str(out)!r} cannot be made ({error.strerror})") from error

    @property
    def needs_photos(self) -> bool:
        """Whether some of what is saved shows the photo itself."""
        return not {"overlay", "cutout"}.isdisjoint(self._kinds)

    def encode(self, result: Segmentation) -> Encoded:
        """What is to be written of a result; may be asked from any thread.

        Raises:
            OutputError: a file called so cannot hold it.
            ImageError: the photo, which was not kept, can no more be read.
        """
        files: dict[Kind, bytes] = {}
        for kind in self._kinds:
            name = self._out if self._one_file else Path("photo" + ENDINGS[kind])
            files[kind] = result.encode(name, kind, opacity=self._opacity)
        return Encoded(result.label, result.score, files)

    def write(self, photo: Photo, encoded: Encoded) -> list[Path]:
        """Write every kind.

        Returns:
            The files.

        Raises:
            OutputError: one of them would overwrite a photo, another photo's result or a file that petseg
                did not write (then none is written), or cannot be written.
        """
        if (other := self._first[photo.name]) is not photo:
            raise OutputError(
                f"photo {str(photo.path)!r} would overwrite the results of {str(other.path)!r}; "
                "give it another output folder, or give one folder that holds both"
            )
        targets = {
            kind: self._out if self._one_file else photo.target(self._out, kind) for kind in encoded.files
        }
        for target in targets.values():
            if (identity := _identity(target)) in self._taken:
                raise OutputError(
                    f"{str(target)!r} {self._taken[identity]} and is not overwritten; choose another output"
                )
            if not self._force:
                saving.check_free(target)
        for kind, target in targets.items():
            saving.write(target, encoded.files[kind])
            if identity := _identity(target):
                self._taken[identity] = f"holds the result for {str(photo.path)!r}"
        return list(targets.values())
