"""Evaluate at native resolution: `python -m train.evaluate train/checkpoints/unet`.

Models that are pointed at are evaluated by simulated clicks: `python -m train.evaluate MODEL --clicks`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from petseg.errors import PetsegError
from petseg.evaluation import Predictor, evaluate, format_report
from petseg.geometry import Letterbox
from petseg.pairs import read_pairs
from petseg.segmentation import Segmentation
from train import clicks
from train.checkpoint import load_checkpoint
from train.clicked import open_clicked


def predictor(model: nn.Module, size: int) -> Predictor:
    """Photo -> classes at the photo's size, through a torch model fed (1, 3, size, size)."""

    @torch.inference_mode()
    def predict(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = photo.shape[:2]
        box = Letterbox.fit(width, height, size)
        batch = torch.from_numpy(box.apply(photo)).permute(2, 0, 1)[None]
        logits = model(batch)[0].float().numpy()
        return Segmentation(logits, box, photo, type(model).__name__).mask

    return predict


def main() -> None:
    """Print the figures of DESIGN.md for each checkpoint, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=Path,
        metavar="CHECKPOINT",
        help="folder with model.safetensors; with --clicks also any model that petseg opens",
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/oxford-iiit-pet"))
    parser.add_argument("--split", default="test", help="list of names, for the Oxford layout")
    parser.add_argument("--size", type=int, help="model square; default: the one it was trained at")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--worst", type=int, default=0, metavar="K", help="name the K worst photos")
    parser.add_argument("--clicks", action="store_true", help="simulate clicks, for promptable models")
    clicks.add_arguments(parser)
    options = parser.parse_args()
    reports = {}
    for name in map(str, options.checkpoints):
        try:
            reports[name] = evaluate_clicks(name, options) if options.clicks else evaluate_all(name, options)
        except (PetsegError, OSError, ValueError) as error:
            parser.exit(1, f"cannot evaluate {name}: {error}\n")
    if options.json:
        options.json.write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")


def evaluate_all(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate one checkpoint on whole photos, and print the figures."""
    model, config = load_checkpoint(name)
    pairs = read_pairs(options.data, options.split)
    evaluation, scores = evaluate(pairs, predictor(model, options.size or config.data.size))
    report = evaluation.report()
    print(f"{name}\n{format_report(report)}")
    for score in scores[: options.worst]:
        print(f"{score.name:<40}{score.miou:.4f}")
    return report


def evaluate_clicks(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate one promptable model by simulated clicks, and print the figures."""
    clicked, config = open_clicked(name, options.size)
    report = clicks.simulate([clicked], config, options)
    print(f"{name}\n{clicks.format_simulation(report)}")
    return report


if __name__ == "__main__":
    main()
