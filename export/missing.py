"""What keeps a model from being published: all of it at once, each with the command that makes it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from export.card import own
from export.card.facts import ROOT, read_document, words_of
from export.errors import ExportError
from petseg.errors import PetsegError
from petseg.models import bundle, catalog, publishing
from petseg.models.cache import Reference
from petseg.models.manifest import Manifest
from train.models.stored import CONFIG, WEIGHTS

METRICS = "metrics.json"


@dataclass(frozen=True)
class Plan:
    """What is to be published.

    Attributes:
        name: of the model.
        repo: ORG/NAME.
        checkpoint: folder.
        model: its ONNX file or folder, None for the embedded one.
        card: file, None for one that is made from measurements and words.
        folder: to be put together, None for one that is thrown away.
        push: whether it is, or only tried.
    """

    name: str
    repo: str
    checkpoint: Path
    model: Path | None = None
    card: Path | None = None
    folder: Path | None = None
    push: bool = True

    @property
    def embedded(self) -> bool:
        """Whether its words stand among the cards of the repository."""
        return self.model is None and (ROOT / "model_cards" / f"{self.name}.toml").is_file()


def missing(plan: Plan) -> list[str]:
    """All that keeps a model from being published, in the order in which it is best made."""
    return [*_checkpoint(plan), *_model(plan), *_card(plan), *_place(plan)]


def _checkpoint(plan: Plan) -> Iterator[str]:
    for name in (WEIGHTS, CONFIG):
        if not (plan.checkpoint / name).is_file():
            yield (
                f"{plan.checkpoint / name} is missing: train it (docs/train.md), or say where the checkpoint "
                "is: --checkpoint FOLDER"
            )


def _model(plan: Plan) -> Iterator[str]:
    """The export, its figures, and the proof that it is the checkpoint's."""
    folder, target = plan.checkpoint, plan.model or f"{plan.checkpoint.parent.as_posix()}/{plan.name}.onnx"
    measured, parity = folder / METRICS, folder / publishing.PARITY
    carry = f"python -m export.export {folder} --metrics {measured} -o {target}"
    if not measured.is_file():
        yield f"{measured} is missing: python -m train.evaluate {folder} --held-out --json {measured}"
    try:
        found = catalog.find(plan.model or plan.name)
        graphs = [Path(file.path) for file in found.float32]
        manifest = Manifest.from_document(read_document(graphs[0]), f"model {str(target)!r}")
    except (PetsegError, ExportError, OSError, ValueError) as error:
        yield f"there is no export ({error}): {carry}, then give it as --model"
        manifest, graphs = None, []
    if manifest is not None:
        if not bundle.has_metrics(manifest):
            yield f"the metadata of {target} carry no metrics: {carry}"
        if (folder / WEIGHTS).is_file() and bundle.digest(folder / WEIGHTS) != manifest.checkpoint_sha256:
            yield f"{target} was exported from other weights than {folder / WEIGHTS}: {carry}"
    verify = f"python -m export.verify {folder} {target} --data PHOTOS/images --json {parity}"
    if not parity.is_file():
        yield f"{parity} is missing: {verify}"
    elif graphs and not {bundle.digest(path) for path in graphs} <= _proven(parity):
        yield f"{parity} is not about its ONNX files: {verify}"


def _proven(report: Path) -> set[str]:
    """SHA-256 of the files that a parity report is about; none of one that is damaged."""
    try:
        document: Any = json.loads(report.read_text(encoding="utf-8"))
        return set(document["files"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _card(plan: Plan) -> Iterator[str]:
    """The card's words; where there are none, their template is written."""
    if plan.card is not None:
        if not plan.card.is_file():
            yield f"{plan.card}, which is to be the card, is missing"
        return
    if plan.embedded:
        return
    path = plan.checkpoint / own.WORDS
    if not path.is_file():
        if plan.checkpoint.is_dir():
            own.write_template(plan.name, plan.checkpoint)
            yield f"the card needs words that only you can say: {path} was written, fill it in"
        return
    try:
        if left := own.unsaid(words_of(path)):
            yield f"{path} still has its template's {', '.join(left)}: say it in your own words"
    except ExportError as error:
        yield str(error)


def _place(plan: Plan) -> Iterator[str]:
    if plan.folder is not None and plan.folder.is_dir() and any(plan.folder.iterdir()):
        yield f"{plan.folder} is not empty: choose another --folder"
    try:
        reference = Reference.parse(plan.repo)
        fine = reference.revision is None and "/" in plan.repo
    except PetsegError:
        fine = False
    if not fine:
        yield f"{plan.repo!r} is no place to publish: give ORG/NAME"
    if plan.push and not get_token():
        yield "no token of the Hugging Face Hub: set HF_TOKEN to one that may write (hf auth login keeps it)"
