"""Evaluate models at native resolution, one or several side by side.

`python -m train.evaluate unet autoencoder train/checkpoints/unet --figures FOLDER --worst 6`

Models with the classes of a trimap get figures of background, pet and border, under names of their own.
Models that are pointed at are evaluated by simulated clicks: `python -m train.evaluate MODEL --clicks`.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from petseg.engine.network import open_model
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.datasets import read_named
from petseg.measure.evaluation import count_named, format_report
from petseg.measure.metrics import Evaluation
from petseg.measure.pair import Pair
from petseg.models.manifest import OTHER_CLASSES
from train.checkpoint import known_configs, load_checkpoint_config
from train.data.arguments import add_photos, read_chosen
from train.data.dataset import kept_aside, read_splits
from train.data.samples import TorchvisionSample
from train.people import clicks
from train.people.clicked import Clicked, open_clicked
from train.people.nothing import click_on_nothing
from train.report import figures, trimap
from train.report.comparison import Result, compare, count_false_alarms, examples, format_table, worst
from train.report.figures import Panel
from train.report.inference import is_checkpoint, open_models


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of DESIGN.md for each model; write them as JSON, and pictures, if asked."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="folder with model.safetensors, or anything that petseg opens: a name, an .onnx file",
    )
    add_photos(parser, some=True)
    parser.add_argument(
        "--no-pets",
        type=Path,
        metavar="FOLDER",
        help="images/ beside masks/, no pets, for false alarms; less what the models were trained on",
    )
    parser.add_argument(
        "--named",
        type=Path,
        metavar="FOLDER",
        help="images/ and index.csv (name, species), no masks: how often a pet is found and named rightly",
    )
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="on the photos that the training of the checkpoint held out, instead of --data",
    )
    parser.add_argument("--size", type=int, help="square of checkpoints; default: the one of their training")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="FOLDER",
        help="draw ROC curves, confusion matrices, the models on the same photos, and the worst photos here",
    )
    parser.add_argument("--worst", type=int, default=0, metavar="K", help="the K worst photos of each model")
    parser.add_argument("--examples", type=int, default=6, metavar="N", help="photos of the common picture")
    parser.add_argument("--clicks", action="store_true", help="simulate clicks, for promptable models")
    clicks.add_arguments(parser)
    options = report_file.parse(parser, arguments)
    if options.threads < 1 or options.worst < 0 or options.examples < 0:
        parser.error("--threads must be 1 or more, --worst and --examples 0 or more")
    if options.clicks and (options.figures or options.worst):
        parser.error("--figures and --worst are about whole photos; leave them out, or leave out --clicks")
    try:
        reports = evaluate_clicks(options) if options.clicks else evaluate_photos(options)
        report_file.write(options.json, reports)
    except (PetsegError, OSError, ValueError) as error:
        parser.exit(1, f"cannot evaluate {', '.join(options.models)}: {error}\n")


def evaluate_photos(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate all models on whole photos, print the figures, and draw what is asked for."""
    torch.set_num_threads(options.threads)
    if any(trimap.tells_trimap(model) for model in options.models):
        return evaluate_trimaps(options)
    models = open_models(options.models, options.size, options.threads)
    if options.figures:
        names = ["roc.png", "confusion.png", "examples.png", *(_worst_name(model.name) for model in models)]
        report_file.check_files(options.figures, names, force=options.force)
    pairs, measured_on = held_out(options.models) if options.held_out else (read_chosen(options), "")
    results = compare(models, pairs)
    if options.no_pets:
        unseen = kept_aside(options.no_pets, known_configs(options.models))
        count_false_alarms(results, [sample.read_image() for sample in unseen])
    reports = {result.model.name: result.report(options.threads) for result in results}
    for report in reports.values() if measured_on else ():
        report["measured_on"] = measured_on
    for model in models if options.named else ():
        answers = count_named(read_named(options.named), model.mask)
        reports[model.name]["species_alone"] = answers
        print(f"{model.name}, {options.named}: {answers}")
    if len(results) == 1:
        print(f"{models[0].name}\n{format_report(results[0].native.report())}\n")
    print(format_table(results, options.threads))
    for result in results if options.worst else ():
        scores = worst(result, pairs, options.worst)
        print(f"\nworst of {result.model.name}")
        print("\n".join(f"{score.name:<40}{score.miou:.4f}" for score in scores))
        rows = [{"name": score.name, "miou": score.miou} for score in scores]
        reports[result.model.name]["comparison"]["worst"] = rows
    if options.figures:
        draw(results, pairs, options)
    return reports


def evaluate_trimaps(options: argparse.Namespace) -> dict[str, Any]:
    """The same for models with the classes of a trimap: no picture of photos, and the worst by name."""
    pairs = read_chosen(options)
    found = trimap.evaluate(options.models, pairs, options.size)
    print(trimap.table(found))
    if options.figures:
        curves, matrices = ({n: getattr(r, what) for n, r in found.items()} for what in ("roc", "matrix"))
        figures.plot_roc(curves, options.figures / "roc.png", OTHER_CLASSES)
        figures.plot_confusion(matrices, options.figures / "confusion.png", OTHER_CLASSES)
    reports = {name: result.report() for name, result in found.items()}
    for name, result in found.items() if options.worst else ():
        order = sorted(zip(result.scores, (pair.name for pair in pairs), strict=True))[: options.worst]
        reports[name]["trimap_worst"] = [{"name": photo, "miou": score} for score, photo in order]
    return reports


def held_out(models: Sequence[str]) -> tuple[list[Pair], str]:
    """The photos that a checkpoint's training held out, and what they are in words.

    Raises:
        ValueError: it is no checkpoint, several, or held none out.
        petseg.ImageError: the photos are no longer there.
    """
    if len(models) != 1 or not is_checkpoint(models[0]):
        raise ValueError("--held-out goes with one checkpoint, whose config says what its training held out")
    data = load_checkpoint_config(models[0]).data
    samples = [
        sample.pair if isinstance(sample, TorchvisionSample) else sample for sample in read_splits(data)[1]
    ]
    pairs = [sample for sample in samples if isinstance(sample, Pair)]
    if not pairs:
        raise ValueError("its training held no photos out; give others by --data")
    folders = ", ".join(Path(source.path).name for source in data.sources if source.validation)
    return pairs, f"photos of {folders} that its training held out, by which its best epoch was chosen"


def draw(results: Sequence[Result], pairs: Sequence[Pair], options: argparse.Namespace) -> None:
    """All pictures of a comparison, into the folder of `--figures`."""
    folder: Path = options.figures
    named = {result.model.name: result for result in results}
    figures.plot_roc({name: result.roc for name, result in named.items()}, folder / "roc.png")
    matrices = {name: result.native.matrix for name, result in named.items()}
    figures.plot_confusion(matrices, folder / "confusion.png")
    if chosen := examples(results, pairs, options.examples):
        title = "The same photos, from the hardest to the easiest; below a name: mIoU of the photo"
        figures.plot_panels([panels(pair, results) for pair in chosen], folder / "examples.png", title)
    by_name = {pair.name: pair for pair in pairs}
    for name, result in named.items():
        rows = [panels(by_name[score.name], [result]) for score in worst(result, pairs, options.worst)]
        if rows:
            title = f"Worst photos of {name}; below its name: mIoU"
            figures.plot_panels(rows, folder / _worst_name(name), title)


def _worst_name(model: str) -> str:
    return f"worst-{figures.file_name(model)}.png"


def panels(pair: Pair, results: Sequence[Result]) -> list[Panel]:
    """A photo, its truth, and what each model says of it."""
    photo, truth = pair.read_image(), pair.read_mask()
    row = [Panel(photo, pair.name), Panel(photo, "truth", truth)]
    for result in results:
        mask = result.model(photo).segmentation.mask
        score = Evaluation().add(truth, mask)
        row.append(Panel(photo, f"{result.model.name}\n{score:.3f}", mask))
    return row


def evaluate_clicks(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate each promptable model by simulated clicks, and print the figures."""
    reports = {}
    for name in options.models:
        clicked, config = open_clicked(name, options.size)
        reports[name] = clicks.simulate([clicked], config, options)
        reports[name]["nothing"] = clicks_on_nothing(name, clicked, options)
        print(f"{name}\n{clicks.format_simulation(reports[name])}")
        for where, found in reports[name]["nothing"].items():
            print(f"one click on nothing, {where}: {found}")
    return reports


def clicks_on_nothing(name: str, clicked: Clicked, options: argparse.Namespace) -> dict[str, Any]:
    """What clicks beside the pets of the photos find, and clicks in photos without pets, if those are given.

    Photos without pets are those that neither the model was trained on nor the one that it asks for presence.
    """
    pets = read_chosen(options)
    found = {"beside pets": click_on_nothing(clicked, pets[: options.limit], options.seed)}
    if options.no_pets:
        asked = [] if is_checkpoint(name) else [open_model(name, "cpu").manifest.presence]
        unseen = kept_aside(options.no_pets, known_configs([name, *filter(None, asked)]))
        found["without pets"] = click_on_nothing(clicked, unseen[: options.limit], options.seed)
    return found


if __name__ == "__main__":
    main()
