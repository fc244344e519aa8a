"""The promptable family: a U-Net looks at the photo once, a light head answers each prompt."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.blocks import GlobalContext, upsample
from train.models.unet import UNet, UNetConfig, check_size, normalise

GROUPS = 4
"""Groups of channels, each with its own cosine similarity to what was clicked."""
SHARPNESS = 4
"""Power of a click's heat in the mean feature under it: a tiny animal shall outweigh what is around it."""
EPSILON = 1e-3

Features = tuple[Tensor, ...]
"""What the photo stage leaves: (B, C, h, w) maps, coarsest first, the semantic logits at the end."""
Correct = Callable[[Tensor], Tensor]
"""Answers in, next prompts out."""


class PromptConfig(BaseModel):
    """Options of `PromptNet`.

    Attributes:
        unet: the photo stage.
        unet_checkpoint: checkpoint folder whose weights the photo stage starts from.
        freeze: part of the photo stage that stays as it starts: nothing, its encoder, or all of it. The
            statistics of a frozen part's batch normalisation stay too.
        widths: channels of the head at each level of the U-Net's decoder, coarsest first.
        blocks: residual blocks of the head at each level.
        kernels: side of their depthwise convolutions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["prompt"] = "prompt"
    unet: UNetConfig = UNetConfig()
    unet_checkpoint: str | None = None
    freeze: Literal["none", "encoder", "unet"] = "none"
    widths: list[int] = [64, 48, 32, 16]
    blocks: list[int] = [3, 2, 1, 1]
    kernels: list[int] = [7, 5, 5, 3]

    def without_start(self) -> "PromptConfig":
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
        return features + self.layers(features)


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
        self, below: Tensor | None, features: Tensor, evidence: Tensor, weights: Tensor, place: Tensor
    ) -> Tensor:
        """Join and convolve.

        Args:
            below: (B, C, h/2, w/2) of the coarser level.
            features: (B, width, h, w) of the photo.
            evidence, weights: (B, 2, h, w), from `pyramid`.
            place: (B, 2, 1, 1) x and y of the clicks' centre, in sides of the square.

        Returns:
            (B, width, h, w).
        """
        queries = [weighted_mean(features, weights[:, i : i + 1]) for i in (0, 1)]
        similar = [similarity(features, query) for query in queries]
        joined = torch.cat([evidence, *similar, offsets(features, place)], dim=1)
        result = features + self.planes(joined) + self.query(torch.cat(queries, dim=1))
        if self.below is not None and below is not None:
            # A pointwise convolution and an enlargement commute: the cheaper order.
            result = result + upsample(self.below(below), 2)
        return self.blocks(self.start(result))


def pyramid(prompt: Tensor, maps: Features) -> tuple[list[Tensor], list[Tensor]]:
    """The prompt at the resolution of each map, coarsest first.

    Returns:
        The evidence, its highest value in each cell, and the weights under which features are averaged:
        the mean of its power `SHARPNESS`. Each (B, 2, h, w).
    """
    stride = prompt.shape[-1] // maps[-1].shape[-1]
    evidence = [F.max_pool2d(prompt, stride) if stride > 1 else prompt]
    weights = [evidence[0] ** SHARPNESS]
    for _ in maps[1:]:
        evidence.insert(0, F.max_pool2d(evidence[0], 2))
        weights.insert(0, F.avg_pool2d(weights[0], 2))
    return evidence, weights


def weighted_mean(features: Tensor, weights: Tensor) -> Tensor:
    """Mean feature under weights, 0 where there are none: (B, C, h, w), (B, 1, h, w) -> (B, C, 1, 1)."""
    total = weights.sum((2, 3), keepdim=True)
    mean = (features * weights).sum((2, 3), keepdim=True) / (total + EPSILON)
    return mean.to(features.dtype)


def similarity(features: Tensor, query: Tensor) -> Tensor:
    """Cosine of every location with the query, by groups of channels: (B, C, h, w) -> (B, GROUPS, h, w)."""
    _, channels, height, width = features.shape
    shape = (-1, GROUPS, channels // GROUPS, height, width)
    products = (features * query).reshape(shape).sum(2)
    lengths = (features * features).reshape(shape).sum(2) + EPSILON
    other = (query * query).reshape(-1, GROUPS, channels // GROUPS, 1, 1).sum(2) + EPSILON
    return products * torch.rsqrt(lengths * other)


def offsets(features: Tensor, place: Tensor) -> Tensor:
    """x, y and distance of every location from `place`: (B, C, h, w), (B, 2, 1, 1) -> (B, 3, h, w)."""
    height, width = features.shape[-2:]
    rows = (torch.arange(height, device=place.device, dtype=place.dtype) + 0.5) / height
    columns = (torch.arange(width, device=place.device, dtype=place.dtype) + 0.5) / width
    grid = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])
    difference = grid - place
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


class PromptNet(nn.Module):
    """uint8 photos (B, 3, S, S) and prompts (B, 2, S, S) -> float logits (B, 3, S, S) of the clicked thing.

    `encode` does what depends on the photo alone, `decode` answers one prompt; the prompt is
    what `petseg.prompts.encode` makes. The head adds to the U-Net's semantic logits, so that it only has
    to learn which of the animals is meant.
    """

    classes = 3
    prompts = ("point", "box")

    def __init__(self, config: PromptConfig) -> None:
        super().__init__()
        self.freeze = config.freeze
        self.unet = UNet(config.unet)
        self.stride = self.unet.stride
        channels = [block.out_channels for block in self.unet.decoder]
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
            One (B, width, h, w) map for each level, coarsest first, then the semantic logits
            (B, 3, h, w) at the finest level's resolution.
        """
        check_size(image, self.stride)
        unet = self.unet
        *skips, features = unet.encoder(normalise(image))
        features = unet.context(features)
        maps = []
        for block, skip, project in zip(unet.decoder, reversed(skips), self.projections, strict=True):
            features = block(features, skip)
            maps.append(project(features))
        return (*maps, unet.head(features))

    def decode(self, features: Features, prompt: Tensor) -> Tensor:
        """Answer one prompt for each photo.

        Args:
            features: from `encode`.
            prompt: (B, 2, S, S) float32, 0..1, evidence for and against.

        Returns:
            (B, 3, S, S) logits: the clicked animal in its class, all else background.
        """
        *maps, semantic = features
        evidence, weights = pyramid(prompt, maps)
        place = centre(weights[-1])
        result = None
        for level, *inputs in zip(self.levels, maps, evidence, weights, strict=True):
            result = level(result, *inputs, place)
        logits = semantic + self.head(result)
        factor = prompt.shape[-1] // logits.shape[-1]
        return upsample(logits, factor) if factor > 1 else logits

    def converse(self, image: Tensor, prompt: Tensor, correct: Correct, rounds: int) -> Tensor:
        """Answer several prompts for each photo, and the prompts that follow from the answers.

        Args:
            image: (B, 3, S, S) uint8.
            prompt: (B * P, 2, S, S), the P prompts of a photo one after the other.
            correct: detached answers (B * P, 3, S, S) -> the next prompts (B * P, 2, S, S).
            rounds: answers to each.

        Returns:
            (rounds * B * P, 3, S, S) logits, round after round.
        """
        repeats = len(prompt) // len(image)
        features = tuple(map_.repeat_interleave(repeats, 0) for map_ in self.encode(image))
        answers = [self.decode(features, prompt)]
        for _ in range(rounds - 1):
            answers.append(self.decode(features, correct(answers[-1].detach())))
        return torch.cat(answers)

    def forward(
        self, image: Tensor, prompt: Tensor, correct: Correct | None = None, rounds: int = 1
    ) -> Tensor:
        """Both stages, (B, 3, S, S) logits; `converse` if there is somebody who corrects.

        Training goes through here whatever it does: this is the call that Accelerate wraps.
        """
        if correct is not None:
            return self.converse(image, prompt, correct, rounds)
        return self.decode(self.encode(image), prompt)
