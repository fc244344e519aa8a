"""What a re-run gave, beside what was published: one document, ready for JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from petseg.measure import report_file
from train.config import Config, load_config
from train.loops.base import BEST
from train.report import published
from train.sections import StudyConfig
from train.studies.scale import ScaleConfig, changes

Kind = Literal["photos", "clicks", "oracle", "trimap"]
"""How a model is measured."""

TRAINED = "trained.json"
DIGITS = 4
CLASSES_IN = "iou_"
"""Begins the studies' figures of one class."""
CLICKED = "IoU of the clicked animal after one click"


def kind_of(config: Config) -> Kind:
    """How the model of a config is measured."""
    if config.data.labels == "trimap":
        return "trimap"
    if "true species" in config.model.needs:
        return "oracle"
    return "clicks" if "prompt" in config.model.needs else "photos"


def report_path(folder: Path, letter: str, what: str) -> Path:
    """Where the figures of a study's models lie that were measured together."""
    return folder / letter / f"{what}.json"


def gather(
    paths: Sequence[Path],
    scale: ScaleConfig,
    folder: Path,
    failures: Mapping[str, str],
    hours: Mapping[str, float],
) -> dict[str, Any]:
    """Everything about the models of these configs.

    Args:
        paths: of the configs.
        scale: that they were trained at.
        folder: of the re-run.
        failures: model -> why it could not be trained or measured.
        hours: model -> of training at full scale.

    Returns:
        "scale", its definition; "studies", letter -> title and so on; "models", file of the config -> its
        figures; "published", study D's curves of damage.
    """
    studies = published.studies()
    models = {path.stem: _model(path, scale, folder) for path in paths}
    for name, model in models.items():
        model |= {"failure": failures.get(name), "hours_at_full_scale": hours[name]}
    document: dict[str, Any] = _rounded(
        {
            "scale": scale.model_dump(exclude_none=True),
            "notes": studies.pop("notes"),
            "studies": studies,
            "models": models,
            "published": published.robustness(),
        }
    )
    return document


def _model(path: Path, scale: ScaleConfig, folder: Path) -> dict[str, Any]:
    config = load_config(path)
    study, run = config.study, folder / path.stem
    assert study is not None
    what = kind_of(config)
    measured = {kind: _measured(folder, study.letter, run, kind) for kind in (what, "robustness")}
    figures = measured[what]
    return {
        "study": study.letter,
        "measured_by": what,
        "trained": report_file.read(run / TRAINED) if (run / TRAINED).is_file() else None,
        "rows": rows(study, what, figures),
        "measured_on": study.measured,
        "figures": figures,
        "robustness": measured["robustness"],
        "differs": study.differs,
        "unstated": study.unstated,
        "scale": changes(path, scale),
    }


def rows(study: StudyConfig, what: Kind, figures: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A row for each published figure: "figure", "published", "ours" (None: not measured), "as"."""
    found = []
    for name, value in study.published.items():
        row = {"figure": name, "published": value, "ours": None, "as": name}
        if what == "clicks":
            row["as"] = CLICKED if name == "miou" else "not measured: whole photos without a click"
            if name == "miou" and figures:
                row["ours"] = figures["exact"]["iou"]["1"]
        elif figures:
            row["ours"] = (
                figures["iou"][name.removeprefix(CLASSES_IN)]
                if name.startswith(CLASSES_IN)
                else figures[name]
            )
        found.append(row)
    return found


def _measured(folder: Path, letter: str, run: Path, what: str) -> dict[str, Any] | None:
    """A model's own part of a report."""
    path = report_path(folder, letter, f"{what}-{run.name}" if what in ("oracle", "clicks") else what)
    document = report_file.read(path) if path.is_file() else {}
    report: dict[str, Any] | None = document.get(str(run / BEST))
    if report is None or what != "clicks":
        return _slim(report)
    (method,) = report["sets"]["single"]["methods"].values()
    return {"animals": report["sets"]["single"]["animals"]} | {
        key: method[key] for key in ("limit", "exact", "jittered", "box_iou") if key in method
    }


def _slim(report: dict[str, Any] | None) -> dict[str, Any] | None:
    """A report without what no page shows."""
    if report is None:
        return None
    left_out = ("comparison", "confusion_matrix", "worst", "kept", "kept_dice")
    slim = {
        key: {k: v for k, v in value.items() if k not in left_out} if isinstance(value, dict) else value
        for key, value in report.items()
        if not key.endswith(left_out)
    }
    if "comparison" in report:
        slim["auc"] = report["comparison"]["auc"]
        slim["hardest"] = [row["name"] for row in report["comparison"].get("worst", [])]
    if "trimap_worst" in report:
        slim["hardest"] = [row["name"] for row in report["trimap_worst"]]
    return slim


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
