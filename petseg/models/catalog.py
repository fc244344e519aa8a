"""Which models there are, and where their weights lie.

The embedded ones lie in `petseg/weights/` beside an index (`petseg.models.index`); the others are
on the Hugging Face Hub, or in the cache of what came from there.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from petseg.errors import HubNotFoundError, ModelError, PromptError
from petseg.models import cache, fetch
from petseg.models.bundle import GRAPHS, QUANTISED, Bundle
from petseg.models.cache import Reference, Snapshot
from petseg.models.index import REINSTALL, Embedded, Index, Published, Weights
from petseg.models.manifest import Manifest
from petseg.models.resources import PACKAGE

WEIGHTS = PACKAGE / "weights"

_UNPUBLISHED = {"clip": "accelerate launch train/train.py --config train/configs/clip.toml"}
"""Models whose weights nobody has published yet -> the command that trains them, in a clone of petseg."""


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be asked for by name.

    Attributes:
        name: what `Segmenter` takes.
        status: "embedded" (part of the package, works offline), "cached" (came from the Hub, works
            offline) or "can be pulled" (is on the Hub).
        path: the ONNX file, or the folder of those of a model in two parts; of one that can be pulled,
            where it will be.
        bytes: what they weigh.
        prompts: what it takes besides the photo: none, or some of "point" and "box".
        parameters: number of weights.
        metrics: figures as `petseg.measure.metrics.Evaluation.report` gives them, in float32.
        description: one line for people.
        precisions: "float32", and "int8" where there are such weights; `bytes` counts both.
    """

    name: str
    status: str
    path: Path
    bytes: int
    prompts: tuple[str, ...]
    parameters: int
    metrics: dict[str, Any]
    description: str
    precisions: tuple[str, ...] = ("float32",)


@dataclass(frozen=True)
class ModelFile:
    """Where an ONNX file is, and what its bytes must hash to (None: as they are)."""

    path: Path
    sha256: str | None = None


class Files(NamedTuple):
    """A model's files: one, or encoder and decoder.

    Attributes:
        float32: the model itself.
        int8: the same, quantised; empty where there is no such version.
    """

    float32: tuple[ModelFile, ...]
    int8: tuple[ModelFile, ...] = ()


def list_models() -> list[ModelInfo]:
    """The models that can be asked for by name: embedded, the default first, and those of the Hub.

    Nobody is asked over the network: of the Hub's models, it knows those in the cache and those that this
    petseg was published with.

    Raises:
        ModelError: the index is damaged.
    """
    index, infos = Index.read(WEIGHTS), embedded_models()
    published = {name: entry for name, entry in index.published.items() if name not in index.models}
    for name, entry in sorted(published.items()):
        folder = cache.folder_of(_pinned(entry))
        infos.append(_hub_info(name, folder, Bundle.from_document(entry.bundle, f"model {name!r}")))
    known = {info.path for info in infos}
    infos += [
        _hub_info(str(reference), folder, listed)
        for reference, folder, listed in cache.listing()
        if folder not in known
    ]
    return infos


def embedded_models() -> list[ModelInfo]:
    """The models that are part of the package, the default first.

    Raises:
        ModelError: the index is damaged.
    """
    index = Index.read(WEIGHTS)
    names = sorted(index.models, key=lambda name: (name != index.default, name))
    return [_info(name, index.models[name]) for name in names]


def takers(kind: str) -> list[str]:
    """Names of the models that take prompts of a kind, "point" or "box", the default first."""
    return [info.name for info in embedded_models() if kind in info.prompts]


def check_takes(name: str, takes: Collection[str], kinds: Collection[str]) -> None:
    """Raise `PromptError` unless a model that takes prompts of some kinds can be asked with `kinds`."""
    if takes and not kinds:
        raise PromptError(f"model {name!r} answers for what is pointed at; give a {' or a '.join(takes)}")
    for kind in kinds:
        if kind not in takes:
            able = " or ".join(map(repr, takers(kind)))
            fix = f"use the model {able}" if able else "no installed model takes one"
            raise PromptError(f"model {name!r} takes no {kind}; leave it out, or {fix}")


def choose(kinds: Collection[str]) -> str | None:
    """The model for a call that names none.

    Args:
        kinds: what it gives besides the photo, some of "point" and "box".

    Returns:
        The default model where it takes those, else the first by name that does; None, which is the
        default model, where nothing is given.

    Raises:
        PromptError: no embedded model takes those.
        ModelError: the index is damaged.
    """
    models = embedded_models() if kinds else []
    able = [info.name for info in models if set(kinds) <= set(info.prompts)]
    if models and not able:
        raise PromptError(
            f"no installed model takes a {' and a '.join(kinds)}; leave it out, or give the path of a model "
            "that does"
        )
    return able[0] if able else None


def quantised() -> list[str]:
    """Names of the models that have int8 weights, the default first."""
    return [info.name for info in embedded_models() if "int8" in info.precisions]


def resolve(model: str | os.PathLike[str] | None = None) -> tuple[ModelFile, ...]:
    """Find a model's weights: `find(model).float32`, where this is said at more length."""
    return find(model).float32


def find(model: str | os.PathLike[str] | None = None) -> Files:
    """Find a model's weights.

    Args:
        model: the name of a model; ORG/NAME or ORG/NAME@REVISION on the Hub; or the path (ending in .onnx,
            with a path separator and not of that form, one that is there, or a PathLike) of an .onnx file
            or of a folder with model.onnx (and perhaps model.int8.onnx), or with encoder.onnx and
            decoder.onnx. None is the default model.

    Returns:
        The files. What comes from the Hub is verified, and pulled if need be.

    Raises:
        ModelError: there is no such model.
        HubError: it is to come from the Hub, and does not.
    """
    if isinstance(model, os.PathLike) or (isinstance(model, str) and _looks_like_path(model)):
        path = Path(os.fsdecode(model))
        if os.path.isdir(path):  # noqa: PTH112 (never raises; opening what is no folder says what it is)
            there = [name for name in QUANTISED if os.path.isfile(path / name)]  # noqa: PTH113
            whole, parts = (tuple(ModelFile(path / name) for name in graphs) for graphs in GRAPHS)
            if os.path.isfile(whole[0].path):  # noqa: PTH113
                return Files(whole, tuple(ModelFile(path / name) for name in there))
            return Files(parts)
        return Files((ModelFile(path),))
    if not isinstance(model, str | None):
        raise ModelError(f"model {model!r} is neither a name nor a path; give one of those")
    if model is not None and cache.is_reference(model):
        return _from_hub(model)
    index = Index.read(WEIGHTS)
    name = index.default if model is None else model
    if name in index.models:
        entry = index.models[name]
        return Files(_embedded(entry.float32), _embedded(entry.int8))
    if name in index.published:
        return _files_of(fetch.locate(_pinned(index.published[name])))
    if name is not None and (pulled := _pulled(name)) is not None:
        return _files_of(pulled)
    if name in _UNPUBLISHED:
        raise ModelError(
            f"there are no weights of model {name!r} here: it is not part of petseg, and none were published "
            f"with this version. If there are some by now, `petseg pull {name}` brings them; else train it "
            f"in a clone of petseg ({_UNPUBLISHED[name]}), export it (python -m export.export), and give "
            "the path of the .onnx file"
        )
    if not index.models:
        raise ModelError(
            f"{WEIGHTS} holds no weights: this is a checkout without them; {REINSTALL}, "
            "or give the path of a model"
        )
    raise ModelError(
        f"there is no model {name!r}; give one of {', '.join(sorted(index.models))}, the path of an .onnx "
        "file or of a model's folder, or ORG/NAME on the Hub"
    )


def reference(model: str, revision: str | None = None) -> Reference:
    """Where a model is on the Hub: what this petseg was published with, or what the name says.

    Args:
        model: NAME, ORG/NAME, or either with @REVISION.
        revision: branch, tag or commit; None is the newest, or the one this petseg was published with.

    Raises:
        HubNotFoundError: it is none of these.
        ModelError: the index is damaged.
    """
    published = Index.read(WEIGHTS).published
    return (
        _pinned(published[model])
        if model in published and revision is None
        else Reference.parse(model, revision)
    )


def _from_hub(model: str) -> Files:
    try:
        return _files_of(fetch.locate(Reference.parse(model)))
    except HubNotFoundError as error:
        raise HubNotFoundError(f"{error}; nor is there a file or folder {model!r}") from error


def _pulled(name: str) -> Snapshot | None:
    """What `petseg pull NAME` brought, if it did."""
    try:
        return cache.find(Reference.parse(name))
    except HubNotFoundError:
        return None


def _pinned(published: Published) -> Reference:
    return Reference(published.repo, published.revision, published.sha256)


def _embedded(weights: Weights | None) -> tuple[ModelFile, ...]:
    files = weights.files if weights else ()
    return tuple(ModelFile(WEIGHTS / file.path, file.sha256) for file in files)


def _files_of(snapshot: Snapshot) -> Files:
    folder, listed = snapshot.folder, snapshot.bundle

    def files(names: tuple[str, ...]) -> tuple[ModelFile, ...]:
        return tuple(ModelFile(folder / name, listed.files[name].sha256) for name in names)

    return Files(files(listed.graphs), files(listed.quantised))


def _looks_like_path(model: str) -> bool:
    if model.lower().endswith(".onnx") or (cache.is_reference(model) and os.path.lexists(model)):
        return True
    return any(separator in model for separator in ("/", os.sep)) and not cache.is_reference(model)


def _info(name: str, entry: Embedded) -> ModelInfo:
    manifest = Manifest.from_document(entry.float32.manifest, f"model {name!r}")
    path = WEIGHTS / entry.float32.files[0].path
    return ModelInfo(
        name=name,
        status="embedded",
        path=path if len(entry.float32.files) == 1 else path.parent,
        bytes=sum(file.bytes for file in entry.files),
        prompts=manifest.prompts,
        parameters=manifest.parameters,
        metrics=manifest.metrics,
        description=f"version {manifest.version}, {manifest.size} px, trained on {manifest.training_data}",
        precisions=("float32", "int8") if entry.int8 else ("float32",),
    )


def _hub_info(name: str, folder: Path, listed: Bundle) -> ModelInfo:
    names = *listed.graphs, *listed.quantised
    manifest, sizes = listed.manifest, {name: listed.files[name].bytes for name in names}
    here = all(os.path.isfile(folder / graph) for graph in sizes)  # noqa: PTH113 (never raises)
    return ModelInfo(
        name=name,
        status="cached" if here else "can be pulled",
        path=folder,
        bytes=sum(sizes.values()),
        prompts=manifest.prompts,
        parameters=manifest.parameters,
        metrics=manifest.metrics,
        description=f"version {listed.version}, {manifest.size} px, trained on {manifest.training_data}",
        precisions=("float32", "int8") if listed.quantised else ("float32",),
    )
