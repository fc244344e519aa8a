"""The promptable network: what it takes, what its two stages know, and how gradients flow."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from train.models import build, parameter_count
from train.models.prompt import (
    PromptConfig,
    PromptNet,
    centre,
    offsets,
    pyramid,
    reciprocal_lengths,
    similarity,
    weighted_mean,
)  # fmt: skip
from train.models.unet import UNet, UNetConfig

PLAIN = UNetConfig(width=4, depth=2, upsampling="bilinear")
SMALL = PromptConfig(unet=PLAIN, widths=[16, 8], blocks=[1, 1], kernels=[5, 3])
EMBEDDED = PromptConfig(
    unet=UNetConfig(
        encoder="timm/tf_efficientnet_lite2",
        decoder=[128, 96, 64, 32],
        upsampling="bilinear",
        separable=True,
        presence=True,
    )
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def photos(batch: int = 2, size: int = 32) -> Tensor:
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)


def click(x: int, y: int, size: int = 32, batch: int = 1) -> Tensor:
    prompt = torch.zeros(batch, 2, size, size)
    prompt[:, 0, y, x] = 1.0
    return prompt


@pytest.mark.parametrize("config", [SMALL, EMBEDDED], ids=["plain", "lite2"])
@pytest.mark.parametrize("size", [32, 64])
def test_logits_have_the_size_of_the_photo(config: PromptConfig, size: int) -> None:
    model = build(config).eval()
    assert isinstance(model, PromptNet)
    assert model.prompts == ("point", "box")
    assert model(photos(2, size), click(3, 3, size, 2)).shape == (2, 3, size, size)


def test_the_embedded_model_is_small_enough() -> None:
    assert parameter_count(build(EMBEDDED)) < 6e6


def test_features_know_nothing_of_the_prompt() -> None:
    model = build(SMALL).eval()
    image = photos(1)
    features = model.encode(image)
    first, second = (model.decode(features, click(x, 9)) for x in (4, 25))
    assert not torch.allclose(first, second)
    assert torch.equal(model(image, click(4, 9)), first)
    assert all(torch.equal(a, b) for a, b in zip(features, model.encode(image), strict=True))


def test_semantic_logits_are_the_unets_own() -> None:
    model = build(SMALL).eval()
    image = photos(1)
    assert torch.allclose(model.encode(image)[-1], model.unet(image), atol=1e-6)


def test_semantic_logits_take_the_image_level_head_into_account() -> None:
    model = build(EMBEDDED).eval()
    assert isinstance(model, PromptNet)
    assert model.unet.presence is not None
    with torch.no_grad():
        model.unet.presence.linear.weight.zero_()
        model.unet.presence.linear.bias.copy_(torch.tensor([-30.0, 30.0]))
        background, cat, dog = model.encode(photos(1))[-1][0]
    assert (cat < background - 20).all()
    assert (dog - background).abs().max() < 20


def test_a_unet_loads_into_the_photo_stage() -> None:
    build(SMALL).unet.load_state_dict(UNet(PLAIN).state_dict())


def test_items_of_a_batch_do_not_mix() -> None:
    model = build(SMALL).eval()
    image = photos(2)
    prompt = torch.cat([click(4, 9), click(25, 20)])
    both = model(image, prompt)
    for index in range(2):
        alone = model(image[index : index + 1], prompt[index : index + 1])
        assert torch.allclose(both[index : index + 1], alone, atol=1e-5)


@pytest.mark.parametrize("freeze", ["none", "encoder", "unet"])
def test_gradients_reach_what_is_not_frozen(freeze: str) -> None:
    model = build(SMALL.model_copy(update={"freeze": freeze})).train()
    model(photos(), click(4, 9, batch=2)).square().mean().backward()
    frozen = {"none": "nothing", "encoder": "unet.encoder.", "unet": "unet."}[freeze]
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(frozen), name
        assert parameter.requires_grad != name.startswith(frozen), name


def test_frozen_statistics_stay() -> None:
    model = build(SMALL.model_copy(update={"freeze": "encoder"})).train()
    before = {name: value.clone() for name, value in model.unet.encoder.named_buffers()}
    model(photos(), click(4, 9, batch=2))
    assert all(torch.equal(before[name], value) for name, value in model.unet.encoder.named_buffers())
    assert model.levels.training
    assert not model.unet.encoder.training


def test_converse_asks_again_about_the_same_photos() -> None:
    model = build(SMALL).eval()
    image, first, second = photos(2), click(4, 9, batch=6), click(25, 20, batch=6)
    seen = []

    def correct(logits: Tensor) -> Tensor:
        seen.append(logits)
        return second

    answers, semantic = model(image, first, correct, 2)
    assert semantic.shape == (2, 3, 32, 32)
    assert answers.shape == (12, 3, 32, 32)
    assert len(seen) == 1
    assert not seen[0].requires_grad
    repeated = image.repeat_interleave(3, 0)
    assert torch.allclose(answers[:6], model(repeated, first), atol=1e-5)
    assert torch.allclose(answers[6:], model(repeated, second), atol=1e-5)


def test_an_empty_prompt_gives_finite_logits() -> None:
    assert torch.isfinite(build(SMALL).eval()(photos(1), torch.zeros(1, 2, 32, 32))).all()


def test_similarity_is_highest_where_it_was_clicked() -> None:
    features = torch.randn(1, 16, 8, 8)
    weights = torch.zeros(1, 1, 8, 8)
    weights[..., 2, 5] = 1
    found = similarity(features, reciprocal_lengths(features), weighted_mean(features, weights))
    assert found.shape == (1, 4, 8, 8)
    assert (found.flatten(2).argmax(-1) == 2 * 8 + 5).all()
    assert found[..., 2, 5].min() > 0.99
    assert found.abs().max() <= 1


def test_centre_and_offsets_are_in_sides_of_the_square() -> None:
    place = centre(click(7, 3, 16))
    assert place.flatten().tolist() == pytest.approx([7.5 / 16, 3.5 / 16], rel=2e-3)
    planes = offsets(torch.zeros(1, 4, 16, 16), place)[0]
    assert planes[:, 3, 7].abs().max() < 2e-3
    assert planes[0, 3, 15].item() == pytest.approx(0.5, abs=1e-3)
    assert planes[1, 11, 7].item() == pytest.approx(0.5, abs=1e-3)
    assert planes[2, 11, 7].item() == pytest.approx(0.5, abs=2e-3)


def test_pyramid_keeps_the_height_of_a_click_at_every_stride() -> None:
    maps = tuple(torch.zeros(1, 1, side, side) for side in (4, 8, 16))
    evidence, weights = pyramid(click(7, 3), maps)
    assert [plane.shape[-1] for plane in evidence] == [4, 8, 16]
    assert all(plane.max() == 1 for plane in evidence)
    assert [float(plane.sum()) for plane in weights] == [1 / 16, 1 / 4, 1]


@pytest.mark.parametrize("wrong", [{"widths": [16]}, {"blocks": [1, 1, 1]}, {"kernels": []}])
def test_a_head_that_does_not_fit_the_decoder_is_refused(wrong: dict[str, list[int]]) -> None:
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"{name}.*2 levels"):
        build(PromptConfig.model_validate(SMALL.model_dump() | wrong))


def test_widths_that_make_no_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        build(SMALL.model_copy(update={"widths": [16, 6]}))


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="nearest size that does is"):
        build(SMALL)(photos(1, 34), click(3, 3, 34))


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        PromptConfig.model_validate({"colour": 1})
