"""A checkpoint is a folder: model.safetensors, config.json and, after training, history.csv."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from safetensors.torch import save
from torch import nn

from petseg.pixels import saving
from train.config import Config
from train.models import restore
from train.models.stored import CONFIG, WEIGHTS, checkpoint_file, damaged_config

HISTORY = "history.csv"
CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""What the embedded models were exported from, each by its name."""


def save_checkpoint(folder: Path, model: nn.Module, config: Config, *, half: bool = False) -> None:
    """Write weights and config; `half` stores floats as fp16, which halves the file.

    The files are written beside and renamed, so that a killed run leaves whole ones.
    """
    state = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in model.state_dict().items()
    }
    saving.write(folder / WEIGHTS, save(state))
    saving.write(folder / CONFIG, (config.model_dump_json(indent=2) + "\n").encode())


def load_checkpoint(folder: str | Path) -> tuple[nn.Module, Config]:
    """The model, in float32 and eval mode, and the config it was trained with.

    Raises:
        FileNotFoundError: the folder is not a checkpoint.
        ValueError: a file of it is damaged.
        RuntimeError: weights and config do not belong together.
    """
    config = load_checkpoint_config(folder)
    return restore(config.model, folder), config


def load_checkpoint_config(folder: str | Path) -> Config:
    """The config that a checkpoint was trained with; raises as `load_checkpoint`."""
    path = checkpoint_file(folder, CONFIG)
    try:
        return Config.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise damaged_config(path, error) from error


def known_configs(models: Sequence[str]) -> list[Config]:
    """The configs of those models that are checkpoints, or were exported from one of `CHECKPOINTS`."""
    folders = [[Path(name), CHECKPOINTS / name] for name in models]
    found = [next((each for each in pair if (each / CONFIG).is_file()), None) for pair in folders]
    return [load_checkpoint_config(folder) for folder in found if folder is not None]


def without_start(config: Config) -> Config:
    """The config with no pretrained start: what a checkpoint's own weights replace."""
    return config.model_copy(update={"model": config.model.without_start()})


def checkpoint_sha256(folder: str | Path) -> str:
    """Hex digest of the checkpoint's weight file."""
    return hashlib.sha256((Path(folder) / WEIGHTS).read_bytes()).hexdigest()
