"""What a family's config answers, and what registering a family takes."""

from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from train.config import load_config
from train.loops import trainer_class
from train.loops.autoencoder import AutoencoderTrainer
from train.loops.clip import ClipTrainer
from train.loops.contrastive import ContrastiveTrainer
from train.loops.photos import PhotoTrainer
from train.loops.prompt import PromptTrainer
from train.models import ModelConfig, build
from train.models.autoencoder import AutoencoderConfig
from train.models.clip import ClipConfig
from train.models.clip_prompt import ClipPromptConfig
from train.models.contrastive import ContrastiveConfig
from train.models.family import Borrowed, FamilyConfig, any_family, family
from train.models.prompt import PromptConfig
from train.models.prompt_unet import PromptUNetConfig
from train.models.unet import UNetConfig

CONFIGS = Path(__file__).parents[3] / "train/configs"
FAMILIES = {
    "unet": UNetConfig,
    "autoencoder": AutoencoderConfig,
    "prompt": PromptConfig,
    "contrastive": ContrastiveConfig,
    "clip": ClipConfig,
    "clip_prompt": ClipPromptConfig,
    "prompt_unet": PromptUNetConfig,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_name_tells_the_family(name: str) -> None:
    adapter: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)
    options = adapter.validate_python({"family": name})
    assert type(options) is FAMILIES[name]
    assert adapter.validate_json(adapter.dump_json(options)) == options
    assert options.family == name
    with pytest.raises(ValidationError, match=f"options of the family '{name}', not of 'other'"):
        FAMILIES[name].model_validate({"family": "other"})


def test_a_table_without_a_name_is_a_u_net() -> None:
    adapter: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)
    assert adapter.validate_python({"width": 8}) == UNetConfig(width=8)


@pytest.mark.parametrize(
    ("options", "trainer"),
    [
        (UNetConfig(), PhotoTrainer),
        (AutoencoderConfig(), AutoencoderTrainer),
        (PromptConfig(), PromptTrainer),
        (ContrastiveConfig(), ContrastiveTrainer),
        (ClipConfig(), ClipTrainer),
        (ClipPromptConfig(), PromptTrainer),
        (PromptUNetConfig(), PromptTrainer),
    ],
)
def test_each_family_has_its_trainer(options: FamilyConfig, trainer: type) -> None:
    assert trainer_class(options) is trainer


@pytest.mark.parametrize(
    ("options", "needs", "gives"),
    [
        (UNetConfig(), (), "logits"),
        (AutoencoderConfig(), (), "logits"),
        (AutoencoderConfig(task="reconstruction"), (), "photo"),
        (PromptConfig(), ("prompt",), "logits"),
        (ContrastiveConfig(), ("caption",), "similarity"),
        (ClipConfig(), (), "logits"),
        (ClipConfig(oracle_text=True), ("true species",), "logits"),
        (ClipPromptConfig(), ("prompt",), "logits"),
        (PromptUNetConfig(), ("prompt",), "logits"),
    ],
)
def test_what_a_model_needs_and_gives(options: FamilyConfig, needs: tuple[str, ...], gives: str) -> None:
    assert (options.needs, options.gives) == (needs, gives)
    assert tuple(options.example(64)) == ("photo", *needs)


def test_what_a_model_starts_from() -> None:
    assert UNetConfig().origin == ClipConfig(encoder=None).origin == ""
    assert UNetConfig(weights="a/mobilenet_v2-voc.safetensors").origin == (
        "encoder started from COCO and Pascal VOC"
    )
    assert ContrastiveConfig(weights="a/own.safetensors").origin == "encoder started from own.safetensors"
    assert ClipConfig(encoder="/x/openai/clip").origin == "frozen encoder openai/clip"
    unet = UNetConfig(weights="own.safetensors")
    assert PromptConfig(unet=unet).origin == "encoder started from own.safetensors"
    prompt = PromptConfig(unet=unet, unet_checkpoint="runs/unet/best")
    assert prompt.origin == "continued from unet/best"
    assert prompt.borrowed == Borrowed("unet", "runs/unet/best")
    assert AutoencoderConfig(encoder_checkpoint="a").borrowed == Borrowed("encoder", "a", "encoder")
    assert prompt.without_start().borrowed is AutoencoderConfig().borrowed is None


def test_a_family_is_registered_where_it_is_written() -> None:
    class ColourConfig(FamilyConfig):
        family: str = "colour"

    @family(ColourConfig)
    class Colour(nn.Module):
        def __init__(self, config: ColourConfig) -> None:
            super().__init__()
            self.mix = nn.Conv2d(3, 3, 1)

        def forward(self, image: Tensor) -> Tensor:
            mixed: Tensor = self.mix(image.float())
            return mixed

    options = TypeAdapter(any_family()).validate_python({"family": "colour"})
    assert build(options)(torch.zeros(1, 3, 4, 4, dtype=torch.uint8)).shape == (1, 3, 4, 4)
    assert trainer_class(options) is PhotoTrainer
    with pytest.raises(ValueError, match="there is a family 'colour' already"):
        family(ColourConfig)


def test_every_config_of_a_study_loads() -> None:
    paths = sorted((CONFIGS / "studies").glob("*.toml"))
    assert {load_config(path).model.family for path in paths} >= {
        "unet",
        "clip",
        "clip_prompt",
        "prompt_unet",
    }
