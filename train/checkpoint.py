"""A checkpoint is a folder: model.safetensors, config.json and, after training, history.csv."""

import hashlib
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from petseg.pixels import saving
from train.config import Config
from train.models import build

WEIGHTS, CONFIG, HISTORY = "model.safetensors", "config.json", "history.csv"


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
    path = _file(folder, CONFIG)
    try:
        config = Config.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path} is damaged or not a petseg config: {error}") from error
    model = build(without_start(config).model)
    load_weights(model, folder)
    return model.eval(), config


def load_weights(model: nn.Module, folder: str | Path) -> None:
    """Put a checkpoint's weights into a model of the same architecture; raises as `load_checkpoint`."""
    path = _file(folder, WEIGHTS)
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}; copy or train it again") from error
    model.load_state_dict({k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()})


def _file(folder: str | Path, name: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a checkpoint: {path} is missing")
    return path


def without_start(config: Config) -> Config:
    """The config with no pretrained start: what a checkpoint's own weights replace."""
    return config.model_copy(update={"model": config.model.without_start()})


def checkpoint_sha256(folder: str | Path) -> str:
    """Hex digest of the checkpoint's weight file."""
    return hashlib.sha256((Path(folder) / WEIGHTS).read_bytes()).hexdigest()
