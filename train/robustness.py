"""How much damage to the photo a model stands: `python -m train.robustness unet`.

Eight perturbations at ten levels (`petseg.perturbations`), each over a whole split at native resolution.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from tqdm import tqdm

from petseg import Segmenter
from petseg.metrics import Evaluation
from petseg.pairs import Pair, read_pairs
from petseg.perturbations import LEVELS, PERTURBATIONS, perturb

Curves = dict[str, dict[str, Any]]
"""Perturbation -> "strengths", "miou" and "mean_dice" by level, and "kept": the last mIoU over the first."""


def measure(
    segmenter: Segmenter, pairs: Sequence[Pair], levels: Sequence[int] = range(1, LEVELS + 1)
) -> Curves:
    """Evaluate every perturbation at the given levels, of which the first must be 1 (clean).

    The noise of a photo is seeded by its place in `pairs`, so that every model meets the same.
    """
    if not levels or levels[0] != 1:
        raise ValueError(f"levels must begin with 1, the clean photo, got {list(levels)}")
    photos = [(pair.read_image(), pair.read_mask()) for pair in pairs]
    cells = [(kind, level) for kind in PERTURBATIONS for level in levels[1:]]

    def evaluate(kind: str, level: int) -> Evaluation:
        evaluation = Evaluation()
        for seed, (photo, truth) in enumerate(photos):
            evaluation.add(truth, segmenter(perturb(photo, kind, level, seed)).mask)
        return evaluation

    clean = evaluate(next(iter(PERTURBATIONS)), 1).report()
    reports = {kind: [clean] for kind in PERTURBATIONS}
    for kind, level in tqdm(cells, desc=f"perturb for {segmenter.name}", unit="level"):
        reports[kind].append(evaluate(kind, level).report())
    return {
        kind: {
            "strengths": [PERTURBATIONS[kind].strengths[level - 1] for level in levels],
            "miou": [report["miou"] for report in row],
            "mean_dice": [report["mean_dice"] for report in row],
            "kept": row[-1]["miou"] / clean["miou"],
        }
        for kind, row in reports.items()
    }


def plot(curves: dict[str, Curves], path: Path) -> None:
    """One panel a perturbation, one line a model, mIoU over the strength; as a PNG."""
    figure, panels = plt.subplots(2, 4, figsize=(13, 5.5), sharey=True, layout="constrained")
    for panel, (kind, perturbation) in zip(panels.flat, PERTURBATIONS.items(), strict=True):
        for model, rows in curves.items():
            panel.plot(rows[kind]["strengths"], rows[kind]["miou"], marker="o", markersize=3, label=model)
        panel.set(title=perturbation.title, xlabel=perturbation.unit, ylim=(0, 1))
        if perturbation.strengths[-1] < perturbation.strengths[0]:
            panel.invert_xaxis()
        panel.grid(alpha=0.3)
    for panel in panels[:, 0]:
        panel.set_ylabel("mIoU")
    panels[0, 0].legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Print what each model keeps of its clean mIoU at the last level; write JSON and picture if asked."""
    parser = argparse.ArgumentParser(prog="python -m train.robustness", description=__doc__)
    parser.add_argument("models", nargs="+", help="names or .onnx files")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/oxford-iiit-pet"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--levels", type=int, nargs="+", default=range(1, LEVELS + 1), help="1 comes first")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    pairs = read_pairs(options.data, options.split)
    curves = {model: measure(Segmenter(model), pairs, options.levels) for model in options.models}
    for model, rows in curves.items():
        print(f"{model:<18}{'clean':>8}{'last':>8}{'kept':>8}")
        for kind, row in rows.items():
            print(f"{kind:<18}{row['miou'][0]:>8.4f}{row['miou'][-1]:>8.4f}{row['kept']:>8.3f}")
    if options.json:
        options.json.write_text(json.dumps(curves, indent=2) + "\n", encoding="utf-8")
    if options.figure:
        plot(curves, options.figure)


if __name__ == "__main__":
    main()
