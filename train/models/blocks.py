"""The pieces that encoders and decoders are built from."""

import math
from collections.abc import Callable
from functools import partial
from typing import TypedDict, Unpack

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


UPSAMPLINGS: dict[str, Callable[[int], int]] = {
    "bilinear": lambda channels: channels,
    "bilinear_1x1": lambda channels: channels // 2,
    "transposed": lambda channels: channels // 2,
    "transposed_same": lambda channels: channels,
}
"""Ways to double the resolution (bilinear, with a 1x1 convolution, a learned 2x2 one) -> channels left."""


class ConvStyle(TypedDict, total=False):
    """What all convolutions of a model have in common, see `ConvBlock`."""

    norm: str
    activation: str
    separable: bool
    separable_norm: bool
    bias: bool
    norm_last: bool


class ConvBlock(nn.Sequential):
    """3x3 convolution, normalisation, activation: (B, in, H, W) -> (B, out, H / stride, W / stride).

    Args:
        separable: a depthwise 3x3 convolution followed by a pointwise one (MobileNet,
            arXiv:1704.04861) instead of a full one.
        separable_norm: a normalisation between those two as well.
        bias: give convolutions a bias even where a normalisation follows, which makes it idle.
        norm_last: the activation comes before the normalisation, not after it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        norm: str = "batch",
        activation: str = "relu",
        separable: bool = False,
        separable_norm: bool = True,
        bias: bool = False,
        norm_last: bool = False,
    ) -> None:
        bias = bias or norm == "none" or norm_last
        layers: list[nn.Module] = []
        if separable:
            layers.append(
                nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=bias)
            )
            if separable_norm:
                layers.append(NORMS[norm](in_channels))
            layers.append(nn.Conv2d(in_channels, out_channels, 1, bias=bias))
        else:
            layers.append(nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=bias))
        after = [NORMS[norm](out_channels), ACTIVATIONS[activation]()]
        super().__init__(*layers, *(reversed(after) if norm_last else after))


class DoubleConv(nn.Sequential):
    """Two `ConvBlock`s, the U-Net's unit (arXiv:1505.04597), with optional dropout after them.

    Args:
        stride: of the first one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dropout: float = 0.0,
        **style: Unpack[ConvStyle],
    ) -> None:
        super().__init__(
            ConvBlock(in_channels, out_channels, stride=stride, **style),
            ConvBlock(out_channels, out_channels, **style),
            nn.Dropout2d(dropout) if dropout else nn.Identity(),
        )


class TransposedBlock(nn.Sequential):
    """Transposed convolution, normalisation, activation, dropout: (B, in, H, W) -> (B, out, 2H, 2W).

    Args:
        kernel: side of the transposed convolution, 2 or 3.
        groups: of its channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 2,
        groups: int = 1,
        dropout: float = 0.0,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        super().__init__(
            doubling(in_channels, out_channels, kernel, groups),
            NORMS[norm](out_channels),
            ACTIVATIONS[activation](),
            *([nn.Dropout2d(dropout)] if dropout else []),
        )


def doubling(in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> nn.ConvTranspose2d:
    """A transposed convolution of stride 2 that doubles the resolution exactly; its kernel is 2 or 3."""
    padding = kernel - 2
    return nn.ConvTranspose2d(
        in_channels, out_channels, kernel, 2, padding=padding, output_padding=padding, groups=groups
    )


def convolutions(count: int, dropout: float = 0.0, **style: Unpack[ConvStyle]) -> Callable[..., nn.Module]:
    """What builds one level: `ConvBlock`, with dropout after it, or `DoubleConv`.

    Args:
        count: 1 or 2.
        dropout: share of channels.
    """
    if count == 2:
        return partial(DoubleConv, dropout=dropout, **style)
    if not dropout:
        return partial(ConvBlock, **style)
    return lambda i, o, stride=1: nn.Sequential(
        ConvBlock(i, o, stride=stride, **style), nn.Dropout2d(dropout)
    )


class ResidualConv(nn.Module):
    """Two 3x3 convolutions around the identity, ResNet's basic block (arXiv:1512.03385)."""

    def __init__(self, channels: int, *, norm: str = "batch", activation: str = "relu") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(channels, channels, norm=norm, activation=activation),
            nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "none"),
            NORMS[norm](channels),
        )
        self.activation = ACTIVATIONS[activation]()

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        result: Tensor = self.activation(features + self.layers(features))
        return result


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
        result: Tensor = features + self.project(features)
        return result


class PresenceHead(nn.Module):
    """Which of the pets a photo shows at all, from the mean of its features.

    Its log-probabilities are meant to be added to the logits of the pets, so that a photo in which no pet is
    believed has none at any pixel: P(pixel is a cat) = P(cat in the photo) P(pixel is a cat | it is there).
    """

    def __init__(self, channels: int, pets: int = 2) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, pets)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, pets): logits of there being one, each for itself."""
        logits: Tensor = self.linear(self.pool(features).flatten(1))
        return logits


class AttentionGate(nn.Module):
    """Scales each location of the encoder's features by what the decoder says (arXiv:1804.03999).

    Args:
        channels: of the encoder's features.
        gate_channels: of the decoder's, at the same resolution.
    """

    def __init__(self, channels: int, gate_channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.of_skip = nn.Conv2d(channels, inner, 1, bias=False)
        self.of_gate = nn.Conv2d(gate_channels, inner, 1)
        self.weigh = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(inner, 1, 1), nn.Sigmoid())

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """(B, C, H, W), (B, G, H, W) -> (B, C, H, W)."""
        weighed: Tensor = skip * self.weigh(self.of_skip(skip) + self.of_gate(gate))
        return weighed


class UpBlock(nn.Module):
    """Double the resolution, join the encoder's features of that resolution, convolve.

    Args:
        in_channels: of the coarser features.
        skip_channels: of the encoder's features; 0 for none.
        out_channels: of the result.
        upsampling: a key of `UPSAMPLINGS`.
        convolutions: builds the convolutions after joining, from (in, out) channels.
        beside: how many of `in_channels` a doubling that halves channels leaves out of account.
        gated: let the coarser features decide where the encoder's count, see `AttentionGate`.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        upsampling: str,
        convolutions: Callable[[int, int], nn.Module],
        beside: int = 0,
        gated: bool = False,
    ) -> None:
        super().__init__()
        if upsampling not in UPSAMPLINGS:
            raise ValueError(f"upsampling must be one of {', '.join(UPSAMPLINGS)}, got {upsampling!r}")
        self.out_channels = out_channels
        kept = UPSAMPLINGS[upsampling](in_channels - beside)
        self.transposed: nn.ConvTranspose2d | None = None
        self.reduce: nn.Conv2d | None = None
        if upsampling.startswith("transposed"):
            self.transposed = nn.ConvTranspose2d(in_channels, kept, 2, stride=2)
        elif kept != in_channels:
            self.reduce = nn.Conv2d(in_channels, kept, 1, bias=False)
        self.gate = AttentionGate(skip_channels, kept) if gated and skip_channels else None
        self.convolutions = convolutions(kept + skip_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """(B, in, H, W), (B, skip, 2H, 2W) or None -> (B, out, 2H, 2W)."""
        if self.reduce is not None:
            # A pointwise convolution and an enlargement commute: the cheaper order.
            features = self.reduce(features)
        features = self.transposed(features) if self.transposed is not None else upsample(features, 2)
        if skip is not None:
            if self.gate is not None:
                skip = self.gate(skip, features)
            features = torch.cat([features, skip], dim=1)
        result: Tensor = self.convolutions(features)
        return result


def places(height: int, width: int, like: Tensor) -> Tensor:
    """x and y of every place, in sides of the photo: (2, height, width), of another tensor's kind."""
    rows, columns = (
        (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side for side in (height, width)
    )
    return torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])


def upsample(features: Tensor, factor: int, *, aligned: bool = False) -> Tensor:
    """Bilinear enlargement by a whole factor, (B, C, H, W) -> (B, C, factor H, factor W).

    Args:
        features: see above.
        factor: see above.
        aligned: the centres of the corner pixels stay in the corners, instead of their outer edges.
    """
    return F.interpolate(features, scale_factor=float(factor), mode="bilinear", align_corners=aligned)
