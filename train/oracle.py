"""Figures of a CLIP model that is told the answer: `python -m train.oracle CHECKPOINT`.

Two published studies feed the true species as text at test time, read from the file name. This is that mode,
for comparison with them only: the name of every figure begins with "oracle".
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from petseg.measure import report_file
from petseg.measure.metrics import Evaluation
from petseg.measure.pair import Pair
from petseg.segmentation import Segmentation
from train.checkpoint import load_checkpoint
from train.config import Config
from train.data.arguments import add_photos, read_chosen
from train.report.inference import fits, letterboxed

PREFIX = "oracle_"


@torch.inference_mode()
def measure(model: nn.Module, pairs: Sequence[Pair], config: Config) -> dict[str, Any]:
    """What `petseg.measure.metrics.Evaluation.report` gives, every name with `PREFIX`.

    Args:
        model: in eval mode, with `oracle_text`.
        pairs: photos whose names tell the species.
        config: of its training.
    """
    evaluation = Evaluation()
    for pair in tqdm(pairs, desc="oracle", unit="photo", mininterval=1):
        photo = pair.read_image()
        box, batch = letterboxed(photo, config.data.size, **fits(config))
        logits = model(batch, torch.tensor([pair.species]))[0].float().numpy()
        evaluation.add(pair.read_mask(), Segmentation(logits, box, photo, "oracle").mask)
    return {PREFIX + name: value for name, value in evaluation.report().items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m train.oracle", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of a CLIP model with oracle_text")
    add_photos(parser, some=True)
    options = report_file.parse(parser, arguments)
    model, config = load_checkpoint(options.checkpoint)
    if "true species" not in config.model.needs:
        parser.error(f"{options.checkpoint} was trained without oracle_text: use python -m train.evaluate")
    report = measure(model, read_chosen(options), config)
    figures = {name: value for name, value in report.items() if isinstance(value, int | float)}
    print("\n".join(f"{name:<34}{value:.4g}" for name, value in figures.items()))
    if options.json:
        document = {str(options.checkpoint): report}
        report_file.write(options.json, document)


if __name__ == "__main__":
    main()
