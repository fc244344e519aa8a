"""Options that follow one published study or another to the letter, and the studies that use them."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from petseg.pixels.classes import BORDER
from tests.support.launching import ROOT
from train.config import Config, DataConfig, load_config
from train.data.augment import build_augmentation, fitting, to_tensors
from train.losses import LossConfig, build_loss, dice_loss
from train.models import build
from train.models.autoencoder import AutoencoderConfig
from train.models.blocks import ConvBlock, upsample
from train.models.clip_decoders import TransposedDecoder
from train.models.prompt_unet import PromptUNetConfig
from train.models.unet import UNetConfig, normalise
from train.people.targets import background_by_area, open_sessions
from train.sections import AugmentConfig

SPECIES = np.array([0, 1, *[0] * 253, BORDER], np.uint8)
STILL = dict.fromkeys(("flip", "crop", "elastic", "colour", "grayscale", "blur", "noise"), 0.0)


def study(name: str) -> Config:
    return load_config(ROOT / f"train/configs/studies/{name}.toml")


def test_scalings_of_photos() -> None:
    image = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert normalise(image)[0, :, 0, 0].tolist() == pytest.approx([-1, -0.6, 1])
    assert normalise(image, "unit")[0, :, 0, 0].tolist() == pytest.approx([0, 0.2, 1])
    wanted = [-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert normalise(image, "imagenet")[0, :, 0, 0].tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(width=4, depth=1, scaling="unit"),
        AutoencoderConfig(widths=[4], scaling="unit"),
        PromptUNetConfig(width=4, depth=1, heat=[4], scaling="unit"),
    ],
    ids=lambda config: config.family,
)
def test_a_model_sees_photos_scaled_as_it_asks(config: UNetConfig) -> None:
    model, seen = build(config), []
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    white = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    if isinstance(config, PromptUNetConfig):
        model.encode(white)
    else:
        model(white)
    assert seen[0].unique().tolist() == [1]
    seen.clear()
    with torch.no_grad():
        model.encode(0 * white) if isinstance(config, PromptUNetConfig) else model(0 * white)
    assert seen[0].unique().tolist() == [0]


def test_a_pretrained_encoder_scales_by_itself() -> None:
    with pytest.raises(ValidationError, match="mobilenet_v2 scales photos as its weights want them"):
        UNetConfig(encoder="mobilenet_v2", scaling="imagenet")


def test_the_normalisation_may_come_last() -> None:
    kinds = [type(layer) for layer in ConvBlock(3, 4, norm_last=True)]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    assert ConvBlock(3, 4, norm_last=True)[0].bias is not None  # which the normalisation does not undo
    assert [type(layer) for layer in ConvBlock(3, 4)] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_dice_of_each_photo_by_itself() -> None:
    logits, labels = torch.randn(3, 3, 6, 6), torch.randint(0, 3, (3, 6, 6))
    labels[0, 0], labels[1] = BORDER, 0
    each = [dice_loss(logits[i : i + 1], labels[i : i + 1]).item() for i in range(3)]
    for name in ("dice", "ce_dice", "focal_dice"):
        config = LossConfig.model_validate({"name": name, "dice_weight": 1.0, "per_photo": True})
        assert build_loss(config)(logits, labels).item() == pytest.approx(sum(each) / 3, rel=1e-5)
    assert dice_loss(logits, labels).item() != pytest.approx(sum(each) / 3, rel=1e-3)


def test_what_lies_beside_a_photo_may_be_background() -> None:
    photo, mask = np.full((10, 20, 3), 200, np.uint8), np.ones((10, 20), np.uint8)
    assert set(np.unique(fitting(32)(*to_tensors(photo, mask))[1])) == {1, BORDER}
    assert set(np.unique(fitting(32, outside="background")(*to_tensors(photo, mask))[1])) == {0, 1}
    moved = AugmentConfig.model_validate(
        STILL | {"affine": 1.0, "strengths": {"degrees": 45, "scale": (0.5, 0.5), "translate": 0.3}}
    )
    transform = build_augmentation(moved, 32, "black", outside="background")
    image, labels = transform(*to_tensors(photo, mask))
    assert set(np.unique(labels)) == {0, 1}
    assert image.min() == 0
    data = DataConfig(sources=[], outside="background", padding="black")
    assert data.fitting == {"padding": "black", "fit": "letterbox", "outside": "background"}


def test_corners_may_be_aligned() -> None:
    features = torch.arange(9.0).view(1, 1, 3, 3)
    enlarged = upsample(features, 4, aligned=True)
    assert enlarged.shape == (1, 1, 12, 12)
    assert torch.allclose(enlarged, F.interpolate(features, size=12, mode="bilinear", align_corners=True))
    torch.manual_seed(0)
    decoders = [
        TransposedDecoder([4], [4, 4, 4], enlargement=4, outputs=3, aligned=aligned).eval()
        for aligned in (False, True)
    ]
    decoders[1].load_state_dict(decoders[0].state_dict())
    maps = [torch.randn(1, 4, 3, 3)]
    assert not torch.allclose(*(decoder(maps) for decoder in decoders), atol=1e-4)


def test_the_background_is_clicked_by_its_area() -> None:
    instances = np.zeros((40, 40), np.uint8)
    instances[:8], instances[8:16] = 1, BORDER  # 320 pixels of an animal, 960 of the background
    assert background_by_area(instances, 0.5) == 480 / 800
    assert background_by_area(np.full((4, 4), BORDER, np.uint8), 0.5) == 0
    generator = np.random.default_rng(0)
    sessions = open_sessions(instances, SPECIES, generator, 400, 0.5, first="anywhere", box=0.5, by_area=True)
    animals = [session for session in sessions if session.target.species]
    assert 130 < len(animals) < 190
    assert 0.4 < sum(session.box is not None for session in animals) / len(animals) < 0.6


def test_study_a_normalises_after_relu() -> None:
    assert study("a_unet").model.norm_last  # type: ignore[union-attr]


@pytest.mark.parametrize(("letter", "photos"), [("a", 5870), ("b", 28336), ("c", 8956), ("d", 17440)])
def test_an_epoch_of_clicks_is_as_long_as_the_studys(letter: str, photos: int) -> None:
    assert study(f"{letter}_prompt").prompting.photos == photos


@pytest.mark.parametrize("name", ["d_autoencoder", "d_clip", "d_prompt", "d_unet"])
def test_study_d_as_its_program_is_printed(name: str) -> None:
    config = study(name)
    assert (config.data.padding, config.data.outside, config.data.border) == ("black", *["background"] * 2)
    assert config.augment.affine == config.reconstruction.augment.affine == 0.5 or name != "d_autoencoder"
    assert (config.augment.affine, config.augment.flip, config.augment.colour) == (0.5, 0.5, 0.3)
    assert getattr(config.model, "scaling", "unit") == "unit"
    assert config.loss.per_photo == (name != "d_prompt")
    assert getattr(config.model, "aligned", False) == (name == "d_clip")
    asked = config.prompting
    if name == "d_prompt":
        assert (asked.background, asked.by_area, asked.box) == (0.5, True, 0.5)


@pytest.mark.parametrize("name", ["e_fast_unet", "e_unet"])
def test_study_e_scales_photos_as_imagenets(name: str) -> None:
    assert study(name).model.scaling == "imagenet"  # type: ignore[union-attr]
