"""What an exported model says about itself: the JSON document of the ONNX contract."""

import math
import tomllib
from pathlib import Path, PurePath
from typing import Any

from torch import nn

from export.card.click_figures import click_figures, is_simulation
from petseg.measure import report_file
from petseg.models.manifest import FORMAT, OTHER_CLASSES, Manifest
from petseg.pixels.classes import CLASSES
from petseg.pixels.decision import SURE
from petseg.pixels.geometry import FILL
from train.checkpoint import checkpoint_sha256
from train.config import Config
from train.models import parameter_count
from train.models.family import last_parts

_DATASETS = {
    "oxford-iiit-pet": "Oxford-IIIT Pet (subset)",
    "oxford-iiit-pet-unlabelled": "pseudo-masked Oxford-IIIT Pet photos",
    "no-pets": "photos without pets (ImageNet, BSDS500, clothes, COCO)",
    "pets-extra": "pets-extra (COCO, feral-cat scenes, StanfordExtra, DAVIS)",
}
"""Folder of a source -> what it holds."""


def describe(
    checkpoint: Path, model: nn.Module, config: Config, *, name: str, size: int, metrics: dict[str, Any]
) -> dict[str, Any]:
    """The document under the key "petseg", as `petseg.models.manifest` reads it.

    Args:
        checkpoint: the folder that `model` and `config` were loaded from.
        model: its class attribute `prompts` names what it takes besides the photo.
        config: of the training run.
        name: of the exported model.
        size: side S of the model's square.
        metrics: as `read_metrics` gives them.

    Raises:
        petseg.errors.ModelError: a field is not what petseg accepts, an empty name say.
    """
    document = {
        "format": FORMAT,
        "name": name,
        "version": petseg_version(),
        "classes": list(CLASSES if config.data.labels == "species" else OTHER_CLASSES),
        "size": size,
        "fit": "letterbox",
        "fill": FILL,
        "prompts": list(getattr(model, "prompts", ())),
        "training_data": training_data(config),
        "metrics": metrics,
        "checkpoint_sha256": checkpoint_sha256(checkpoint),
        "parameters": parameter_count(model),
    }
    if not config.doubt:
        document["doubt"] = False
    if config.sure != SURE:
        document["sure"] = config.sure
    if document["prompts"]:
        # Only a model that saw close-ups, or mirror images, in training makes sense of them.
        document["zoom"] = config.prompting.closeup > 0
        document["mirror"] = config.augment.flip > 0
        document["semantic"] = getattr(model, "semantic", False)
        document["apart"] = getattr(model, "apart", None) is not None
        if config.prompting.presence:
            document["presence"] = config.prompting.presence
    # With a trimap's classes it is a plain ONNX model for other programs, which petseg says.
    Manifest.from_document(document | {"classes": list(CLASSES)}, f"model {name!r}")
    return document


def petseg_version() -> str:
    """The version of this checkout; what is installed may be another one, or nothing."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def training_data(config: Config) -> str:
    """The sources in words, and what the run started from; a folder that is not known goes by its name."""
    paths = [*(source.path for source in config.data.sources), *config.reconstruction.photos]
    parts = list(dict.fromkeys(_DATASETS.get(name, name) for name in (PurePath(path).name for path in paths)))
    start = f"continued from {last_parts(config.start)}" if config.start else config.model.origin
    return ", ".join([*parts, start] if start else parts)


def read_metrics(path: Path, checkpoint: Path) -> dict[str, Any]:
    """The plain figures and the IoU of each class from what `python -m train.evaluate --json` wrote.

    Of simulated clicks (`--clicks`), the headline figures.

    Args:
        path: the JSON file, checkpoint folder -> report.
        checkpoint: whose report to take; a file with only one report needs no match.

    Raises:
        ValueError: not such a file, or it is about other checkpoints.
    """
    reports = report_file.read(path)
    if not isinstance(reports, dict) or not all(isinstance(report, dict) for report in reports.values()):
        raise ValueError(f"{path} holds no reports; write it with: python -m train.evaluate ... --json")
    by_folder = {Path(folder).resolve(): report for folder, report in reports.items()}
    report = by_folder.get(checkpoint.resolve())
    if report is None:
        if len(reports) != 1:
            raise ValueError(f"{path} reports on {', '.join(reports) or 'nothing'}, not on {checkpoint}")
        (report,) = reports.values()
    if is_simulation(report):
        return _finite(click_figures(report))
    return figures(report)


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """The plain figures and the IoU of each class from `petseg.measure.metrics.Evaluation.report`."""
    return _finite(report) | {"iou": _finite(report.get("iou", {}))}


def _finite(report: dict[str, Any]) -> dict[str, Any]:
    """The entries that are numbers, without the nan and infinity that JSON does not know."""
    return {
        key: value for key, value in report.items() if isinstance(value, int | float) and math.isfinite(value)
    }
