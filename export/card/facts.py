"""What a card and a table are made of: a person's words, the model's manifest, and what was measured."""

import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import onnx

from export.card.click_figures import click_figures, is_simulation
from export.errors import CardError, PublishError
from petseg.errors import ModelError
from petseg.measure import report_file
from petseg.models import bundle, catalog
from petseg.models.index import Embedded, File, Index, describe_file
from petseg.models.manifest import METADATA_KEY, Manifest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Facts:
    """What a card is made of.

    Attributes:
        name: of the model.
        words: model_cards/NAME.toml.
        manifest: what the model says about itself.
        files: path below petseg/weights -> sha256 and bytes.
        config: of the training run.
        measured: name of a JSON file without .json -> what it says; "metrics" is always there.
        figures: pictures beside them, by name.
        checkpoint: folder of a model that is not embedded, None of one that is.
        address: what people ask for it by.
    """

    name: str
    words: dict[str, Any]
    manifest: Manifest
    files: dict[str, File]
    config: dict[str, Any]
    measured: dict[str, dict[str, Any]]
    figures: tuple[str, ...]
    checkpoint: Path | None = None
    address: str = ""


def names(root: Path = ROOT) -> list[str]:
    """The models that must have a card: the embedded ones, and those whose text says they are unpublished."""
    unpublished = [
        path.stem for path in (root / "model_cards").glob("*.toml") if not words_of(path)["published"]
    ]
    return sorted({*index(root), *unpublished})


def gather(name: str, words: dict[str, Any], root: Path = ROOT) -> Facts:
    """Read what was measured; raises `CardError` if it is not there, or does not agree with the manifest."""
    entry = index(root).get(name)
    if entry is None:
        raise CardError(
            f"{name} is not in petseg/weights/index.json; embed it: python -m export.export --embed"
        )
    folder = root / "train" / "checkpoints" / name
    manifest = Manifest.from_document(entry.float32.manifest, f"model {name!r}")
    measured = _measured(name, manifest, folder)
    quantised = entry.int8.files if entry.int8 else ()
    proven = measured.get("int8", {}).get("files", {}).values()
    if any(file.sha256 not in proven for file in quantised):
        raise CardError(
            f"{folder / 'int8.json'} is missing, or not about the int8 weights; write it with: "
            f"python -m export.quantize {folder} --embed --json {folder / 'int8.json'}"
        )
    if not quantised:
        measured.pop("int8", None)  # of weights that are no more
    return Facts(
        name,
        words,
        manifest,
        {file.path: file for file in entry.files},
        _read(folder / "config.json"),
        measured,
        _pictures(folder),
        address=name,
    )


def gather_own(
    name: str, words: dict[str, Any], model: Path, checkpoint: Path, address: str = "ORG/NAME"
) -> Facts:
    """The same for a model that is not embedded.

    Args:
        name: of the model.
        words: what a person says of it.
        model: its .onnx file, or the folder of two.
        checkpoint: that it was exported from, with what was measured beside it.
        address: where it is published.

    Raises:
        CardError: something was not measured, or does not agree with the model.
        PublishError: it is no model of petseg.
    """
    found = catalog.find(model)
    manifest = Manifest.from_document(read_document(Path(found.float32[0].path)), f"model {str(model)!r}")
    targets = *bundle.GRAPHS[len(found.float32) - 1], *bundle.QUANTISED[: len(found.int8)]
    paths = (Path(file.path) for file in (*found.float32, *found.int8))
    files = {
        target: describe_file(target, path.read_bytes()) for target, path in zip(targets, paths, strict=True)
    }
    return Facts(
        name,
        words,
        manifest,
        files,
        _read(checkpoint / "config.json"),
        _measured(name, manifest, checkpoint),
        _pictures(checkpoint),
        checkpoint,
        address,
    )


def read_document(graph: Path) -> dict[str, Any]:
    """What a model says about itself, as a whole, in whichever of its graphs.

    Raises:
        PublishError: it is no petseg model.
    """
    properties = {entry.key: entry.value for entry in onnx.load(graph).metadata_props}
    if METADATA_KEY not in properties:
        raise PublishError(f"{graph} has no metadata of petseg; export it: python -m export.export")
    document = dict(json.loads(properties[METADATA_KEY]))
    document.pop("part", None)
    return document


def _pictures(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.glob("*.png")))


def _measured(name: str, manifest: Manifest, folder: Path) -> dict[str, dict[str, Any]]:
    """The measurements in a checkpoint's folder; `CardError` if the model carries other figures."""
    measured = {
        what: _one(_read(folder / f"{what}.json"), name, folder / f"{what}.json")
        for what in ("metrics", "parity", "int8", "robustness", "speed", "zeroshot")
        if what == "metrics" or (folder / f"{what}.json").is_file()
    }
    if (shared := folder.parent / "gpu.json").is_file():  # one run for all models
        run = _read(shared)
        if name in run["models"]:
            measured["gpu"] = run["models"][name] | {"card": run["card"]}
    figures = measured["metrics"]
    if is_simulation(figures):
        try:
            figures = click_figures(figures)
        except ValueError as error:
            raise CardError(f"{folder / 'metrics.json'}: {error}") from error
    for figure, value in manifest.metrics.items():
        said = figures.get(figure)
        if not isinstance(value, float) or math.isnan(value):
            continue  # a count, or nothing to measure it on
        if not (isinstance(said, float) and math.isclose(value, said)):
            raise CardError(
                f"{name}: {figure} is {value} in the model and {said} in {folder / 'metrics.json'}; "
                "export it again with --metrics"
            )
    return measured


def words_of(path: Path) -> dict[str, Any]:
    """What a person says of a model; raises `CardError` if that cannot be read."""
    defaults: dict[str, Any] = {"published": True, "limits": [], "failures": [], "train": []}
    try:
        words = defaults | tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(words.get(key), str) for key in ("title", "summary")):
        raise CardError(f"{path} needs a title and a summary")
    return words


def index(root: Path) -> dict[str, Embedded]:
    """Name -> entry of each embedded model; raises `CardError` if they cannot be read."""
    try:
        return Index.read(root / "petseg" / "weights").models
    except ModelError as error:
        raise CardError(str(error)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document = report_file.read(path)
    except FileNotFoundError as error:
        raise CardError(f"{path} is missing; measure first, model_cards/README.md says how") from error
    except (OSError, ValueError) as error:
        raise CardError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise CardError(f"{path} is no JSON object")
    return document


def _one(document: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    """The part of a report that is about one model, where it has one part for each."""
    if not all(isinstance(part, dict) for part in document.values()):
        return document
    parts = {PurePath(key).name: part for key, part in document.items()}
    if len(parts) == 1:
        return dict(next(iter(parts.values())))
    if name not in parts:
        raise CardError(f"{path} is about {', '.join(parts) or 'nothing'}, not about {name}")
    return dict(parts[name])


def folders(facts: Facts) -> list[str]:
    """Names of the folders that the photos came from."""
    sources = facts.config.get("data", {}).get("sources", [])
    return list(dict.fromkeys(PurePath(source["path"]).name for source in sources))
