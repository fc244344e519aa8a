"""What a folder must hold before it may be published on the Hub."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from petseg.errors import HubContentError, PetsegError
from petseg.models import bundle
from petseg.models.bundle import Bundle
from petseg.models.manifest import Manifest

CARD, PARITY, INT8 = "README.md", "parity.json", "int8.json"
FOR_PEOPLE = (".md", ".csv", ".png", ".svg")
"""What is published besides the files that petseg reads."""

_AGAIN = "; python -m export.publish puts such a folder together"


def check(folder: Path, load: Callable[[Path], Manifest]) -> tuple[Bundle, dict[str, Path]]:
    """Make sure that a folder may be published; `petseg.hub.check` calls it with an engine.

    Args:
        folder: see `petseg.hub.push`.
        load: loads the model in a folder, and gives what it says about itself; raises `PetsegError`.

    Returns:
        What its petseg.json says, and path in the repository -> file; hidden files are left out.

    Raises:
        HubContentError: no petseg.json or one that does not fit the files, a kind of file that is never
            published, a model that does not keep the contract, or without verified parity, metrics or card.
    """
    about = f"folder {str(folder)!r}"
    try:
        files = _files(folder, about)
        listed = Bundle.read(files[bundle.FILE], about)
        _check_files(listed, files, about)
        reports = [files[PARITY], *(files[name] for name in (INT8,) if listed.quantised and name in files)]
        _check_parity(listed, [json.loads(path.read_bytes()) for path in reports], about)
        card = files[CARD].read_text(encoding="utf-8")
    except KeyError as error:
        raise HubContentError(f"{about} cannot be published: {error.args[0]} is missing{_AGAIN}") from error
    except (OSError, ValueError) as error:
        raise HubContentError(f"{about} cannot be published: {error}{_AGAIN}") from error
    if not card.startswith("---\n") or "library_name: petseg" not in card:
        raise HubContentError(f"{about} cannot be published: {CARD} is no model card of petseg's{_AGAIN}")
    if not bundle.has_metrics(listed.manifest):
        raise HubContentError(
            f"{about} cannot be published: its metadata carry no metrics; export with --metrics"
        )
    _check_contract(folder, load, listed, about)
    return listed, files


def _files(folder: Path, about: str) -> dict[str, Path]:
    """Path in the repository -> file."""
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    files = {name: path for name, path in files.items() if not name.startswith(".") and "/." not in name}
    for name in files:
        if not name.endswith((*bundle.SUFFIXES, *FOR_PEOPLE)):
            raise HubContentError(
                f"{about} holds {name!r}, a kind of file that is never published; take it out"
            )
    return files


def _check_files(listed: Bundle, files: dict[str, Path], about: str) -> None:
    for name in listed.files:
        listed.check(files[name], name, about)
    for name in files:
        if name.endswith(bundle.SUFFIXES) and name != bundle.FILE and name not in listed.files:
            raise HubContentError(f"{about} holds {name!r}, which its {bundle.FILE} does not list{_AGAIN}")


def _check_parity(listed: Bundle, reports: list[Any], about: str) -> None:
    """The reports are about these very files, and the checkpoint they were exported from."""
    files = [report.get("files") if isinstance(report, dict) else None for report in reports]
    proven = {sha256 for names in files if isinstance(names, dict) for sha256 in names.values()}
    graphs = {name: file.sha256 for name, file in listed.files.items() if name.endswith(".onnx")}
    unproven = {name for name, sha256 in graphs.items() if sha256 not in proven}
    if unproven and unproven <= set(listed.quantised):
        raise HubContentError(
            f"{about} cannot be published: there is no {INT8} about its int8 weights; write it with: "
            f"python -m export.quantize CHECKPOINT --embed --json {INT8}"
        )
    if unproven:
        raise HubContentError(
            f"{about} cannot be published: {PARITY} is not about its ONNX files; verify them with: "
            f"python -m export.verify CHECKPOINT MODEL --json {PARITY}"
        )
    checkpoint = listed.manifest.checkpoint_sha256
    weights = listed.files.get("model.safetensors")
    others = any(report.get("checkpoint_sha256") != checkpoint for report in reports)
    if others or (weights and weights.sha256 != checkpoint):
        raise HubContentError(f"{about} cannot be published: its model was exported from another checkpoint")


def _check_contract(folder: Path, load: Callable[[Path], Manifest], listed: Bundle, about: str) -> None:
    """The model loads, and says about itself what petseg.json says."""
    try:
        manifest = load(folder)
    except PetsegError as error:
        raise HubContentError(f"{about} cannot be published: {error}") from error
    if replace(manifest, part=None) != listed.manifest:
        raise HubContentError(f"{about}: the metadata of its model differ from its {bundle.FILE}{_AGAIN}")
