"""petseg.json: which files a published model has, and what they must hash to.

It lies beside the files, in the repository on the Hub as in the folder that is pushed there.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from petseg.errors import HubContentError, ModelError
from petseg.models import onnxfile, resources
from petseg.models.manifest import PARTS, Manifest

FILE = "petseg.json"
FORMAT = 1
"""Version of the document; a reader refuses newer ones, whose meaning it cannot know."""

SUFFIXES = (".onnx", ".json", ".safetensors")
"""All that is ever read of a repository: none of them can carry code."""

GRAPHS = (("model.onnx",), tuple(f"{part}.onnx" for part in PARTS))
"""The files of a model: one graph, or two for a promptable one."""

QUANTISED = ("model.int8.onnx",)
"""A model's int8 version, which a bundle may have besides."""

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z_+-]*(\.[0-9A-Za-z_+-]+)*")
"""Names and versions: what may become a git tag."""


@dataclass(frozen=True)
class Entry:
    """What a file must be: its SHA-256 in hex, and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Bundle:
    """A published model, as its petseg.json describes it.

    Attributes:
        name, version: of the model.
        files: path, relative to petseg.json and with "/" -> what the file must be.
        manifest: what the model says about itself.
    """

    name: str
    version: str
    files: dict[str, Entry]
    manifest: Manifest

    @classmethod
    def read(cls, path: Path, source: str, sha256: str | None = None) -> Self:
        """Read a petseg.json.

        Args:
            path: the file.
            source: how messages name the model.
            sha256: what the file must hash to; None takes any.

        Raises:
            HubContentError: damaged, made for a newer petseg, or it names files that petseg never reads.
            OSError: the file cannot be read.
        """
        data = path.read_bytes()
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise HubContentError(f"{source}: its {FILE} is not the one this petseg expects (wrong sha256)")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise HubContentError(f"{source} is no petseg model: its {FILE} is no JSON ({error})") from error
        return cls.from_document(document, source)

    @classmethod
    def from_document(cls, document: Any, source: str) -> Self:
        """The same from JSON that is parsed already."""
        version = document.get("format") if isinstance(document, Mapping) else None
        if not isinstance(version, int) or version < 1:
            raise HubContentError(f"{source} is no petseg model: its {FILE} names no format")
        if version > FORMAT:
            raise HubContentError(
                f"{source} has a {FILE} of format {version}, this petseg reads up to {FORMAT}; "
                "upgrade petseg: pip install --upgrade petseg"
            )
        name, release = document.get("name"), document.get("version")
        if not all(isinstance(text, str) and _WORD.fullmatch(text) for text in (name, release)):
            raise HubContentError(f"{source} is no petseg model: its {FILE} has no name or no version")
        try:
            manifest = Manifest.from_document(document.get("manifest"), source)
        except ModelError as error:
            raise HubContentError(str(error)) from error
        return cls(name, release, _read_files(document.get("files"), source), manifest)

    @property
    def graphs(self) -> tuple[str, ...]:
        """The files that make up the model, one of `GRAPHS`."""
        return next(graphs for graphs in GRAPHS if self.files.keys() >= set(graphs))

    @property
    def quantised(self) -> tuple[str, ...]:
        """The files of the int8 version, `QUANTISED` or none."""
        return QUANTISED if self.graphs == GRAPHS[0] and self.files.keys() >= set(QUANTISED) else ()

    def check(self, path: Path, name: str, source: str) -> None:
        """Hold a file against its entry.

        Raises:
            HubContentError: it has another hash, or is an ONNX file with data in other files.
            OSError: it cannot be read.
        """
        if digest(path) != self.files[name].sha256:
            raise HubContentError(f"{source}: {name} is not the file that was published (wrong sha256)")
        if name.endswith(".onnx") and _external(path, stamp(path)):
            raise HubContentError(f"{source}: {name} keeps weights in other files, which petseg never reads")


def _read_files(files: Any, source: str) -> dict[str, Entry]:
    """Path -> entry, each checked.

    Raises:
        HubContentError: a path leads elsewhere, a file is of a kind that is never read, or there is no model.
    """
    if not isinstance(files, Mapping) or not any(all(name in files for name in graphs) for graphs in GRAPHS):
        wanted = ", or ".join(" with ".join(graphs) for graphs in GRAPHS)
        raise HubContentError(f"{source} is no petseg model: its {FILE} does not list {wanted}")
    entries = {}
    for path, entry in files.items():
        if not _PATH.fullmatch(path) or path == FILE:
            raise HubContentError(f"{source}: its {FILE} lists {path!r}, which is no name petseg accepts")
        if not path.endswith(SUFFIXES):
            raise HubContentError(
                f"{source}: its {FILE} lists {path!r}; petseg reads only {', '.join(SUFFIXES)} from the Hub"
            )
        try:
            sha256, size = entry["sha256"], entry["bytes"]
            sound = _SHA256.fullmatch(sha256) and isinstance(size, int) and size >= 0
        except (TypeError, KeyError):
            sound = False
        if not sound:
            raise HubContentError(f"{source}: its {FILE} gives no sha256 and size for {path!r}")
        entries[path] = Entry(sha256, size)
    return entries


def describe(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """The petseg.json for a folder.

    Args:
        folder: with the files, named as in `GRAPHS`.
        document: what the model says about itself, the JSON document of the ONNX contract.

    Raises:
        HubContentError: the folder holds no model, or a name that petseg does not accept.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES and path.name != FILE]
    files = {
        path.relative_to(folder).as_posix(): {"sha256": digest(path), "bytes": path.stat().st_size}
        for path in paths
    }
    described = {
        "format": FORMAT,
        "name": document["name"],
        "version": document["version"],
        "files": files,
        "manifest": document,
    }
    Bundle.from_document(described, f"folder {str(folder)!r}")
    return described


def has_metrics(manifest: Manifest) -> bool:
    """Whether the model says how good it is: at least one figure."""
    return any(isinstance(v, int | float) and math.isfinite(v) for v in manifest.metrics.values())


def stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file does."""
    status = resources.status(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def digest(path: Path) -> str:
    """SHA-256 of a file in hex; computed once in this process as long as the file stays as it is."""
    return _digest(path.resolve(), stamp(path))


@lru_cache(maxsize=64)
def _digest(path: Path, stamp: tuple[int, int, int]) -> str:
    with resources.open_binary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _external(path: Path, stamp: tuple[int, int, int]) -> bool:
    try:
        return onnxfile.has_external_data(path.read_bytes())
    except ValueError:
        return False  # no ONNX file at all: ONNX Runtime says so when it is opened
