"""The folder of the photos and the folder of the results: on a disk, or anywhere that fsspec reaches."""

import io
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from petseg.errors import ImageError, OutputError, PetsegError
from petseg.folders import ENDINGS, Photo, count_unread, find_photos, is_folder, is_photo, unread_suffix
from petseg.pixels import saving
from petseg.pixels.image import ImageInput
from petseg.pixels.saving import Kind

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"})
"""Protocols where a file appears whole or not at all; anywhere else it is written beside and renamed."""

_FREE = "give another output, or --force to replace it"
"""How messages end about a file that petseg did not write."""


class Folder:
    """A folder that fsspec reaches. Names of files are relative to it, with "/".

    Attributes:
        address: of the folder; a path is absolute.
        filesystem: of fsspec, which pyarrow reads from too.
        root: path of the folder within the file system.
    """

    def __init__(self, address: str, filesystem: Any, root: str) -> None:
        self.address = address
        self.filesystem = filesystem
        self.root = root.rstrip("/")
        protocol = filesystem.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self._writes_whole = bool(protocols & _OBJECT_STORES)

    def path(self, name: str) -> str:
        """The file's path within the file system."""
        return f"{self.root}/{name}"

    def photos(self, out: "Folder") -> tuple[list[str], list[PetsegError]]:
        """The images below this folder, the others counted aloud; see `petseg.folders.find_photos`.

        Args:
            out: the folder for the results, which is left out where it lies in this one.

        Returns:
            Their names, sorted, and what could not be looked at.
        """
        try:
            paths = self.filesystem.find(self.root)
        except Exception as error:  # every store has errors of its own
            raise ImageError(f"{self.address!r} cannot be listed ({_reason(error)})") from error
        skipped = f"{out.root}/" if out.filesystem == self.filesystem and out.root != self.root else None
        names = [
            path.removeprefix(f"{self.root}/")
            for path in paths
            if skipped is None or not path.startswith(skipped)
        ]
        shown = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
        count_unread(self.address, Counter(filter(None, map(unread_suffix, shown))))
        found = sorted(name for name in shown if is_photo(name.rpartition("/")[2]))
        if not found:
            return [], [ImageError(f"{self.address!r} holds no photos")]
        return found, []

    def fetch(self, name: str) -> ImageInput:
        """A photo, for `Segmenter.each`; one that cannot be fetched says so when it is read."""
        try:
            return bytes(self.filesystem.cat_file(self.path(name)))
        except Exception as error:
            return _Unreadable(ImageError(f"photo {self.address}/{name} cannot be read ({_reason(error)})"))

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        path, store = self.path(name), self.filesystem
        parent = path.rpartition("/")[0]
        draft = path if self._writes_whole else f"{parent}/.petseg-{secrets.token_hex(6)}.tmp"
        try:
            if not self._writes_whole:
                store.makedirs(parent, exist_ok=True)
            try:
                store.pipe_file(draft, data)
                if draft != path:
                    store.mv(draft, path)
            except BaseException:
                if draft != path:
                    with suppress(Exception):
                        store.rm_file(draft)
                raise
        except Exception as error:
            raise OutputError(f"{self.address}/{name} cannot be written ({_reason(error)})") from error

    def write_result(self, name: str, data: bytes, *, force: bool = False) -> None:
        """Write a result of a photo, as `write`, but never over a file that petseg did not write.

        In a store that is one more request for each file, of the kind that costs a tenth of writing it.

        Args:
            name, data: as for `write`.
            force: replace such files, too.

        Raises:
            OutputError: it cannot be written, or such a file is there.
        """
        if not force:
            self._check_free(name)
        self.write(name, data)

    def _check_free(self, name: str) -> None:
        try:
            head = bytes(self.filesystem.cat_file(self.path(name), start=0, end=saving.HEAD))
        except FileNotFoundError:
            return
        except Exception as error:
            try:
                head = b"?" * int(
                    self.filesystem.info(self.path(name))["size"]
                )  # some refuse parts of nothing
            except Exception:
                raise OutputError(f"{self.address}/{name} cannot be looked at ({_reason(error)})") from error
        if head and not saving.is_marked(head):
            raise OutputError(f"{self.address}/{name} is there and no result of petseg's; {_FREE}")

    def read(self, name: str) -> bytes | None:
        """A file's bytes, None if it is not there.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            return bytes(self.filesystem.cat_file(self.path(name)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise OutputError(f"{self.address}/{name} cannot be read ({_reason(error)})") from error

    def names(self, below: str) -> list[str]:
        """Names of the files right in a folder below, sorted; none if it is not there.

        Raises:
            OutputError: it cannot be listed.
        """
        try:
            # An earlier listing may be remembered, of before what was just written.
            self.filesystem.invalidate_cache()
            entries = self.filesystem.ls(self.path(below), detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise OutputError(f"{self.address}/{below} cannot be listed ({_reason(error)})") from error
        return sorted(str(entry).rstrip("/").rpartition("/")[2] for entry in entries)

    def remove(self, name: str) -> None:
        """Delete a file.

        Raises:
            OutputError: it cannot be deleted.
        """
        try:
            self.filesystem.rm_file(self.path(name))
        except Exception as error:
            raise OutputError(f"{self.address}/{name} cannot be deleted ({_reason(error)})") from error

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Nothing here: object stores have no locks that end with their owner."""
        yield


class LocalFolder(Folder):
    """A folder on a disk of this machine, or on one that its machines share."""

    def __init__(self, root: Path) -> None:
        from fsspec.implementations.local import LocalFileSystem

        self.folder = root.resolve()
        super().__init__(str(self.folder), LocalFileSystem(), self.folder.as_posix())

    def photos(self, out: Folder) -> tuple[list[str], list[PetsegError]]:
        """As `Folder.photos`; links to folders are not entered."""
        if not is_folder(self.folder):
            raise ImageError(
                f"{self.address!r} is no folder; give one, or an address such as s3://bucket/photos"
            )
        skipped = out.folder if isinstance(out, LocalFolder) else None
        found, faults = find_photos([self.folder], skipped)
        return [photo.path.relative_to(self.folder).as_posix() for photo in found], faults

    def fetch(self, name: str) -> ImageInput:
        """The photo's path."""
        return self.folder / name

    def write(self, name: str, data: bytes) -> None:
        """As `Folder.write`."""
        saving.write(self.folder / name, data)

    def _check_free(self, name: str) -> None:
        saving.check_free(self.folder / name, _FREE)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock that ends with this process, however that ends.

        Raises:
            OutputError: another process holds it, or the folder cannot be made.
        """
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(path, timeout=0).acquire()
        except Timeout as error:
            raise OutputError(
                f"another run is writing to {self.address!r}; wait for it, or give another output"
            ) from error
        except OSError as error:
            raise OutputError(f"{self.address!r} cannot be written to ({_reason(error)})") from error
        with held:
            yield


def open_folder(address: str) -> Folder:
    """A folder by its path, or by an address such as s3://bucket/photos.

    Credentials and endpoints are fsspec's matter: the environment, or its configuration files.

    Raises:
        PetsegError: fsspec does not know such addresses, or lacks the package for them.
    """
    if "://" not in address:
        return LocalFolder(Path(address))
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    try:
        filesystem, root = url_to_fs(address)
    except (ImportError, ValueError, OSError) as error:
        raise PetsegError(f"address {address!r} cannot be used ({_reason(error)})") from error
    if isinstance(filesystem, LocalFileSystem):
        return LocalFolder(Path(root))
    return Folder(address.rstrip("/"), filesystem, root)


def target_of(name: str, kind: Kind) -> str:
    """What a result of the photo `name` is called: "a/b.jpg" -> "a/b.jpg.mask.png".

    The photo's suffix stays, so that it is that photo's own whatever is put beside that one between two runs.
    """
    return Photo(Path(name), Path(name)).target(Path(), ENDINGS[kind]).as_posix()


class _Unreadable(io.BytesIO):
    """In the place of a photo: says why when it is read."""

    def __init__(self, error: ImageError) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        raise self._error


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
