from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from train.models import build, parameter_count
from train.models.unet import Answer, UNet, UNetConfig, check_size, normalise

TINY: dict[str, Any] = {"width": 4, "depth": 2}
MOBILENET: dict[str, Any] = {"encoder": "mobilenet_v2", "decoder": [16, 16, 8, 8]}
TIMM: dict[str, Any] = {"encoder": "timm/test_efficientnet", "upsampling": "bilinear", "separable": True}

OPTIONS: list[dict[str, Any]] = [
    TINY,
    {"width": 12, "depth": 1},
    {"width": 2, "depth": 3},
    *({**TINY, "norm": norm} for norm in ("batch", "group", "none")),
    {"width": 12, "depth": 2, "norm": "group"},
    {**TINY, "norm": "group", "separable": True},
    *({**TINY, "activation": activation} for activation in ("relu6", "leaky_relu", "gelu", "silu")),
    {**TINY, "dropout": 0.2},
    {**TINY, "upsampling": "bilinear"},
    {**TINY, "upsampling": "transposed"},
    {**TINY, "separable": True},
    {**TINY, "separable": True, "norm": "none"},
    {**TINY, "decoder_convolutions": 1},
    {**TINY, "decoder": [6, 10]},
    {**TINY, "context": True},
    MOBILENET,
    {
        **MOBILENET,
        "upsampling": "bilinear",
        "separable": True,
        "context": True,
        "decoder_convolutions": 1,
        "dropout": 0.1,
    },
    {"encoder": "mobilenet_v2", "norm": "group"},
    TIMM,
    {**TIMM, "presence": True},
]


def make(options: dict[str, Any]) -> UNet:
    torch.manual_seed(0)
    model = build(UNetConfig(**options))
    assert isinstance(model, UNet)
    return model


def photos(count: int, height: int, width: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, height, width or height), dtype=torch.uint8, generator=generator)


every_option = pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: ",".join(f"{key}={value}" for key, value in options.items())
)


@every_option
def test_forward_and_backward(options: dict[str, Any]) -> None:
    model = make(options)
    size = 2 * model.stride
    answer = model(photos(2, size))
    logits = answer.logits if isinstance(answer, Answer) else answer
    assert isinstance(answer, Answer) == bool(options.get("presence"))
    assert logits.shape == (2, 3, size, size)
    assert logits.dtype == torch.float32
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    (logits * weights).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


@every_option
def test_round_trip_of_the_state(options: dict[str, Any]) -> None:
    model = make(options)
    image = photos(2, 2 * model.stride)
    model(image)  # moves the normalisation's statistics
    model.eval()
    other = UNet(UNetConfig(**options)).eval()
    with torch.inference_mode():
        expected = model(image)
        assert not torch.equal(other(image), expected)
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(image), expected)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 20), (32, 4)])
def test_any_multiple_of_the_stride_fits(height: int, width: int) -> None:
    assert make(TINY).eval()(photos(1, height, width)).shape == (1, 3, height, width)


@pytest.mark.parametrize(
    ("options", "height", "width", "fits"),
    [
        (TINY, 31, 33, "32 x 32"),
        (TINY, 32, 30, "32 x 32"),
        (TINY, 1, 9, "4 x 8"),
        (MOBILENET, 250, 500, "256 x 512"),
        (MOBILENET, 8, 96, "32 x 96"),
    ],
)
def test_wrong_size_names_the_one_that_fits(
    options: dict[str, Any], height: int, width: int, fits: str
) -> None:
    model = make(options).eval()
    expected = rf"photo of {height} x {width} does not fit a model of stride {model.stride}; .* is {fits}$"
    with pytest.raises(ValueError, match=expected):
        model(photos(1, height, width))


def test_check_size_accepts_multiples() -> None:
    check_size(torch.zeros(1, 3, 64, 96), 32)


@pytest.mark.parametrize(("options", "stride"), [(TINY, 4), ({"width": 2, "depth": 4}, 16), (MOBILENET, 32)])
def test_stride(options: dict[str, Any], stride: int) -> None:
    assert make(options).stride == stride


def test_normalise() -> None:
    values = normalise(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(values, torch.tensor([-1.0, -0.6, 1.0]))


def test_dropout_acts_in_training_only() -> None:
    model = make({**TINY, "norm": "none", "dropout": 0.5})
    image = photos(1, 16)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))


def test_in_evaluation_photos_of_a_batch_do_not_know_each_other() -> None:
    model = make({**TINY, "context": True})
    batch = photos(3, 16)
    model(batch)
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(batch)[1:2], model(batch[1:2]))


def test_original_unet_has_31_million_weights() -> None:
    with torch.device("meta"):
        model = UNet(UNetConfig(width=64, depth=4))
    assert round(parameter_count(model) / 1e6, 1) == 31.0


def test_separable_convolutions_are_lighter() -> None:
    assert parameter_count(make({**TINY, "separable": True})) < 0.5 * parameter_count(make(TINY))


def test_skips_reach_the_decoder() -> None:
    """A pixel's own colour decides about its logits more than what lies far away."""
    model = make({**TINY, "norm": "none"}).eval()
    image = photos(1, 32)
    changed = image.clone()
    changed[..., 5, 5] = 255 - changed[..., 5, 5]
    difference = (model(changed) - model(image)).abs().sum((0, 1))
    assert difference[5, 5] > 0
    assert difference[3:8, 3:8].sum() > difference[24:, 24:].sum()


@pytest.mark.parametrize(
    "bad",
    [
        {"encoder": "resnet50"},
        {"family": "clip"},
        {"norm": "layer"},
        {"activation": "tanh"},
        {"upsampling": "nearest"},
        {"decoder_convolutions": 3},
        {"width": 0},
        {"depth": 0},
        {"dropout": 1.0},
        {"attention": True},
    ],
)
def test_unknown_options(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        UNetConfig.model_validate(bad)


@pytest.mark.parametrize(
    ("options", "levels"), [({**TINY, "decoder": [8]}, 2), ({**MOBILENET, "decoder": [8, 8, 8, 8, 8]}, 4)]
)
def test_decoder_of_the_wrong_depth(options: dict[str, Any], levels: int) -> None:
    with pytest.raises(ValueError, match=f"decoder needs {levels} widths for this encoder"):
        make(options)


def test_a_photo_in_which_no_pet_is_believed_has_none_at_any_pixel() -> None:
    model = make({**TIMM, "presence": True}).eval()
    assert model.presence is not None
    image = photos(2, 64)
    with torch.inference_mode():
        for cat, dog in ((20.0, 20.0), (-50.0, 20.0), (-50.0, -50.0)):
            model.presence.linear.weight.zero_()
            model.presence.linear.bias.copy_(torch.tensor([cat, dog]))
            classes = model(image).argmax(1)
            if cat == dog == 20.0:
                assert set(classes.unique().tolist()) - {0}, "the case shows nothing"
            assert (cat > 0) or not (classes == 1).any()
            assert (dog > 0) or not (classes == 2).any()


def test_the_head_is_in_training_what_the_logits_take_into_account() -> None:
    model = make({**TIMM, "presence": True})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    image = photos(2, 64)
    answer = model(image)
    assert answer.presence.shape == (2, 2)
    torch.testing.assert_close(model.eval()(image), answer.logits)


@pytest.mark.parametrize("encoder", ["plain", "mobilenet_v2"])
def test_the_head_needs_an_encoder_of_timm(encoder: str) -> None:
    with pytest.raises(ValueError, match=f"presence needs an encoder of timm, got '{encoder}'"):
        UNet(UNetConfig(encoder=encoder, presence=True))
