"""A model's part of a checkpoint folder: its options in config.json, its weights in model.safetensors."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

WEIGHTS, CONFIG = "model.safetensors", "config.json"
CONFIGS = Path(__file__).parents[1] / "configs"
RUNS = "runs"
"""Folder of all runs whose config gives no other."""

Options = TypeVar("Options")


class _Stored(BaseModel):
    """The config of a training run, of which only the table `model` is looked at."""

    model: dict[str, Any]


def read_options(folder: str | Path, check: Callable[[dict[str, Any]], Options]) -> Options:
    """The options of the model in a checkpoint.

    Args:
        folder: of the checkpoint.
        check: makes options of the table `model`, a family's `model_validate` say.

    Raises:
        FileNotFoundError: the folder is not a checkpoint.
        ValueError: its config is damaged, or `check` does not take it.
    """
    path = checkpoint_file(folder, CONFIG)
    try:
        return check(_Stored.model_validate_json(path.read_bytes()).model)
    except ValidationError as error:
        raise damaged_config(path, error) from error


def load_weights(model: nn.Module, folder: str | Path, part: str = "") -> None:
    """Put a checkpoint's weights into a model of the same architecture.

    Args:
        model: which takes them.
        folder: of the checkpoint.
        part: of the checkpoint's model; "" for all of it.

    Raises:
        FileNotFoundError: the folder is not a checkpoint.
        ValueError: its weights are damaged.
        RuntimeError: they are of another architecture.
    """
    path = checkpoint_file(folder, WEIGHTS)
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}; copy or train it again") from error
    prefix = f"{part}." if part else ""
    model.load_state_dict(
        {
            name.removeprefix(prefix): tensor.float() if tensor.dtype == torch.float16 else tensor
            for name, tensor in state.items()
            if name.startswith(prefix)
        }
    )


def checkpoint_file(folder: str | Path, name: str) -> Path:
    """A file of a checkpoint; FileNotFoundError, which says what makes it, where it is missing."""
    path = Path(folder) / name
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a checkpoint: {path} is missing{_made_by(Path(folder))}")
    return path


def _made_by(folder: Path) -> str:
    """Which command makes the checkpoint of a run, if it is one of the repository's."""
    if folder.parts[:1] != (RUNS,):
        return ""
    for path in sorted(CONFIGS.glob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if Path(document.get("output") or f"{RUNS}/{document['name']}") in folder.parents:
            command = f"accelerate launch train/train.py --config train/configs/{path.name}"
            return f"; an earlier run makes it: {command}"
    return "; docs/train.md says which command makes it"


def damaged_config(path: Path, error: ValidationError) -> ValueError:
    """What to say of a config that does not fit."""
    return ValueError(f"{path} is damaged or not a petseg config: {error}")
