"""index.json: which models lie beside it, and which ones on the Hub this petseg was published with.

Nothing else reads or writes that file: the catalogue and the export commands do it through here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from petseg.errors import ModelError
from petseg.models import resources
from petseg.pixels import saving

FILE = "index.json"
REINSTALL = "reinstall petseg: pip install --force-reinstall petseg"


@dataclass(frozen=True)
class File:
    """An ONNX file: its path relative to the index, with "/", its SHA-256 in hex, and its size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Weights:
    """A model in one precision.

    Attributes:
        files: one, or encoder and decoder.
        manifest: what the model says about itself, the JSON document of the ONNX contract.
    """

    files: tuple[File, ...]
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Embedded:
    """A model that lies beside the index: itself, and its int8 version if there is one."""

    float32: Weights
    int8: Weights | None = None

    @property
    def files(self) -> tuple[File, ...]:
        """The files of both."""
        return self.float32.files + (self.int8.files if self.int8 else ())


@dataclass(frozen=True)
class Published:
    """A model on the Hub.

    Attributes:
        repo: ORG/NAME.
        revision: the full hash of a commit.
        sha256: what its petseg.json hashes to.
        bundle: that petseg.json, parsed.
    """

    repo: str
    revision: str
    sha256: str
    bundle: dict[str, Any]


@dataclass
class Index:
    """What an index.json says.

    Attributes:
        models: name -> what lies beside the index.
        default: the model for those who name none; None only where there are no models.
        published: name -> where that model is on the Hub.
    """

    models: dict[str, Embedded] = field(default_factory=dict)
    default: str | None = None
    published: dict[str, Published] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the index of a folder of weights; an empty one where there is none.

        Raises:
            ModelError: it cannot be read, or is damaged.
        """
        path = folder / FILE
        try:
            document = json.loads(resources.read_bytes(path))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{path} cannot be read ({error}); {REINSTALL}") from error
        try:
            models, published = document["models"], document.get("published", {})
            index = cls(
                {name: _embedded(entry) for name, entry in models.items()},
                document["default"],
                {name: _published(entry) for name, entry in published.items()},
            )
            sound = not models or index.default in models
        except (KeyError, TypeError, AttributeError):
            sound = False
        if not sound:
            raise ModelError(f"{path} is damaged; {REINSTALL}")
        return index

    def write(self, folder: Path) -> None:
        """Write the index into a folder of weights, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        models = {}
        for name, entry in sorted(self.models.items()):
            models[name] = asdict(entry.float32) | ({"int8": asdict(entry.int8)} if entry.int8 else {})
        document: dict[str, Any] = {"models": models, "default": self.default}
        if self.published:
            document["published"] = {name: asdict(entry) for name, entry in sorted(self.published.items())}
        saving.write_json(folder / FILE, document)

    def embed(self, name: str, weights: Weights) -> None:
        """List a model in the place of an earlier one and of the int8 version that was made of that.

        It becomes the default where there is none, or one that needs a prompt.
        """
        self.models[name] = Embedded(weights)
        if self.default is None or self.models[self.default].float32.manifest["prompts"]:
            self.default = name

    @property
    def weight(self) -> int:
        """Bytes of all embedded weights together."""
        return sum(file.bytes for entry in self.models.values() for file in entry.files)


def describe_file(path: str, data: bytes) -> File:
    """The entry of a file with these bytes."""
    return File(path, hashlib.sha256(data).hexdigest(), len(data))


# These raise `KeyError`, `TypeError` or `AttributeError` for what is damaged.


def _embedded(entry: Mapping[str, Any]) -> Embedded:
    return Embedded(_weights(entry), _weights(entry["int8"]) if "int8" in entry else None)


def _weights(entry: Mapping[str, Any]) -> Weights:
    files = [_values(file, path=str, sha256=str, bytes=int) for file in entry["files"]]
    if not files:
        raise TypeError("a model without files")
    return Weights(tuple(File(**file) for file in files), **_values(entry, manifest=dict))


def _published(entry: Mapping[str, Any]) -> Published:
    return Published(**_values(entry, repo=str, revision=str, sha256=str, bundle=dict))


def _values(entry: Mapping[str, Any], **kinds: type) -> dict[str, Any]:
    """What an entry says under these names, each of its kind."""
    if wrong := [name for name, kind in kinds.items() if not isinstance(entry[name], kind)]:
        raise TypeError(f"wrong: {wrong}")
    return {name: entry[name] for name in kinds}
