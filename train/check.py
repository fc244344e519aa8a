"""Whether a config will train, told in a minute: `python train/train.py --config CONFIG --check`.

Looks at some of the photos with their masks, then runs the real training on a few of them, in a folder that
is thrown away: what fails after hours fails here.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.config import Config
from train.data.captions import read_captioned_splits
from train.data.dataset import read_splits
from train.data.found import examine
from train.data.samples import Sample
from train.loops.autoencoder import AutoencoderTrainer, ReconstructionTrainer
from train.loops.base import Fits, Trainer
from train.loops.pace import in_words

LOOKED_AT = 64
"""Photos whose masks are read."""
STEPS = 4
"""Of training."""


def check(config: Config, path: Path, make: Callable[[Config], Fits]) -> str:
    """Try a config out.

    Args:
        config: of the run.
        path: its file, for the command that starts it.
        make: the trainer of a config.

    Returns:
        What was found, and how to start the run.

    Raises:
        petseg.PetsegError, OSError, ValueError: it would not train; the message says why.
    """
    captioned = "caption" in config.model.needs
    training: Sequence[Sample]
    training, validation = (read_captioned_splits if captioned else read_splits)(config.data)
    chosen = np.unique(np.linspace(0, len(training) - 1, LOOKED_AT).round().astype(int))
    shown = examine([training[index] for index in chosen])
    with tempfile.TemporaryDirectory() as scratch:
        short = shortened(config, len(training), Path(scratch))
        run = make(short)
        run.fit()
        seconds = seconds_in_all(run, config, short.data.share / config.data.share)
    optim = config.optim
    items = config.prompting.photos if "prompt" in config.model.needs else len(training)
    steps = max(1, items // optim.batch_size)
    lines = [
        f"{path} will train.",
        f"  {len({sample.name for sample in training}):,} photos to train on, "
        f"{len(validation):,} to validate on",
        f"  of {sum(shown.values())} masks that were looked at: "
        + ", ".join(f"{count} show {what}" for what, count in shown.most_common()),
        f"  {counted(optim.epochs, 'epoch')} of {counted(steps, 'step')}"
        + (f": about {in_words(seconds)} on this machine" if seconds else ""),
        f"  accelerate launch train/train.py --config {path}",
    ]
    return "\n".join(lines)


def seconds_in_all(run: Fits, config: Config, share: float) -> float | None:
    """How long a whole run takes, all its stages, by how long the steps of the short one took.

    Args:
        run: the short one, which has run.
        config: of the whole one.
        share: of the photos that the short one trained on; what is clicked is counted by the config instead.
    """
    total = 0.0
    for stage in run.trained if isinstance(run, AutoencoderTrainer) else [run]:
        if not isinstance(stage, Trainer) or stage.pace.seconds is None:
            return None
        options = config.reconstruction if isinstance(stage, ReconstructionTrainer) else config.optim
        items = len(stage.train_loader.dataset) / share
        if "prompt" in config.model.needs:
            items = config.prompting.photos
        total += stage.pace.seconds * max(1, items // options.batch_size) * options.epochs
    return total


def counted(number: int, what: str) -> str:
    """A number of things in words: "1 step", "1,200 steps"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shortened(config: Config, photos: int, folder: Path) -> Config:
    """The same run, over in some steps: a few photos, no collages, one process that reads them.

    Args:
        config: of the whole run.
        photos: that it trains on.
        folder: to write into.
    """
    wanted = STEPS * config.optim.batch_size
    shown = wanted if "prompt" in config.model.needs else min(wanted, photos)
    # As many epochs as it takes to know how long a step is, where photos are few.
    epochs, before = (
        -(-STEPS // max(1, shown // part.batch_size)) for part in (config.optim, config.reconstruction)
    )
    updates: dict[str, dict[str, Any]] = {
        "data": {"share": min(1.0, wanted / photos) * config.data.share, "balance": False, "workers": 0},
        "optim": {"epochs": epochs, "warmup_epochs": 0.0, "patience": 0},
        "reconstruction": {"epochs": before},
        "prompting": {"photos": wanted},
        "collage": {"probability": 0.0},
    }
    parts = {name: getattr(config, name).model_copy(update=update) for name, update in updates.items()}
    return config.model_copy(update={**parts, "output": str(folder / "run")})
