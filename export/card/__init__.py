"""Model cards and tables from measured results: `python -m export.card NAME...`, or `--check` for all.

A card is made of model_cards/NAME.toml (what only a person can say) and of what was measured: the manifest in
petseg/weights/index.json, and metrics.json, config.json and, where they are, parity.json, robustness.json and
speed.json in train/checkpoints/NAME. No number in a card is typed by hand. The tables in README.md and docs/
that stand between marks come from the same files (`export.card.pages`), and are written with every card.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from export.card import measured as sections
from export.card import own, pages, text
from export.card.click_figures import is_simulation
from export.card.facts import ROOT, Facts, folders, gather, gather_own, names, words_of
from export.errors import CardError, ExportError
from petseg.errors import PetsegError
from petseg.pixels import saving
from petseg.pixels.classes import CLASSES

OXFORD = "timm/oxford-iiit-pet"
"""The test photos' dataset, by its name on the Hub."""


def make(name: str, root: Path = ROOT) -> str:
    """The card of a model.

    Raises:
        CardError: a source is missing or damaged, or they disagree.
    """
    words = words_of(root / "model_cards" / f"{name}.toml")
    if not words["published"]:
        return _join(_front(name), text.unpublished(name, words))
    facts = gather(name, words, root)
    return _join(_front(name, facts), "\n\n".join(_sections(facts)))


def make_own(name: str, model: Path, checkpoint: Path, address: str = "ORG/NAME") -> str:
    """The card of a model that is not embedded.

    Args:
        name: of the model.
        model: its .onnx file, or the folder of two.
        checkpoint: folder that it was exported from, with card.toml and what was measured.
        address: where it is published.

    Raises:
        CardError: a source is missing or damaged, or they disagree.
        PublishError: the file is no model of petseg.
    """
    facts = gather_own(name, own.read_words(checkpoint), model, checkpoint, address)
    return _join(_front(name, facts), "\n\n".join(_sections(facts)))


def _front(name: str, facts: Facts | None = None) -> ModelCardData:
    """The metadata that the Hub reads."""
    sources = folders(facts) if facts else []
    return ModelCardData(
        license="other",
        license_name="research-and-evaluation",
        library_name="petseg",
        pipeline_tag="image-segmentation",
        tags=["cat", "dog", "pet", "onnx", "background-removal"],
        datasets=[OXFORD] if any(folder.startswith("oxford-iiit-pet") for folder in sources) else None,
        model_name=f"petseg {name}" if facts else None,
        eval_results=list(_results(facts)) if facts else None,
    )


def _results(facts: Facts) -> Iterator[EvalResult]:
    if "measured_on" in facts.measured["metrics"]:
        return  # photos that nobody else has
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
                metric_name=sections.FIGURES[figure][0],
                metric_value=round(value, 4),
            )


def _sections(facts: Facts) -> Iterator[str]:
    manifest, measured = facts.manifest, facts.measured
    yield f"# {facts.words['title']}\n\n{facts.words['summary'].strip()}"
    yield text.what_it_is(manifest, facts.config, facts.files)
    yield text.usage(facts.address, manifest.prompts)
    terms = {"terms": facts.words["terms"]} if "terms" in facts.words else {}
    yield text.training_data(folders(facts), manifest.training_data, **terms)
    if is_simulation(measured["metrics"]):
        yield sections.clicks(measured["metrics"])
    else:
        yield sections.metrics(measured["metrics"], CLASSES)
    if "zeroshot" in measured:
        yield sections.zero_shot(measured["zeroshot"])
    if "int8" in measured:
        yield sections.int8(measured["int8"])
    yield sections.robustness(measured.get("robustness"), facts.name, "robustness.png" in facts.figures)
    yield sections.speed(measured.get("speed"))
    yield sections.gpu(measured.get("gpu"))
    yield text.limits(facts.words["limits"], facts.words["failures"], measured["metrics"])
    if facts.checkpoint is not None:
        yield text.reproduce_own(
            facts.words["train"],
            facts.checkpoint.as_posix(),
            measured.get("parity"),
            manifest.checkpoint_sha256,
        )
        return
    yield text.reproduce(
        facts.name, facts.words["train"], manifest, measured.get("parity"), has_int8="int8" in measured
    )


def _join(front: ModelCardData, body: str) -> str:
    return f"---\n{front.to_yaml()}\n---\n\n{body}\n"


def check(root: Path = ROOT) -> list[str]:
    """What is wrong with cards and pages on disk: missing, or not what their sources give."""
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
    try:
        problems += pages.check(root)
    except CardError as error:
        problems.append(str(error))
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
    parser.add_argument("--checkpoint", type=Path, help="of a model that is not embedded; with --model")
    parser.add_argument("--model", type=Path, help="its ONNX file or folder")
    options = parser.parse_args(arguments)
    if (options.checkpoint is None) != (options.model is None) or (options.model and len(options.names) != 1):
        parser.error("a model that is not embedded: NAME --checkpoint FOLDER --model FILE")
    try:
        if options.model:
            return _write_own(options.names[0], options.model, options.checkpoint)
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
        for path in pages.write(options.root):
            print(path)
    except (ExportError, PetsegError) as error:
        print(f"no card: {error}", file=sys.stderr)
        return 1
    return 0


def _write_own(name: str, model: Path, checkpoint: Path) -> int:
    """Write card.md into a checkpoint's folder, or the template of what a person has to say; 1 for that."""
    if not (checkpoint / own.WORDS).is_file():
        print(
            f"no card yet: say in {own.write_template(name, checkpoint)} what only you can", file=sys.stderr
        )
        return 1
    path = checkpoint / "card.md"
    saving.write(path, make_own(name, model, checkpoint).encode())
    print(path)
    return 0
