"""Which models there are, and where their weights lie.

The embedded ones lie in `petseg/weights/` beside an `index.json` that the export step writes.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petseg.errors import ModelError
from petseg.manifest import Manifest

WEIGHTS = Path(__file__).parent / "weights"
_REINSTALL = "reinstall petseg: pip install --force-reinstall petseg"


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be asked for by name.

    Attributes:
        name: what `Segmenter` takes.
        status: "embedded": part of the package, works offline.
        path: the ONNX file.
        bytes: its size.
        prompts: what it takes besides the photo: none, or some of "point" and "box".
        parameters: number of weights.
        metrics: figures as `petseg.metrics.Evaluation.report` gives them.
        description: one line for people.
    """

    name: str
    status: str
    path: Path
    bytes: int
    prompts: tuple[str, ...]
    parameters: int
    metrics: dict[str, Any]
    description: str


@dataclass(frozen=True)
class Location:
    """Where a model's file is, and what its bytes must hash to (None: as they are)."""

    path: Path
    sha256: str | None = None


def list_models() -> list[ModelInfo]:
    """The models that can be asked for by name, the default first.

    Raises:
        ModelError: the index is damaged.
    """
    index = _read_index()
    names = sorted(index["models"], key=lambda name: (name != index["default"], name))
    return [_info(name, index["models"][name]) for name in names]


def resolve(model: str | os.PathLike[str] | None = None) -> Location:
    """Find a model's weights.

    Args:
        model: the name of an embedded model, or the path of an .onnx file (anything with a path
            separator, ending in .onnx, or a PathLike); None is the default model.

    Raises:
        ModelError: there is no such model.
    """
    if isinstance(model, os.PathLike) or (isinstance(model, str) and _looks_like_path(model)):
        return Location(Path(os.fsdecode(model)))
    if not isinstance(model, str | None):
        raise ModelError(f"model {model!r} is neither a name nor a path; give one of those")
    index = _read_index()
    if not index["models"]:
        raise ModelError(
            f"{WEIGHTS} holds no weights: this is a checkout without them; {_REINSTALL}, "
            "or give the path of an .onnx file"
        )
    name = index["default"] if model is None else model
    if name not in index["models"]:
        raise ModelError(
            f"there is no model {name!r}; give one of {', '.join(sorted(index['models']))}, "
            "or the path of an .onnx file"
        )
    entry = index["models"][name]
    return Location(WEIGHTS / entry["file"], entry["sha256"])


def _looks_like_path(model: str) -> bool:
    separators = {"/", os.sep}
    return model.lower().endswith(".onnx") or any(separator in model for separator in separators)


def _info(name: str, entry: dict[str, Any]) -> ModelInfo:
    manifest = Manifest.from_document(entry["manifest"], f"model {name!r}")
    return ModelInfo(
        name=name,
        status="embedded",
        path=WEIGHTS / entry["file"],
        bytes=entry["bytes"],
        prompts=manifest.prompts,
        parameters=manifest.parameters,
        metrics=manifest.metrics,
        description=f"version {manifest.version}, {manifest.size} px, trained on {manifest.training_data}",
    )


def _read_index() -> dict[str, Any]:
    """The index, checked for what this module reads; empty where there is none."""
    path = WEIGHTS / "index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"models": {}, "default": None}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); {_REINSTALL}") from error
    kinds = {"file": str, "sha256": str, "bytes": int, "manifest": dict}
    try:
        entries = index["models"].values()
        sound = all(isinstance(entry[key], kind) for entry in entries for key, kind in kinds.items())
        sound = sound and (index["default"] in index["models"] or not index["models"])
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise ModelError(f"{path} is damaged; {_REINSTALL}")
    return dict(index)
