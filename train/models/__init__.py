"""The model families. A family's config names it, and `build` makes the model."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter
from torch import nn

from petseg import hub
from train.models.autoencoder import Autoencoder, AutoencoderConfig
from train.models.clip import Clip, ClipConfig
from train.models.clip_prompt import ClipPrompt, ClipPromptConfig
from train.models.contrastive import ContrastiveConfig, DualEncoder
from train.models.prompt import PromptConfig, PromptNet
from train.models.prompt_unet import PromptUNet, PromptUNetConfig
from train.models.stored import load_weights, read_options
from train.models.unet import UNet, UNetConfig


def _family(config: Any) -> str:
    """The family that a table or a config names; a U-Net where it names none."""
    return config.get("family", "unet") if isinstance(config, dict) else config.family


ModelConfig = Annotated[
    Annotated[UNetConfig, Tag("unet")]
    | Annotated[AutoencoderConfig, Tag("autoencoder")]
    | Annotated[PromptConfig, Tag("prompt")]
    | Annotated[ContrastiveConfig, Tag("contrastive")]
    | Annotated[ClipConfig, Tag("clip")]
    | Annotated[ClipPromptConfig, Tag("clip_prompt")]
    | Annotated[PromptUNetConfig, Tag("prompt_unet")],
    Discriminator(_family),
]
"""The options of any family; the field `family` tells which."""
_ANY_FAMILY: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)

_FAMILIES: dict[type, type[nn.Module]] = {
    UNetConfig: UNet,
    AutoencoderConfig: Autoencoder,
    PromptConfig: PromptNet,
    ContrastiveConfig: DualEncoder,
    ClipConfig: Clip,
    ClipPromptConfig: ClipPrompt,
    PromptUNetConfig: PromptUNet,
}


def build(config: ModelConfig) -> nn.Module:
    """A model with random or pretrained start.

    All models map uint8 photos (B, 3, S, S) to float logits (B, 3, S, S) of background, cat and dog; one
    with a class attribute `prompts` takes a prompt (B, 2, S, S) as well. The dual encoder of the family
    "contrastive" is no such model: it compares photos with captions.
    """
    return _FAMILIES[type(config)](config)


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
    options: ModelConfig = read_options(folder, _ANY_FAMILY.validate_python)
    return restore(options, folder)


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
