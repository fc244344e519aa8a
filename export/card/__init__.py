"""Model cards from measured results: `python -m export.card NAME...`, or `--check` for all of them.

A card is made of model_cards/NAME.toml (what only a person can say) and of what was measured: the manifest in
petseg/weights/index.json, and metrics.json, config.json and, where they are, parity.json, robustness.json and
speed.json in train/checkpoints/NAME. No number in a card is typed by hand.
"""

import argparse
import json
import math
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from export.card import text
from export.card.click_figures import click_figures, is_simulation
from petseg.models.manifest import Manifest
from petseg.pixels import saving
from petseg.pixels.classes import CLASSES

ROOT = Path(__file__).parents[2]
OXFORD = "timm/oxford-iiit-pet"
"""The test photos' dataset, by its name on the Hub."""


class CardError(Exception):
    """A card that cannot be made, since something was not measured or does not fit together."""


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
    """

    name: str
    words: dict[str, Any]
    manifest: Manifest
    files: dict[str, dict[str, Any]]
    config: dict[str, Any]
    measured: dict[str, dict[str, Any]]
    figures: tuple[str, ...]


def names(root: Path = ROOT) -> list[str]:
    """The models that must have a card: the embedded ones, and those whose text says they are unpublished."""
    unpublished = [
        path.stem for path in (root / "model_cards").glob("*.toml") if not _words(path)["published"]
    ]
    return sorted({*_index(root), *unpublished})


def make(name: str, root: Path = ROOT) -> str:
    """The card of a model.

    Raises:
        CardError: a source is missing or damaged, or they disagree.
    """
    words = _words(root / "model_cards" / f"{name}.toml")
    if not words["published"]:
        return _join(_front(name), text.unpublished(name, words))
    facts = gather(name, words, root)
    return _join(_front(name, facts), "\n\n".join(_sections(facts)))


def gather(name: str, words: dict[str, Any], root: Path = ROOT) -> Facts:
    """Read what was measured; raises `CardError` if it is not there, or does not agree with the manifest."""
    entry = _index(root).get(name)
    if entry is None:
        raise CardError(
            f"{name} is not in petseg/weights/index.json; embed it: python -m export.export --embed"
        )
    folder = root / "train" / "checkpoints" / name
    measured = {
        what: _one(_read(folder / f"{what}.json"), name, folder / f"{what}.json")
        for what in ("metrics", "parity", "int8", "robustness", "speed", "zeroshot")
        if what == "metrics" or (folder / f"{what}.json").is_file()
    }
    manifest = Manifest.from_document(entry["manifest"], f"model {name!r}")
    figures = measured["metrics"]
    if is_simulation(figures):
        try:
            figures = click_figures(figures)
        except ValueError as error:
            raise CardError(f"{folder / 'metrics.json'}: {error}") from error
    for figure, value in manifest.metrics.items():
        said = figures.get(figure)
        if isinstance(value, float) and not (isinstance(said, float) and math.isclose(value, said)):
            raise CardError(
                f"{name}: {figure} is {value} in the model and {said} in {folder / 'metrics.json'}; "
                "export it again with --metrics"
            )
    quantised = entry.get("int8", {"files": []})["files"]
    proven = measured.get("int8", {}).get("files", {}).values()
    if any(file["sha256"] not in proven for file in quantised):
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
        {file["path"]: file for file in (*entry["files"], *quantised)},
        _read(folder / "config.json"),
        measured,
        tuple(sorted(path.name for path in folder.glob("*.png"))),
    )


def _words(path: Path) -> dict[str, Any]:
    defaults: dict[str, Any] = {"published": True, "limits": [], "failures": [], "train": []}
    try:
        words = defaults | tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(words.get(key), str) for key in ("title", "summary")):
        raise CardError(f"{path} needs a title and a summary")
    return words


def _index(root: Path) -> dict[str, Any]:
    path = root / "petseg" / "weights" / "index.json"
    return dict(_read(path)["models"]) if path.is_file() else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
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


def _front(name: str, facts: Facts | None = None) -> ModelCardData:
    """The metadata that the Hub reads."""
    folders = _folders(facts) if facts else []
    return ModelCardData(
        license="apache-2.0",
        library_name="petseg",
        pipeline_tag="image-segmentation",
        tags=["cat", "dog", "pet", "onnx", "background-removal"],
        datasets=[OXFORD] if any(folder.startswith("oxford-iiit-pet") for folder in folders) else None,
        model_name=f"petseg {name}" if facts else None,
        eval_results=list(_results(facts)) if facts else None,
    )


def _results(facts: Facts) -> Iterator[EvalResult]:
    kinds = {"miou": "mean_iou", "mean_dice": "f1", "pixel_accuracy": "accuracy", "pet_iou": "iou"}
    for figure, kind in kinds.items():
        value = facts.measured["metrics"].get(figure)
        if isinstance(value, float) and math.isfinite(value):
            yield EvalResult(
                task_type="image-segmentation",
                dataset_type=OXFORD,
                dataset_name="Oxford-IIIT Pet (part of it, see the card)",
                dataset_split="test",
                metric_type=kind,
                metric_name=text.FIGURES[figure][0],
                metric_value=round(value, 4),
            )


def _folders(facts: Facts) -> list[str]:
    """Names of the folders that the photos came from."""
    sources = facts.config.get("data", {}).get("sources", [])
    return list(dict.fromkeys(PurePath(source["path"]).name for source in sources))


def _sections(facts: Facts) -> Iterator[str]:
    manifest, measured = facts.manifest, facts.measured
    yield f"# {facts.words['title']}\n\n{facts.words['summary'].strip()}"
    yield text.what_it_is(manifest, facts.config, facts.files)
    yield text.usage(facts.name, manifest.prompts)
    yield text.training_data(_folders(facts), manifest.training_data)
    if is_simulation(measured["metrics"]):
        yield text.clicks(measured["metrics"])
    else:
        yield text.metrics(measured["metrics"], CLASSES)
    if "zeroshot" in measured:
        yield text.zero_shot(measured["zeroshot"])
    if "int8" in measured:
        yield text.int8(measured["int8"])
    yield text.robustness(measured.get("robustness"), facts.name, "robustness.png" in facts.figures)
    yield text.speed(measured.get("speed"))
    yield text.limits(facts.words["limits"], facts.words["failures"], measured["metrics"])
    yield text.reproduce(
        facts.name, facts.words["train"], manifest, measured.get("parity"), has_int8="int8" in measured
    )


def _join(front: ModelCardData, body: str) -> str:
    return f"---\n{front.to_yaml()}\n---\n\n{body}\n"


def check(root: Path = ROOT) -> list[str]:
    """What is wrong with the cards on disk: missing, or not what their sources give."""
    problems = []
    for name in names(root):
        path = root / "model_cards" / f"{name}.md"
        try:
            fresh = make(name, root)
            if not path.is_file():
                problems.append(f"{path} is missing")
            elif not _same(path.read_text(encoding="utf-8"), fresh):
                problems.append(f"{path} differs from what its sources give")
        except CardError as error:
            problems.append(str(error))
    known = {*names(root), "README"}
    strays = (path for path in sorted((root / "model_cards").glob("*.md")) if path.stem not in known)
    return problems + [f"{path} is the card of no model" for path in strays]


def _same(one: str, other: str) -> bool:
    """The metadata mean the same, however YAML writes them, and the text is the same."""
    cards = [ModelCard(card, ignore_metadata_errors=True) for card in (one, other)]
    data: list[Mapping[str, Any]] = [card.data.to_dict() for card in cards]
    return data[0] == data[1] and cards[0].text.strip() == cards[1].text.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Make or check cards as the command line says; 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m export.card", description=__doc__)
    parser.add_argument("names", nargs="*", help="of models; default: all that must have a card")
    parser.add_argument("--check", action="store_true", help="only say which cards are not up to date")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the repository")
    options = parser.parse_args(arguments)
    try:
        wanted = options.names or names(options.root)
        if options.check:
            problems = check(options.root)
            said = "\n".join(problems) or f"up to date: {', '.join(wanted)}"
            print(said, file=sys.stderr if problems else None)
            return 1 if problems else 0
        for name in wanted:
            path = options.root / "model_cards" / f"{name}.md"
            saving.write(path, make(name, options.root).encode())
            print(path)
    except CardError as error:
        print(f"no card: {error}", file=sys.stderr)
        return 1
    return 0
