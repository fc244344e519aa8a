"""What the models of configs are: `python -m train.models train/configs/*.toml`.

Models are built without memory for their weights, so even the largest takes a moment.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from train.checkpoint import without_start
from train.config import Config, load_config
from train.models import build, parameter_count
from train.models.autoencoder import AutoencoderConfig


@dataclass(frozen=True)
class Summary:
    """One model.

    Attributes:
        config: name in the config.
        family: its family, and in brackets the task where there are several.
        total, trainable: weights, and those of them that training changes.
        inputs, output: shapes without the batch, and what they hold.
    """

    config: str
    family: str
    total: int
    trainable: int
    inputs: str
    output: str


def models(config: Config) -> Iterator[tuple[str, nn.Module]]:
    """Family and model on the "meta" device; both stages of an autoencoder."""
    options = without_start(config).model
    stages = {options.family: options}
    if isinstance(options, AutoencoderConfig):
        tasks = ("reconstruction", "segmentation") if options.task == "segmentation" else (options.task,)
        stages = {f"{options.family} ({t})": options.model_copy(update={"task": t}) for t in tasks}
    for name, stage in stages.items():
        with torch.device("meta"):
            yield name, build(stage)


@torch.no_grad()
def summarise(config: Config) -> list[Summary]:
    """The models of a config; the output's shape is what a forward pass gives."""
    size, rows = config.data.size, []
    for family, model in models(config):
        inputs = [torch.zeros(1, 3, size, size, dtype=torch.uint8, device="meta")]
        words = [f"photo 3x{size}x{size}"]
        if getattr(model, "prompts", ()):
            inputs.append(torch.zeros(1, 2, size, size, device="meta"))
            words.append(f"prompt 2x{size}x{size}")
        shape = "x".join(map(str, model.eval()(*inputs).shape[1:]))
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        kind = "photo" if "reconstruction" in family else "logits"
        total = parameter_count(model)
        rows.append(Summary(config.name, family, total, trainable, " + ".join(words), f"{kind} {shape}"))
    return rows


def table(rows: Sequence[Summary]) -> str:
    """Aligned columns under a heading."""
    cells = [("config", "family", "weights", "trainable", "input", "output")]
    cells += [(r.config, r.family, f"{r.total:,}", f"{r.trainable:,}", r.inputs, r.output) for r in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if index in (2, 3) else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line for each model."""
    parser = argparse.ArgumentParser(prog="python -m train.models", description=__doc__)
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="TOML files")
    options = parser.parse_args(arguments)
    print(table([row for path in options.configs for row in summarise(load_config(path))]))


if __name__ == "__main__":
    main()
