"""Evaluate checkpoints at native resolution: `python -m train.evaluate train/checkpoints/unet`."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from petseg.evaluation import Predictor, evaluate, format_report
from petseg.geometry import Letterbox
from petseg.pairs import read_pairs
from petseg.segmentation import Segmentation
from train.checkpoint import load_checkpoint


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, help="folders with model.safetensors")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/oxford-iiit-pet"))
    parser.add_argument("--split", default="test", help="list of names, for the Oxford layout")
    parser.add_argument("--size", type=int, help="model square; default: the one it was trained at")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--worst", type=int, default=0, metavar="K", help="name the K worst photos")
    options = parser.parse_args()
    reports = {}
    for folder in options.checkpoints:
        model, config = load_checkpoint(folder)
        pairs = read_pairs(options.data, options.split)
        evaluation, scores = evaluate(pairs, predictor(model, options.size or config.data.size))
        report = reports[str(folder)] = evaluation.report()
        print(f"{folder}\n{format_report(report)}")
        for score in scores[: options.worst]:
            print(f"{score.name:<40}{score.miou:.4f}")
    if options.json:
        options.json.write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
