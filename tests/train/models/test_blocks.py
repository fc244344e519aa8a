from typing import Any

import pytest
import torch
from torch import nn

from train.models.blocks import (
    ACTIVATIONS,
    NORMS,
    UPSAMPLINGS,
    ConvBlock,
    DoubleConv,
    GlobalContext,
    ResidualConv,
    UpBlock,
    upsample,
)


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_convolutions_keep_the_resolution(norm: str, activation: str, separable: bool) -> None:
    for block in (ConvBlock, DoubleConv):
        features = torch.randn(2, 3, 6, 8)
        result = block(3, 12, norm=norm, activation=activation, separable=separable)(features)
        assert result.shape == (2, 12, 6, 8)
        assert result.isfinite().all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("separable", [False, True])
def test_biases_stand_where_no_normalisation_follows(norm: str, separable: bool) -> None:
    block = ConvBlock(4, 8, norm=norm, separable=separable)
    biases = [layer.bias is not None for layer in block if isinstance(layer, nn.Conv2d)]
    assert biases == [norm == "none"] * (1 + separable)


def test_options_of_separable_convolutions() -> None:
    def kinds(**style: Any) -> list[str]:
        return [type(layer).__name__ for layer in ConvBlock(4, 8, separable=True, **style)]

    assert kinds() == ["Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds(separable_norm=False) == ["Conv2d", "Conv2d", "BatchNorm2d", "ReLU"]
    convolutions = [m for m in ConvBlock(4, 8, separable=True, bias=True) if isinstance(m, nn.Conv2d)]
    assert all(m.bias is not None for m in convolutions)


def test_residual_block_keeps_what_it_gets() -> None:
    torch.manual_seed(0)
    block = ResidualConv(6)
    features = torch.randn(2, 6, 5, 7)
    nn.init.zeros_(block.layers[-1].weight)
    torch.testing.assert_close(block(features), features.relu())


@pytest.mark.parametrize("channels", [1, 3, 6, 8, 12, 20, 320])
def test_group_norm_fits_any_number_of_channels(channels: int) -> None:
    features = torch.randn(2, channels, 4, 4)
    result = NORMS["group"](channels)(features)
    assert result.shape == features.shape
    assert result.mean().item() == pytest.approx(0, abs=1e-5)


def test_inplace_activations_keep_the_input() -> None:
    features = torch.randn(1, 3, 4, 4)
    before = features.clone()
    DoubleConv(3, 4, norm="none")(features)
    assert torch.equal(features, before)


def test_dropout_is_left_out_when_zero() -> None:
    assert not any(isinstance(m, nn.Dropout2d) for m in DoubleConv(3, 4).modules())
    dropout = [m for m in DoubleConv(3, 4, dropout=0.3).modules() if isinstance(m, nn.Dropout2d)]
    assert [m.p for m in dropout] == [0.3]


def test_context_adds_one_value_a_channel() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 6, 3, 5)
    added = GlobalContext(6)(features) - features
    torch.testing.assert_close(added, added[..., :1, :1].expand_as(added))
    assert added.abs().sum() > 0


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("skip_channels", [0, 5])
def test_up_block_doubles_and_joins(upsampling: str, skip_channels: int) -> None:
    seen = []

    def convolutions(inputs: int, outputs: int) -> nn.Module:
        seen.append(inputs)
        return nn.Conv2d(inputs, outputs, 1)

    block = UpBlock(8, skip_channels, 7, upsampling=upsampling, convolutions=convolutions)
    skip = torch.randn(2, skip_channels, 6, 8) if skip_channels else None
    assert block(torch.randn(2, 8, 3, 4), skip).shape == (2, 7, 6, 8)
    kept = {"bilinear": 8, "bilinear_1x1": 4, "transposed": 4, "transposed_same": 8}
    assert seen == [kept[upsampling] + skip_channels]


def test_reducing_before_enlarging_is_the_same_as_after() -> None:
    torch.manual_seed(0)
    block = UpBlock(8, 0, 4, upsampling="bilinear_1x1", convolutions=lambda i, o: nn.Identity())
    features = torch.randn(1, 8, 3, 4)
    assert block.reduce is not None
    torch.testing.assert_close(block(features, None), block.reduce(upsample(features, 2)))


def test_unknown_upsampling() -> None:
    with pytest.raises(ValueError, match=r"must be one of bilinear, .*, got 'cubic'"):
        UpBlock(4, 4, 4, upsampling="cubic", convolutions=ConvBlock)


def test_upsample_by_hand() -> None:
    row = upsample(torch.tensor([[[[0.0, 4.0]]]]), 2)
    torch.testing.assert_close(row, torch.tensor([[[[0.0, 1.0, 3.0, 4.0]] * 2]]))
