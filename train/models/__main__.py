"""What the models of configs are: `python -m train.models train/configs/*.toml`.

Models are built without memory for their weights, so even the largest takes a moment, and without their
pretrained start, so that none need be here.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.checkpoint import without_start
from train.config import Config, load_config
from train.models import build, parameter_count
from train.models.autoencoder import AutoencoderConfig
from train.models.clip_encoders import EncoderConfig
from train.models.contrastive import ContrastiveConfig
from train.report.tables import aligned


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


def models(config: Config) -> Iterator[tuple[str, nn.Module]]:
    """Family and model; both stages of an autoencoder. All but the contrastive on the "meta" device."""
    options = without_start(config).model
    stages = {options.family: options}
    if isinstance(options, AutoencoderConfig):
        tasks = ("reconstruction", "segmentation") if options.task == "segmentation" else (options.task,)
        stages = {f"{options.family} ({t})": options.model_copy(update={"task": t}) for t in tasks}
    # The contrastive one switches autocast off, which "meta" does not know; it is small.
    device = "cpu" if isinstance(options, ContrastiveConfig) else "meta"
    for name, stage in stages.items():
        with torch.device(device):
            yield name, build(stage)


def inputs_of(model: nn.Module, config: Config) -> dict[str, Tensor]:
    """What the model takes, in order: its words, and one of it on the CPU."""
    size, options = config.data.size, config.model
    inputs = {f"photo 3x{size}x{size}": torch.zeros(1, 3, size, size, dtype=torch.uint8)}
    if getattr(model, "prompts", ()):
        inputs[f"prompt 2x{size}x{size}"] = torch.zeros(1, 2, size, size)
    if isinstance(options, ContrastiveConfig):
        inputs[f"caption {options.length}"] = torch.zeros(1, options.length, dtype=torch.int64)
    if getattr(options, "oracle_text", False):
        inputs["true species 1"] = torch.zeros(1, dtype=torch.int64)
    return inputs


@torch.no_grad()
def summarise(config: Config) -> list[Summary]:
    """The models of a config; the output's shape is what a forward pass gives.

    A model that cannot be built here is a row that says why.
    """
    rows, note, options = [], "", config.model
    try:
        if isinstance(options, EncoderConfig):
            options, source = options.sketched()
            note = f"encoder without its weights, by {source}"
        elif isinstance(options, ContrastiveConfig) and not options.vocabulary:
            note = f"without the words of its captions, {options.width} weights each, which training collects"
        config = config.model_copy(update={"model": options})
        for family, model in models(config):
            inputs = inputs_of(model, config)
            device = next(model.parameters()).device
            answer: Any = model.eval()(*(tensor.to(device) for tensor in inputs.values()))
            kind = "photo" if "reconstruction" in family else "logits"
            kind = "similarity" if isinstance(options, ContrastiveConfig) else kind
            shape = "x".join(map(str, answer.shape[1:]))
            trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
            total = parameter_count(model)
            words = " + ".join(inputs)
            rows.append(Summary(config.name, family, total, trainable, words, f"{kind} {shape}", note))
    except (ImportError, OSError, ValueError) as error:
        rows.append(Summary(config.name, options.family, None, None, "-", f"cannot be built: {error}"))
    return rows


def table(rows: Sequence[Summary]) -> str:
    """Aligned columns under a heading, and below them the notes."""
    cells = [("config", "family", "weights", "trainable", "input", "output")]
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
    rows = []
    for path in options.configs:
        try:
            rows += summarise(load_config(path))
        except (OSError, ValueError) as error:
            parser.error(f"{path}: {error}")
    print(table(rows))


if __name__ == "__main__":
    main()
