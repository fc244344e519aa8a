"""The CLIP models of the published studies: what each reports about its own, held against ours."""

from pathlib import Path

import pytest
import torch
from torch import nn

from train.checkpoint import without_start
from train.config import Config, load_config
from train.models import build, parameter_count

VIT_B32, VIT_L14 = 87_456_000, 303_179_776
"""Weights of CLIP's vision towers; what brings their tokens into the texts' space comes on top."""
STUDIES = Path(__file__).parents[3] / "train/configs/studies"


def study(name: str) -> tuple[Config, nn.Module]:
    """Config and model, without memory for the weights."""
    config = load_config(STUDIES / f"{name}.toml")
    with torch.device("meta"):
        return config, build(without_start(config).model).eval()


def trainable(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("name", "size", "channels", "grid"),
    [
        ("a_clip", 352, [768] * 4, 11),
        ("a_clip_oracle", 352, [768] * 4, 11),
        ("b_clip", 224, [768], 16),
        ("c_clip", 224, [768], 7),
        ("d_clip", 224, [2048, 1024, 512, 256], 7),
    ],
)
def test_input_features_and_output(name: str, size: int, channels: list[int], grid: int) -> None:
    if name == "d_clip":
        pytest.importorskip("open_clip")
    config, model = study(name)
    assert config.data.size == size
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device="meta")
    maps = model.encoder(image)
    of_patches = [features for features in maps if features.shape[2:] != (1, 1)]
    assert [features.shape[1] for features in of_patches] == channels
    assert len(maps) - len(of_patches) == config.model.photo_embedding
    assert tuple(maps[0].shape[2:]) == (grid, grid)
    told = (torch.zeros(1, dtype=torch.int64, device="meta"),) if config.model.oracle_text else ()
    assert model(image, *told).shape == (1, 3, size, size)


def test_study_a_decoder_and_masks() -> None:
    config, model = study("a_clip")
    assert trainable(model) == pytest.approx(3.2e6, rel=0.015)
    assert config.model.layers == [8, 9, 10, 11]
    assert config.model.mask_size == 224
    blocks = sum(p.numel() for p in model.decoder.blocks.parameters())
    upsampling = sum(p.numel() for p in model.decoder.enlarge.parameters())
    assert (round(blocks / 1e6, 1), round(upsampling / 1e6, 1)) == (2.4, 0.3)
    assert config.model.prompts[2] == ["an image of a dog"]
    assert parameter_count(model) - trainable(model) == VIT_B32 + 768 * 512


def test_study_b_is_vit_l14_with_channel_attention() -> None:
    _, model = study("b_clip")
    assert parameter_count(model) - trainable(model) == VIT_L14 + 1024 * 768
    assert model.decoder.attention.weigh[1].in_channels == 256
    assert model.decoder.fuse[0].in_channels == 768 + 768


def test_study_c_goes_to_1024_channels_without_skips_or_text() -> None:
    _, model = study("c_clip")
    assert (model.decoder.start[0].in_channels, model.decoder.start[0].out_channels) == (768, 1024)
    assert "texts" not in dict(model.named_buffers())


def test_study_d_has_exactly_its_weights() -> None:
    pytest.importorskip("open_clip")
    config, model = study("d_clip")
    assert parameter_count(model) == 30_642_915
    assert trainable(model) == 7_115_651
    assert config.loss.name == "focal_dice"


def test_only_the_oracle_is_told() -> None:
    told = {path.stem for path in STUDIES.glob("*.toml") if _oracle(load_config(path))}
    assert told == {"a_clip_oracle"}


def _oracle(config: Config) -> bool:
    return bool(getattr(config.model, "oracle_text", False))
