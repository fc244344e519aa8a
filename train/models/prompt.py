"""The promptable family: a U-Net looks at the photo once, a light head answers each prompt."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.apart import Apart
from train.models.blocks import GlobalContext, places, upsample
from train.models.family import Borrowed, family, last_parts
from train.models.promptable import Features, Promptable, PromptableConfig
from train.models.unet import UNet, UNetConfig

GROUPS = 4
"""Groups of channels, each with its own cosine similarity to what was clicked."""
EPSILON = 1e-3


class PromptConfig(PromptableConfig):
    """Options of `PromptNet`.

    Attributes:
        unet: the photo stage.
        unet_checkpoint: checkpoint folder whose weights the photo stage starts from.
        freeze: part of the photo stage that stays as it starts: nothing, its encoder, or all of it. The
            statistics of a frozen part's batch normalisation stay too.
        widths: channels of the head at each level of the U-Net's decoder, coarsest first.
        blocks: residual blocks of the head at each level.
        kernels: side of their depthwise convolutions.
        apart: numbers by which each place says which animal it is of, see `Apart`; 0 for none.
    """

    family: str = "prompt"
    unet: UNetConfig = UNetConfig()
    unet_checkpoint: str | None = None
    freeze: Literal["none", "encoder", "unet"] = "none"
    widths: list[int] = Field(default=[64, 48, 32, 16])
    blocks: list[int] = Field(default=[3, 2, 1, 1])
    kernels: list[int] = Field(default=[7, 5, 5, 3])
    apart: int = Field(default=0, ge=0)

    @property
    def origin(self) -> str:
        """What the photo stage starts from."""
        start = self.unet_checkpoint
        return f"continued from {last_parts(start)}" if start else self.unet.origin

    @property
    def borrowed(self) -> Borrowed | None:
        """The photo stage, from a whole U-Net."""
        return Borrowed("unet", self.unet_checkpoint) if self.unet_checkpoint else None

    def without_start(self) -> Self:
        """The same without pretrained weights."""
        return self.model_copy(update={"unet": self.unet.without_start(), "unet_checkpoint": None})


class ResidualBlock(nn.Module):
    """Depthwise k x k convolution and two pointwise ones around the identity (after arXiv:2201.03545)."""

    def __init__(self, channels: int, kernel: int, expansion: int = 2) -> None:
        super().__init__()
        inner = expansion * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        result: Tensor = features + self.layers(features)
        return result


class PromptLevel(nn.Module):
    """One resolution of the head: what came from below, the photo's features, the prompt, then blocks.

    Args:
        below: channels of the coarser level, 0 for none.
        width: channels of the photo's features and of the result.
        blocks, kernel: number and size of the residual blocks.
        context: whether the whole square's mean is added after the first block.
    """

    def __init__(self, below: int, width: int, blocks: int, kernel: int, *, context: bool) -> None:
        super().__init__()
        self.below = nn.Conv2d(below, width, 1, bias=False) if below else None
        # Two channels of evidence, their similarities, and the place relative to the clicks.
        self.planes = nn.Conv2d(2 + 2 * GROUPS + 3, width, 1, bias=False)
        self.query = nn.Conv2d(2 * width, width, 1)
        self.start = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        layers: list[nn.Module] = [ResidualBlock(width, kernel) for _ in range(blocks)]
        if context:
            layers.insert(1, GlobalContext(width))
        self.blocks = nn.Sequential(*layers)

    def forward(
        self,
        below: Tensor | None,
        features: Tensor,
        scale: Tensor,
        evidence: Tensor,
        weights: Tensor,
        place: Tensor,
    ) -> Tensor:
        """Join and convolve.

        Args:
            below: (B, C, h/2, w/2) of the coarser level.
            features, scale: (B, width, h, w) of the photo, and what `reciprocal_lengths` gives for it.
            evidence, weights: (B, 2, h, w), from `pyramid`.
            place: (B, 2, 1, 1) x and y of the clicks' centre, in sides of the square.

        Returns:
            (B, width, h, w).
        """
        queries = [weighted_mean(features, weights[:, i : i + 1]) for i in (0, 1)]
        similar = [similarity(features, scale, query) for query in queries]
        joined = torch.cat([evidence, *similar, offsets(features, place)], dim=1)
        result = features + self.planes(joined) + self.query(torch.cat(queries, dim=1))
        if self.below is not None and below is not None:
            # A pointwise convolution and an enlargement commute: the cheaper order.
            result = result + upsample(self.below(below), 2)
        convolved: Tensor = self.blocks(self.start(result))
        return convolved


def pyramid(prompt: Tensor, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The prompt at the resolution of each map, coarsest first.

    Returns:
        The evidence, its highest value in each cell, and the weights under which features are averaged:
        the mean of its fourth power, so that a tiny animal outweighs what is around it. Each (B, 2, h, w).
    """
    stride = prompt.shape[-1] // maps[-1].shape[-1]
    evidence = [F.max_pool2d(prompt, stride) if stride > 1 else prompt]
    squared = evidence[0] * evidence[0]
    weights = [squared * squared]
    for _ in maps[1:]:
        evidence.insert(0, F.max_pool2d(evidence[0], 2))
        weights.insert(0, F.avg_pool2d(weights[0], 2))
    return evidence, weights


def weighted_mean(features: Tensor, weights: Tensor) -> Tensor:
    """Mean feature under weights, 0 where there are none: (B, C, h, w), (B, 1, h, w) -> (B, C, 1, 1)."""
    total = weights.sum((2, 3), keepdim=True)
    mean = (features * weights).sum((2, 3), keepdim=True) / (total + EPSILON)
    return mean.to(features.dtype)


def reciprocal_lengths(features: Tensor) -> Tensor:
    """One over the length of each group of channels: (B, C, h, w) -> (B, GROUPS, h, w)."""
    return torch.rsqrt(_group_sums(features * features) + EPSILON)


def similarity(features: Tensor, scale: Tensor, query: Tensor) -> Tensor:
    """Cosine of every location with the query, by groups of channels.

    Args:
        features, scale: (B, C, h, w), and their `reciprocal_lengths`.
        query: (B, C, 1, 1).

    Returns:
        (B, GROUPS, h, w).
    """
    return _group_sums(features * query) * scale * reciprocal_lengths(query)


def _group_sums(features: Tensor) -> Tensor:
    _, channels, height, width = features.shape
    return features.reshape(-1, GROUPS, channels // GROUPS, height, width).sum(2)


def offsets(features: Tensor, place: Tensor) -> Tensor:
    """x, y and distance of every location from `place`: (B, C, h, w), (B, 2, 1, 1) -> (B, 3, h, w)."""
    height, width = features.shape[-2:]
    difference = places(height, width, place) - place
    distance = torch.sqrt((difference * difference).sum(1, keepdim=True) + 1e-6)
    return torch.cat([difference, distance], dim=1)


def centre(weights: Tensor) -> Tensor:
    """Mean place of positive weights, in sides of the square: (B, 2, h, w) -> (B, 2, 1, 1) x, y."""
    positive = weights[:, :1]
    size = weights.shape[-1]
    steps = (torch.arange(size, device=weights.device, dtype=weights.dtype) + 0.5) / size
    x = (positive.sum(2, keepdim=True) * steps).sum(3, keepdim=True)
    y = (positive.sum(3, keepdim=True) * steps[:, None]).sum(2, keepdim=True)
    return torch.cat([x, y], dim=1) / (positive.sum((2, 3), keepdim=True) + EPSILON)


@family(PromptConfig)
class PromptNet(Promptable):
    """The embedded promptable model; see `Promptable` for what goes in and comes out.

    The head adds to the U-Net's semantic logits, so that it only has to learn which of the animals is meant.
    """

    semantic = True

    def __init__(self, config: PromptConfig) -> None:
        super().__init__()
        self.freeze = config.freeze
        self.unet = UNet(config.unet)
        self.stride = self.unet.stride
        channels = self.unet.widths
        widths = config.widths
        for name, values in (("widths", widths), ("blocks", config.blocks), ("kernels", config.kernels)):
            if len(values) != len(channels):
                raise ValueError(f"{name} needs one number for each of {len(channels)} levels, got {values}")
        if any(width % GROUPS for width in widths):
            raise ValueError(f"widths must be multiples of {GROUPS}, got {widths}")
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))
            for i, o in zip(channels, widths, strict=True)
        )
        self.levels = nn.ModuleList(
            PromptLevel(below, width, blocks, kernel, context=below == 0 and blocks > 0)
            for below, width, blocks, kernel in zip(
                [0, *widths[:-1]], widths, config.blocks, config.kernels, strict=True
            )
        )
        self.head = nn.Conv2d(widths[-1], self.classes, 1)
        self.apart = Apart(widths[0], widths[1], config.apart) if config.apart else None
        for parameter in self._frozen().parameters():
            parameter.requires_grad_(False)

    def _frozen(self) -> nn.Module:
        parts = {"none": nn.Identity(), "encoder": self.unet.encoder, "unet": self.unet}
        return parts[self.freeze]

    def train(self, mode: bool = True) -> "PromptNet":
        """Training mode for all but the frozen part."""
        super().train(mode)
        self._frozen().eval()
        return self

    def encode(self, image: Tensor) -> Features:
        """What the photo says whatever the prompt.

        Args:
            image: (B, 3, S, S) uint8.

        Returns:
            A (B, C, h, w) map for each level, coarsest first, the (B, GROUPS, h, w) reciprocal lengths of
            each, what `Apart` says if the model has it, and the semantic logits (B, 3, h, w), which have the
            finest level's resolution.
        """
        levels, semantic, _presence = self.unet.decoded(image)
        maps = [project(features) for features, project in zip(levels, self.projections, strict=True)]
        vectors = [self.apart(*maps[:2], semantic)] if self.apart is not None else []
        return (*maps, *map(reciprocal_lengths, maps), *vectors, semantic)

    def decode(self, features: Features, prompt: Tensor) -> Tensor:
        """See `Promptable`."""
        *photo, semantic = features
        maps, scales = photo[: len(self.levels)], photo[len(self.levels) : 2 * len(self.levels)]
        evidence, weights = pyramid(prompt, maps)
        place = centre(weights[-1])
        result = None
        for level, *inputs in zip(self.levels, maps, scales, evidence, weights, strict=True):
            result = level(result, *inputs, place)
        logits = semantic + self.head(result)
        factor = prompt.shape[-1] // logits.shape[-1]
        return upsample(logits, factor) if factor > 1 else logits
