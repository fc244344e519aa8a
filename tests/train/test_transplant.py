"""A trained head on another U-Net."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from train.checkpoint import save_checkpoint
from train.config import Config
from train.models import build
from train.models.prompt import PromptConfig, PromptNet
from train.transplant import Fit, main, transplant

PROMPT = {
    "family": "prompt",
    "unet": {"width": 4, "depth": 2, "upsampling": "bilinear"},
    "widths": [16, 8],
    "blocks": [1, 1],
    "kernels": [5, 3],
}


@pytest.fixture
def prompt_config(make_config: Callable[..., Config]) -> Config:
    document = make_config().model_dump()
    return Config.model_validate(document | {"model": PROMPT})


def saved(folder: Path, config: Config, seed: int) -> nn.Module:
    """A checkpoint with weights of its own."""
    torch.manual_seed(seed)
    model = build(config.model)
    save_checkpoint(folder, model, config)
    return model


def test_the_fit_is_that_of_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(500, 3, generator=generator) * torch.tensor([1.0, 2.0, 3.0]) + 5
    exact = torch.randn(3, 2, generator=generator)
    targets = features @ exact + torch.tensor([7.0, -3.0])
    fit = Fit(3, 2)
    fit.add(features[:200], targets[:200])
    fit.add(features[200:], targets[200:])
    convolution, norm = nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2)
    assert fit.store(convolution, norm) == pytest.approx(1, abs=0.01)
    for mode in (True, False):  # the statistics are those of the photos: both modes answer alike
        layers = nn.Sequential(convolution, norm).train(mode)
        found = layers(features.T[None, :, :, None])[0, :, :, 0].T
        torch.testing.assert_close(found, targets, atol=0.1, rtol=0.02)


def test_head_and_unet_come_from_where_they_were(tmp_path: Path, prompt_config: Config) -> None:
    assert isinstance(prompt_config.model, PromptConfig)
    old = saved(tmp_path / "old", prompt_config, 1)
    other = saved(tmp_path / "unet", prompt_config.model_copy(update={"model": prompt_config.model.unet}), 2)
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path / "nowhere.toml"), "--head", "x", "--unet", "y", "--output", str(tmp_path / "no")])
    assert left.value.code == 1
    model = transplant(prompt_config, tmp_path / "old", tmp_path / "unet")
    assert isinstance(old, PromptNet)
    for found, wanted in ((model.levels, old.levels), (model.head, old.head), (model.unet, other)):
        for name, tensor in wanted.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], tensor, msg=name)
    photo = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    assert model(photo, torch.zeros(1, 2, 32, 32)).isfinite().all()


def test_another_family_is_refused(
    tmp_path: Path, prompt_config: Config, make_config: Callable[..., Config]
) -> None:
    saved(tmp_path / "unet", make_config(), 1)
    with pytest.raises(ValueError, match="of the family prompt"):
        transplant(prompt_config, tmp_path / "unet", tmp_path / "unet")
