"""The model families. A family's config names it, and `build` makes the model."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pydantic import TypeAdapter
from torch import nn

from petseg import hub

# Each of these registers its family.
from train.models import autoencoder, clip, clip_prompt, contrastive, prompt, prompt_unet, unet  # noqa: F401
from train.models.family import FamilyConfig, any_family, build
from train.models.stored import load_weights, read_options

if TYPE_CHECKING:
    ModelConfig: TypeAlias = FamilyConfig
else:
    ModelConfig = any_family()
"""The options of any family; the field `family` tells which."""

_ANY: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)

__all__ = ["ModelConfig", "build", "from_pretrained", "parameter_count", "restore"]


def from_pretrained(model: str | os.PathLike[str], revision: str | None = None) -> nn.Module:
    """A trained model, in float32 and eval mode; every weight must be there and of the right shape.

    Args:
        model: a checkpoint folder, or NAME or ORG/NAME on the Hugging Face Hub, which `petseg.hub` pulls
            and verifies.
        revision: branch, tag or commit on the Hub; None is the newest.

    Raises:
        FileNotFoundError: the folder is not a checkpoint.
        ValueError: a file of it is damaged.
        RuntimeError: weights and config do not belong together.
        petseg.HubError: it is to come from the Hub, and does not.
    """
    here = revision is None and (isinstance(model, os.PathLike) or Path(model).exists())
    folder = Path(model) if here else hub.pull(os.fspath(model), revision)
    return restore(read_options(folder, _ANY.validate_python), folder)


def restore(options: ModelConfig, folder: str | Path) -> nn.Module:
    """The model of a checkpoint, in float32 and eval mode.

    Args:
        options: that it was trained with; a pretrained start is left out, its own weights replace it.
        folder: of the checkpoint.

    Raises:
        FileNotFoundError, ValueError, RuntimeError: as `train.models.stored.load_weights`.
    """
    model = build(options.without_start())
    load_weights(model, folder)
    return model.eval()


def parameter_count(model: nn.Module) -> int:
    """Number of weights, buffers left out."""
    return sum(parameter.numel() for parameter in model.parameters())
