"""How much damage to the photo models stand: `python -m train.robustness unet autoencoder`.

Eight perturbations at ten levels (`petseg.measure.perturbations`), each over a whole split at native
resolution.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.metrics import Evaluation
from petseg.measure.pair import Pair
from petseg.measure.perturbations import LEVELS, PERTURBATIONS, perturb
from petseg.measure.tables import aligned
from train.data.arguments import add_photos, read_chosen
from train.report import published
from train.report.comparison import read_checked
from train.report.figures import Panel, file_name, plot_panels, plot_robustness
from train.report.inference import Model, open_models

Curves: TypeAlias = dict[str, dict[str, Any]]
"""Perturbation -> "strengths", "miou" and "mean_dice" by level; "kept" and "kept_dice", the last of them over
the first; "worst", the photo whose own mIoU fell most on that way: "photo" (its name), "level", and "miou" of
both ends."""


@dataclass
class _Tally:
    """Figures of one model under one perturbation at one level, and each photo's own mIoU."""

    evaluation: Evaluation = field(default_factory=Evaluation)
    scores: list[float] = field(default_factory=list)

    def add(self, truth: NDArray[np.uint8], answer: NDArray[np.uint8]) -> None:
        self.scores.append(self.evaluation.add(truth, answer))


def measure(
    models: Sequence[Model], pairs: Sequence[Pair], levels: Sequence[int] = range(1, LEVELS + 1)
) -> dict[str, Curves]:
    """Evaluate every perturbation at the given levels, of which the first must be 1 (clean), by model.

    The noise of a photo is seeded by its place in `pairs`, and all models meet the same damaged photo.

    Raises:
        ValueError: `levels` does not begin with 1, or a level is unknown.
        ImageError: a photo or a mask cannot be read, or they do not fit together.
    """
    if not levels or levels[0] != 1:
        raise ValueError(f"levels must begin with 1, the clean photo, got {list(levels)}")
    tallies = {
        model.name: {(kind, level): _Tally() for kind in PERTURBATIONS for level in levels[1:]}
        for model in models
    }
    clean = {model.name: _Tally() for model in models}  # the same for every perturbation
    for seed, pair in enumerate(tqdm(pairs, desc="perturb", unit="photo", mininterval=1)):
        photo, truth = read_checked(pair)
        for model in models:
            clean[model.name].add(truth, model(photo).segmentation.mask)
        for kind, level in product(PERTURBATIONS, levels[1:]):
            damaged = perturb(photo, kind, level, seed)
            for model in models:
                tallies[model.name][kind, level].add(truth, model(damaged).segmentation.mask)
    return {
        name: {
            kind: _curve(kind, levels, [clean[name], *(rows[kind, level] for level in levels[1:])], pairs)
            for kind in PERTURBATIONS
        }
        for name, rows in tallies.items()
    }


def _curve(
    kind: str, levels: Sequence[int], tallies: Sequence[_Tally], pairs: Sequence[Pair]
) -> dict[str, Any]:
    """One entry of `Curves`."""
    reports = [tally.evaluation.report() for tally in tallies]
    mious, dices = ([report[figure] for report in reports] for figure in ("miou", "mean_dice"))
    first, last = np.array(tallies[0].scores), np.array(tallies[-1].scores)
    worst = int(np.argmax(np.nan_to_num(first - last, nan=-np.inf)))
    return {
        "strengths": [PERTURBATIONS[kind].strengths[level - 1] for level in levels],
        "miou": mious,
        "mean_dice": dices,
        "kept": mious[-1] / mious[0],
        "kept_dice": dices[-1] / dices[0],
        "worst": {
            "photo": pairs[worst].name,
            "level": levels[-1],
            "miou": [float(first[worst]), float(last[worst])],
        },
    }


def plot_worst(model: Model, curves: Curves, pairs: Sequence[Pair], path: Path) -> None:
    """For each perturbation the photo on which the model lost most: damaged photo, prediction, truth."""
    seeds = {pair.name: seed for seed, pair in enumerate(pairs)}
    groups = []
    for kind, row in curves.items():
        chosen = row["worst"]
        seed = seeds[chosen["photo"]]
        photo = perturb(pairs[seed].read_image(), kind, chosen["level"], seed)
        before, after = chosen["miou"]
        strength = f"{PERTURBATIONS[kind].title} {row['strengths'][-1]:g}"
        groups.append(
            [
                Panel(photo, f"{strength}\n{chosen['photo']}"),
                Panel(photo, f"prediction\nmIoU {before:.2f} to {after:.2f}", model(photo).segmentation.mask),
                Panel(photo, "truth\n", pairs[seed].read_mask()),
            ]
        )
    rows = [left + right for left, right in zip(groups[::2], groups[1::2], strict=True)]
    plot_panels(rows, path, f"Where {model.name} lost most at the last level of each perturbation")


def _worst_name(model: Model) -> str:
    return f"robustness-worst-{file_name(model.name)}.png"


def format_curves(curves: dict[str, Curves]) -> str:
    """The figures on clean photos and at the last level, and the relative drop from one to the other."""
    measures = {"mIoU": ("miou", "kept"), "Dice": ("mean_dice", "kept_dice")}
    titles = [f"{measure} {what}" for measure in measures for what in ("clean", "last", "drop")]
    table = [["model", "perturbation", "last level", *titles]]
    for model, rows in curves.items():
        for kind, row in rows.items():
            line = [model, kind, f"{row['strengths'][-1]:g}"]
            for figure, kept in measures.values():
                line += [f"{row[figure][0]:.4f}", f"{row[figure][-1]:.4f}", f"{1 - row[kept]:.1%}"]
            table.append(line)
    return aligned(table, right=range(2, len(table[0])))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each model loses on the way to the last level; write JSON and pictures if asked."""
    parser = argparse.ArgumentParser(prog="python -m train.robustness", description=__doc__)
    parser.add_argument("models", nargs="+", help="names, .onnx files or checkpoints")
    add_photos(parser, some=True)
    parser.add_argument("--levels", type=int, nargs="+", default=range(1, LEVELS + 1), help="1 comes first")
    parser.add_argument("--figure", type=Path, help="PNG of the curves of all models")
    parser.add_argument("--worst", type=Path, metavar="FOLDER", help="for a picture of each model's worst")
    options = report_file.parse(parser, arguments)
    try:
        models = open_models(options.models)
        report_file.check_writable(options.figure, force=options.force, in_new_folder=True)
        if options.worst:
            report_file.check_files(options.worst, map(_worst_name, models), force=options.force)
        pairs = read_chosen(options)
        curves = measure(models, pairs, options.levels)
        print(format_curves(curves))
        report_file.write(options.json, curves)
        if options.figure:
            plot_robustness(curves, options.figure, published.robustness())
        for model in models if options.worst else ():
            plot_worst(model, curves[model.name], pairs, options.worst / _worst_name(model))
    except (PetsegError, OSError, ValueError) as error:
        parser.exit(1, f"cannot measure {', '.join(options.models)}: {error}\n")


if __name__ == "__main__":
    main()
