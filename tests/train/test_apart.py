"""Teaching a promptable model to tell animals apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from petseg.pixels.classes import BORDER
from petseg.pixels.geometry import bounds
from train.apart import Known, loss_of, main, teach
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import Config
from train.data.scenes import Scene, around_all
from train.models import build
from train.models.apart import Apart
from train.models.prompt import PromptNet

PROMPT = {
    "family": "prompt",
    "unet": {"width": 4, "depth": 3, "upsampling": "bilinear"},
    "widths": [16, 8, 8],
    "blocks": [1, 1, 1],
    "kernels": [5, 3, 3],
}


@pytest.fixture
def start(tmp_path: Path, make_config: Callable[..., Config]) -> Config:
    """The config of a checkpoint in tmp_path / "start"."""
    document = make_config().model_dump()
    document["prompting"]["photos"] = 12
    config = Config.model_validate(document | {"model": PROMPT})
    save_checkpoint(tmp_path / "start", build(config.model), config)
    return config


def with_head(config: Config, start: Path) -> Config:
    document = config.model_dump()
    document["model"]["apart"] = 6
    return Config.model_validate(document | {"start": str(start)})


def test_nothing_but_the_head_learns(tmp_path: Path, start: Config) -> None:
    config = with_head(start, tmp_path / "start")
    taught = teach(config)
    assert isinstance(taught.apart, Apart)
    save_checkpoint(tmp_path / "taught", taught, config)
    again, _ = load_checkpoint(tmp_path / "taught")
    before, _ = load_checkpoint(tmp_path / "start")
    assert isinstance(again, PromptNet)
    assert isinstance(before, PromptNet)
    for name, tensor in before.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, msg=name)
    side = config.data.size
    photo, prompt = (
        torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8),
        torch.zeros(1, 2, side, side),
    )
    prompt[:, 0, 5, 5] = 1
    torch.testing.assert_close(again(photo, prompt), before(photo, prompt))
    features = again.encode(photo)
    assert len(features) == len(before.encode(photo)) + 1
    assert features[-2].shape[1] == 6
    assert features[-1].shape[1] == 3


def test_a_head_that_is_right_loses_nothing() -> None:
    """Two animals, and vectors that are those of their halves."""

    class Right(torch.nn.Module):
        def forward(self, coarse: torch.Tensor, fine: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
            return fine

    whose = torch.zeros(2, 8, 8, dtype=torch.uint8)
    whose[0, :, :4], whose[0, :, 4:], whose[0, 0] = 1, 2, BORDER  # the second photo shows nobody
    right = torch.where(whose == 2, 9.0, 0.0)[:, None]
    generator = torch.Generator().manual_seed(0)

    def lost(fine: torch.Tensor) -> float:
        seen = Known(fine, fine, fine, whose)
        return float(loss_of(Right(), seen, generator))  # type: ignore[arg-type]

    assert lost(right) < 0.05
    assert lost(torch.zeros_like(right)) > 1


def test_what_is_looked_at_shows_all_animals() -> None:
    generator = np.random.default_rng(0)
    instances = np.zeros((100, 200), np.uint8)
    instances[40:60, 90:100], instances[45:60, 120:130] = 1, 2
    scene = Scene(np.zeros((100, 200, 3), np.uint8), instances, np.zeros(256, np.uint8))
    for _ in range(20):
        close = around_all(scene, generator)
        height, width = close.instances.shape
        assert close.image.shape == (height, width, 3)
        assert 36 <= max(height, width) <= 60
        x0, y0, x1, y1 = bounds(close.instances != 0)
        assert x1 - x0 >= 36
        assert y1 - y0 >= 18
    empty = Scene(scene.image, np.zeros_like(instances), scene.species)
    assert around_all(empty, generator) is empty


@pytest.mark.parametrize("missing", ["apart", "start"])
def test_a_config_that_says_too_little_is_refused(tmp_path: Path, start: Config, missing: str) -> None:
    config = with_head(start, tmp_path / "start")
    if missing == "start":
        config = config.model_copy(update={"start": None})
    else:
        config = config.model_copy(update={"model": start.model})
    with pytest.raises(ValueError, match=r"with model\.apart and a start"):
        teach(config)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path / "nowhere.toml"), "--output", str(tmp_path / "out")])
    assert left.value.code == 1
    assert "cannot learn" in capsys.readouterr().err
