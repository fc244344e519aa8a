"""The pieces that encoders and decoders are built from."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(8, channels), channels),
    "none": lambda channels: nn.Identity(),
}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.1, inplace=True),
    "gelu": nn.GELU,
    "silu": lambda: nn.SiLU(inplace=True),
}


class ConvBlock(nn.Sequential):
    """3x3 convolution, normalisation, activation: (B, in, H, W) -> (B, out, H, W).

    Args:
        separable: a depthwise 3x3 convolution followed by a pointwise one (MobileNet,
            arXiv:1704.04861) instead of a full one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: str = "batch",
        activation: str = "relu",
        separable: bool = False,
    ) -> None:
        bias = norm == "none"
        layers: list[nn.Module] = []
        if separable:
            layers += [
                nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=bias),
                NORMS[norm](in_channels),
                nn.Conv2d(in_channels, out_channels, 1, bias=bias),
            ]
        else:
            layers.append(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias))
        super().__init__(*layers, NORMS[norm](out_channels), ACTIVATIONS[activation]())


class DoubleConv(nn.Sequential):
    """Two `ConvBlock`s, the U-Net's unit (arXiv:1505.04597), with optional dropout after them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: str = "batch",
        activation: str = "relu",
        separable: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            ConvBlock(in_channels, out_channels, norm=norm, activation=activation, separable=separable),
            ConvBlock(out_channels, out_channels, norm=norm, activation=activation, separable=separable),
            nn.Dropout2d(dropout) if dropout else nn.Identity(),
        )


class GlobalContext(nn.Module):
    """Adds a projection of the photo's mean feature to every pixel, so that one animal gets one species.

    The image-level branch of DeepLabv3 (arXiv:1706.05587), added instead of concatenated.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1),
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return features + self.project(features)


class UpBlock(nn.Module):
    """Double the resolution, join the encoder's features of that resolution, convolve.

    Args:
        in_channels: of the coarser features.
        skip_channels: of the encoder's features; 0 for none.
        out_channels: of the result.
        upsampling: "bilinear", or "transposed" for a learned 2x2 convolution that halves the channels.
        convolutions: builds the convolutions after joining, from (in, out) channels.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        upsampling: str,
        convolutions: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.transposed: nn.ConvTranspose2d | None = None
        if upsampling == "transposed":
            self.transposed = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
            in_channels //= 2
        elif upsampling != "bilinear":
            raise ValueError(f"upsampling must be 'bilinear' or 'transposed', got {upsampling!r}")
        self.convolutions = convolutions(in_channels + skip_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """(B, in, H, W), (B, skip, 2H, 2W) or None -> (B, out, 2H, 2W)."""
        features = self.transposed(features) if self.transposed is not None else upsample(features, 2)
        if skip is not None:
            features = torch.cat([features, skip], dim=1)
        return self.convolutions(features)


def upsample(features: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement by a whole factor, (B, C, H, W) -> (B, C, factor H, factor W)."""
    return F.interpolate(features, scale_factor=float(factor), mode="bilinear", align_corners=False)
