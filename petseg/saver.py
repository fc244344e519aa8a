"""What is saved of each photo of a run, and of all of them together."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any, Self

from petseg.annotations import WRITERS, Format, Writer
from petseg.errors import OutputError
from petseg.folders import ENDINGS, Photo
from petseg.pixels import saving
from petseg.pixels.grounds import Background
from petseg.pixels.saving import Kind
from petseg.rendered import Rendered
from petseg.segmentation import Segmentation

_MANY = 1 << 22
"""Bytes of a result above which it waits in a file: only those of large photos are so many."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to save.

    Attributes:
        kinds: of each photo.
        formats: data sets of all photos.
        opacity: of overlays, 0..1.
        background: of what is saved as "on".
        crop: cutouts, and what is on a background, show the pets and hardly more.
        each: not the whole, but each animal by itself, largest first.
        tolerance: how far, in pixels, outlines in data sets may stray.
    """

    kinds: Sequence[Kind]
    formats: Sequence[Format] = ()
    opacity: float = 0.5
    background: Background = "white"
    crop: bool = False
    each: bool = False
    tolerance: float = 0.0

    @property
    def takes_photo(self) -> bool:
        """Whether the photo itself is looked at again: it is shown, or its animals are told apart."""
        return self.each or bool(self.formats) or not saving.SHOWS_PHOTO.isdisjoint(self.kinds)

    def needs_pet(self, kind: Kind) -> bool:
        """Whether there is nothing to save of this kind without a pet."""
        return kind in saving.NEEDS_PET or (self.crop and kind in ("cutout", "on"))

    def content(self, shown: Rendered, kind: Kind, path: Path | None = None) -> saving.Content:
        """What is to be written to a file; raises as `Rendered.content`."""
        return shown.content(path, kind, opacity=self.opacity, background=self.background, crop=self.crop)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A result, ready to be written.

    Attributes:
        label, score: see `Segmentation`.
        files: what the file's name ends in -> its bytes, in a temporary file where they are many.
        described: format of a data set -> what is to be written there.
    """

    label: str
    score: float
    files: dict[str, IO[bytes]]
    described: dict[Format, Any] = field(default_factory=dict)


class Saver:
    """Writes results, but never over a photo of this run, another result of it, or a file not petseg's.

    As a context, it ends its data sets: they are whole then, or not there.

    Attributes:
        wanted: what to save.
    """

    def __init__(
        self,
        out: Path,
        wanted: Wanted,
        photos: Sequence[Photo],
        *,
        one_file: bool = False,
        force: bool = False,
    ) -> None:
        """Protect the photos, and make the folder.

        Args:
            out: folder for the results.
            wanted: what to save.
            photos: all photos of the run.
            one_file: `out` is the one result itself.
            force: replace files that petseg did not write, photos of this run excepted.

        Raises:
            OutputError: the folder cannot be made.
        """
        self._out, self.wanted, self._one_file, self._force = out, wanted, one_file, force
        self._first: dict[Path, Photo] = {}
        for photo in photos:
            self._first.setdefault(photo.name, photo)
        self._taken = {
            found: f"is the photo {str(photo.path)!r}"
            for photo in photos
            if (found := saving.identity(photo.path))
        }
        if not one_file:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"folder {str(out)!r} cannot be made ({error.strerror})") from error
        self._sets = {format: self._writer(format) for format in wanted.formats}
        self._open: set[Path] = set()
        self._stack = ExitStack()

    def _writer(self, format: Format) -> Writer:
        writer = WRITERS[format]
        folder = self._out if format == "yolo" or self._one_file else self._out / writer.file
        return writer(folder, tolerance=self.wanted.tolerance, force=self._force)

    def __enter__(self) -> Self:
        """Begin the data sets.

        Raises:
            OutputError: they cannot be written, or are there and not petseg's.
        """
        with ExitStack() as stack:
            for writer in self._sets.values():
                self._check(writer.target)
                stack.enter_context(writer)
            self._stack = stack.pop_all()
        self._open = {path.resolve() for path in self.sets}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        self._stack.__exit__(kind, error, trace)

    @property
    def sets(self) -> list[Path]:
        """The files of the data sets."""
        return [writer.target for writer in self._sets.values()]

    def encode(self, result: Segmentation) -> Encoded:
        """What is to be written of a result; may be asked from any thread.

        What there is not without a pet is left out where there is none, unless it is all that was asked for.

        Raises:
            OutputError: a file called so cannot hold it, or needs a pet.
            ImageError: the photo, which was not kept, can no more be read.
        """
        wanted, files = self.wanted, dict[str, IO[bytes]]()
        bare = result.label == "background" and not self._one_file
        # First, since animals are told apart for it: the memory of pictures of a large photo stays taken.
        described = {format: writer.describe(result) for format, writer in self._sets.items()}
        for kind in wanted.kinds:
            if wanted.each:
                name = Path("x" + ENDINGS[kind])
                for number, pet in enumerate(result.pets, 1):
                    files[f".{number}{ENDINGS[kind]}"] = self._spooled(wanted.content(pet, kind, name))
            elif not (bare and wanted.needs_pet(kind)):
                name = self._out if self._one_file else Path("x" + ENDINGS[kind])
                files[ENDINGS[kind]] = self._spooled(wanted.content(result, kind, name))
        return Encoded(result.label, result.score, files, described)

    def _spooled(self, content: saving.Content) -> IO[bytes]:
        """Its bytes, which wait to be written: those of a few large photos would fill the memory."""
        folder = self._out.parent if self._one_file else self._out
        with saving.as_output_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
            file = SpooledTemporaryFile(_MANY, dir=str(folder))  # noqa: SIM115 (whoever writes it closes it)
        content.put(saving.into(file, folder))
        return file

    def write(self, photo: Photo, encoded: Encoded) -> list[Path]:
        """Write every file, and into the data sets.

        Returns:
            The files of this photo.

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
            ending: self._out if self._one_file else photo.target(self._out, ending)
            for ending in encoded.files
        }
        for target in targets.values():
            self._check(target)
        for ending, target in targets.items():
            with encoded.files[ending] as file:
                file.seek(0)
                saving.copy(file, target)
            if found := saving.identity(target):
                self._taken[found] = f"holds the result for {str(photo.path)!r}"
        for format, described in encoded.described.items():
            self._sets[format].put(described, (photo.name.parent / photo.path.name).as_posix())
        return list(targets.values())

    def _check(self, target: Path) -> None:
        """Raise `OutputError` where a file may not be written."""
        if self._open and target.resolve() in self._open:
            raise OutputError(
                f"{str(target)!r} will hold the data set; rename the photo, or save it elsewhere"
            )
        if (found := saving.identity(target)) in self._taken:
            raise OutputError(
                f"{str(target)!r} {self._taken[found]} and is not overwritten; choose another output"
            )
        if not self._force:
            saving.check_free(target)
