"""What the models of configs are: `python -m train.models train/configs/*.toml`.

Of a published study's model also the recipe: what the study states, where, and what it leaves open.

Models are built without memory for their weights, so even the largest takes a moment, and without their
pretrained start, so that none need be here.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from petseg.measure.tables import aligned
from train.config import Config, load_config
from train.models import build, parameter_count
from train.recipe import describe


@dataclass(frozen=True)
class Summary:
    """One model, or the reason why there is none.

    Attributes:
        config: name in the config.
        family: its family, and in brackets the task where there are several.
        total, trainable: weights, and those of them that training changes; None if it cannot be built.
        inputs, output: shapes without the batch, and what they hold; or why it cannot be built.
        note: what the figures rest on, where that is not the config alone.
    """

    config: str
    family: str
    total: int | None
    trainable: int | None
    inputs: str
    output: str
    note: str = ""


@torch.no_grad()
def summarise(config: Config) -> list[Summary]:
    """The models of a config, both of an autoencoder; the output's shape is what a forward pass gives.

    A model that cannot be built here is a row that says why.
    """
    rows, options = [], config.model
    try:
        sketch, note = options.sketched()
        for name, stage in sketch.stages().items():
            # What reads captions switches autocast off, which "meta" does not know; it is small.
            device = "cpu" if "caption" in stage.needs else "meta"
            with torch.device(device):
                model = build(stage)
            inputs = stage.example(config.data.size)
            answer: Tensor = model.eval()(*(tensor.to(device) for tensor in inputs.values()))
            trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
            words = " + ".join(f"{name} {shape_of(tensor)}" for name, tensor in inputs.items())
            output = f"{stage.gives} {shape_of(answer)}"
            rows.append(Summary(config.name, name, parameter_count(model), trainable, words, output, note))
    except (ImportError, OSError, ValueError) as error:
        rows.append(Summary(config.name, options.family, None, None, "-", f"cannot be built: {error}"))
    return rows


def shape_of(batch: Tensor) -> str:
    """The shape of one item of a batch; a number is 1."""
    return "x".join(map(str, batch.shape[1:])) or "1"


def table(rows: Sequence[Summary]) -> str:
    """Aligned columns under a heading, and below them the notes."""
    cells: list[Sequence[str]] = [("config", "family", "weights", "trainable", "input", "output")]
    for row in rows:
        counts = ("-" if count is None else f"{count:,}" for count in (row.total, row.trainable))
        cells.append((row.config, row.family, *counts, row.inputs, row.output))
    notes = dict.fromkeys(f"{row.config}: {row.note}" for row in rows if row.note)
    return "\n".join([aligned(cells, right=(2, 3)), *([""] if notes else []), *notes])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line for each model."""
    parser = argparse.ArgumentParser(prog="python -m train.models", description=__doc__)
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="TOML files")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)  # open_clip would say that weights are random, as is meant
    rows, recipes = [], []
    for path in options.configs:
        try:
            config = load_config(path)
            rows += summarise(config)
            recipes.append(describe(config))
        except (OSError, ValueError) as error:
            parser.error(f"{path}: {error}")
    print("\n\n".join([table(rows), *filter(None, recipes)]))


if __name__ == "__main__":
    main()
