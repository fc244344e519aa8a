"""Decoders for the feature maps of a frozen encoder.

Each maps features, deepest first, and texts to logits at the resolution it ends at. A decoder that reads text
works once for each text of a photo, and sees nothing of the others.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.blocks import (
    ConvBlock,
    GlobalContext,
    ResidualConv,
    TransposedBlock,
    UpBlock,
    convolutions,
    upsample,
)
from train.models.prompt import ResidualBlock


class Film(nn.Module):
    """Feature-wise linear modulation by a text (arXiv:1709.07871): scale and shift of each channel."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(embedding, 2 * channels)

    def forward(self, features: Tensor, texts: Tensor) -> Tensor:
        """(B, K or 1, C, h, w), (B or 1, K, D) -> (B, K, C, h, w)."""
        scale, shift = self.project(texts)[..., None, None].chunk(2, dim=2)
        modulated: Tensor = features * (1 + scale) + shift
        return modulated


class FilmBlock(nn.Module):
    """One resolution of `FilmDecoder`: the encoder's map, what came from below, the text, convolutions.

    Args:
        channels: of the encoder's map.
        below: channels of the coarser block, 0 for none.
        width: channels of the result.
        embedding: numbers of a text.
        blocks, kernel: number and size of the residual blocks.
    """

    def __init__(
        self, channels: int, below: int, width: int, embedding: int, *, blocks: int, kernel: int
    ) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.below = nn.Conv2d(below, width, 1, bias=False) if below else None
        self.film = Film(embedding, width)
        layers: list[nn.Module] = [ResidualBlock(width, kernel) for _ in range(blocks)]
        if not below:
            layers.insert(1, GlobalContext(width))
        self.blocks = nn.Sequential(nn.ReLU(inplace=True), *layers)

    def forward(self, features: Tensor, below: Tensor | None, texts: Tensor, side: tuple[int, int]) -> Tensor:
        """Join and convolve.

        Args:
            features: (B, C, h', w') of the encoder.
            below: (B * K, width, h, w) of the coarser block.
            texts: (B or 1, K, D).
            side: height and width of the result.

        Returns:
            (B * K, width, *side).
        """
        joined = enlarge(self.project(features), side)[:, None]
        if self.below is not None and below is not None:
            # A pointwise convolution and an enlargement commute: the cheaper order.
            joined = joined + enlarge(self.below(below), side).unflatten(0, (-1, texts.shape[1]))
        result: Tensor = self.blocks(self.film(joined, texts).flatten(0, 1))
        return result


class FilmDecoder(nn.Module):
    """One block for each feature map, each twice the resolution of the one before, conditioned on text.

    After CLIPSeg (arXiv:2112.10003), with convolutions in place of its transformer, and the text in every
    block instead of the first.

    Args:
        channels: of the feature maps.
        embedding: numbers of a text.
        widths, blocks, kernels: of the blocks, see `FilmBlock`; one number for each map.
        outputs: logits for each text.
    """

    def __init__(
        self,
        channels: Sequence[int],
        embedding: int,
        widths: Sequence[int],
        *,
        blocks: Sequence[int],
        kernels: Sequence[int],
        outputs: int,
    ) -> None:
        super().__init__()
        for name, values in (("widths", widths), ("blocks", blocks), ("kernels", kernels)):
            if len(values) != len(channels):
                raise ValueError(
                    f"{name} needs a number for each of {len(channels)} maps, got {list(values)}"
                )
        self.levels = nn.ModuleList(
            FilmBlock(of_map, below, width, embedding, blocks=count, kernel=kernel)
            for of_map, below, width, count, kernel in zip(
                channels, [0, *widths[:-1]], widths, blocks, kernels, strict=True
            )
        )
        self.head = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, maps: Sequence[Tensor], texts: Tensor) -> Tensor:
        """(B, C, h, w) maps, (B or 1, K, D) -> (B, K * outputs, 8 h, 8 w) for four maps."""
        height, width = maps[0].shape[-2:]
        result = None
        for index, (level, features) in enumerate(zip(self.levels, maps, strict=True)):
            result = level(features, result, texts, (height << index, width << index))
        return by_photo(self.head(result), texts)


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward part, a normalisation after each (arXiv:1706.03762).

    Args:
        channels: of a token.
        heads: of the attention.
        hidden: of the feed-forward part.
    """

    def __init__(self, channels: int, heads: int = 4, hidden: int = 2048) -> None:
        super().__init__()
        self.heads = heads
        self.ask, self.answer = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.feed = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        asked = self.ask(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*asked.unbind(0)).transpose(1, 2).flatten(2)
        tokens = self.norms[0](tokens + self.answer(seen))
        result: Tensor = self.norms[1](tokens + self.feed(tokens))
        return result


class TransformerDecoder(nn.Module):
    """A transformer block for each feature map, then transposed convolutions: CLIPSeg (arXiv:2112.10003).

    Every block adds its map, brought to `width`, to what the one before gave, and modulates it by the text;
    the projection of the text is one for all blocks, and so the deepest need not carry it through.

    Args:
        channels: of the feature maps.
        embedding: numbers of a text.
        width: channels of a block.
        joined: the last of the maps is the photo's own embedding, with which a text is multiplied.
        outputs: logits for each text.
    """

    def __init__(
        self, channels: Sequence[int], embedding: int, width: int, *, joined: bool, outputs: int
    ) -> None:
        super().__init__()
        self.joined = joined
        self.reduce = nn.ModuleList(nn.Conv2d(of_map, width, 1) for of_map in channels)
        self.film = Film(embedding, width)
        self.blocks = nn.ModuleList(TransformerBlock(width) for _ in channels)
        self.enlarge = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, width // 2, 4, 4),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width // 2, outputs, 4, 4),
        )

    def forward(self, maps: Sequence[Tensor], texts: Tensor) -> Tensor:
        """(B, C, h, w) maps, (B or 1, K, D) -> (B, K * outputs, 16 h, 16 w)."""
        if self.joined:
            *maps, photo = maps
            texts = texts * photo.flatten(1)[:, None]
        height, width = maps[0].shape[-2:]
        count = texts.shape[1]
        result: Tensor | None = None
        for features, reduce, block in zip(maps, self.reduce, self.blocks, strict=True):
            joined = reduce(features)[:, None]
            if result is not None:
                joined = joined + result
            tokens = self.film(joined, texts).flatten(3).transpose(2, 3)
            said = block(tokens.flatten(0, 1)).transpose(1, 2)
            result = said.unflatten(2, (height, width)).unflatten(0, (-1, count))
        assert result is not None
        return by_photo(self.enlarge(result.flatten(0, 1)), texts)


class TransposedDecoder(nn.Module):
    """A pointwise convolution, a transposed one, an enlargement, a convolution; it reads no text.

    Args:
        channels: of the feature maps, the deepest of which is used.
        widths: channels of the three convolutions.
        enlargement: factor, bilinear, before the last of them.
        aligned: see `blocks.upsample`.
        outputs: classes.
    """

    def __init__(
        self,
        channels: Sequence[int],
        widths: Sequence[int],
        *,
        enlargement: int,
        outputs: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        first, middle, last = widths
        self.reduce = nn.Sequential(
            nn.Conv2d(channels[0], first, 1), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        self.twice = TransposedBlock(first, middle, kernel=3)
        self.factor, self.aligned = enlargement, aligned
        self.refine = ConvBlock(middle, last, bias=True)
        self.head = nn.Conv2d(last, outputs, 1)

    def forward(self, maps: Sequence[Tensor], texts: Tensor | None = None) -> Tensor:
        """(B, C, h, w) maps -> (B, outputs, 2 * enlargement * h, ... w)."""
        features = upsample(self.twice(self.reduce(maps[0])), self.factor, aligned=self.aligned)
        logits: Tensor = self.head(self.refine(features))
        return logits


class ChannelAttention(nn.Module):
    """Scales channels by what the whole map says about them (squeeze and excitation, arXiv:1709.01507)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        weighed: Tensor = features * self.weigh(features)
        return weighed


class AttentionDecoder(nn.Module):
    """Text beside every location, fused, a residual block, channel attention, then enlargement.

    Args:
        channels: of the feature maps, the deepest of which is used.
        embedding: numbers of a text.
        widths: channels after fusing, then after each doubling.
        dropout: after fusing.
        outputs: logits for each text.
    """

    def __init__(
        self,
        channels: Sequence[int],
        embedding: int,
        widths: Sequence[int],
        *,
        dropout: float = 0.0,
        outputs: int,
    ) -> None:
        super().__init__()
        width = widths[0]
        self.fuse = nn.Sequential(
            nn.Conv2d(channels[0] + embedding, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            *([nn.Dropout2d(dropout)] if dropout else []),
        )
        self.residual = ResidualConv(width)
        self.attention = ChannelAttention(width)
        self.levels = up_blocks(widths, "bilinear", convolutions(1))
        self.head = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, maps: Sequence[Tensor], texts: Tensor) -> Tensor:
        """(B, C, h, w) maps, (B or 1, K, D) -> (B, K * outputs, h', w')."""
        photo = maps[0]
        everywhere = texts[..., None, None].expand(len(photo), -1, -1, *photo.shape[-2:])
        joined = torch.cat([photo[:, None].expand(-1, texts.shape[1], -1, -1, -1), everywhere], dim=2)
        features = self.fuse(joined.flatten(0, 1))
        features = self.attention(self.residual(features))
        for level in self.levels:
            features = level(features, None)
        return by_photo(self.head(features), texts)


class PlainDecoder(nn.Module):
    """A U-Net's decoder without skip connections; it reads no text.

    Args:
        channels: of the feature maps, the deepest of which is used.
        widths: channels of a first convolution, then after each doubling.
        outputs: classes.
        kernel: side of the first convolution; 0 leaves it out, and the first of the widths.
        count: convolutions after each doubling, 1 or 2.
        upsampling: a key of `blocks.UPSAMPLINGS`.
        bias: see `ConvBlock`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        widths: Sequence[int],
        *,
        outputs: int,
        kernel: int = 3,
        count: int = 2,
        upsampling: str = "transposed",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.start: nn.Module = nn.Identity()
        if kernel:
            self.start = nn.Sequential(
                nn.Conv2d(channels[0], widths[0], kernel, padding=kernel // 2, bias=bias),
                nn.BatchNorm2d(widths[0]),
                nn.ReLU(inplace=True),
            )
        else:
            widths = [channels[0], *widths[1:]]
        self.levels = up_blocks(widths, upsampling, convolutions(count, bias=bias))
        self.head = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, maps: Sequence[Tensor], texts: Tensor | None = None) -> Tensor:
        """(B, C, h, w) maps -> (B, outputs, h', w')."""
        features = self.start(maps[0])
        for level in self.levels:
            features = level(features, None)
        logits: Tensor = self.head(features)
        return logits


def up_blocks(
    widths: Sequence[int], upsampling: str, convolutions: Callable[[int, int], nn.Module]
) -> nn.ModuleList:
    """Blocks without skip connections that double the resolution, from each width to the next."""
    block = partial(UpBlock, skip_channels=0, upsampling=upsampling, convolutions=convolutions)
    return nn.ModuleList(block(in_channels=i, out_channels=o) for i, o in pairwise(widths))


def by_photo(logits: Tensor, texts: Tensor) -> Tensor:
    """What was worked out for each text beside each other: (B * K, C, h, w) -> (B, K * C, h, w)."""
    of_texts: Tensor = logits.unflatten(0, (-1, texts.shape[1]))
    return of_texts.flatten(1, 2)


def enlarge(features: Tensor, side: tuple[int, int]) -> Tensor:
    """Bilinear, (B, C, h, w) -> (B, C, *side)."""
    if tuple(features.shape[-2:]) == side:
        return features
    return F.interpolate(features, size=side, mode="bilinear", align_corners=False)
