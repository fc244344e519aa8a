"""Telling the animals of a photo apart by what a promptable model knows of it, without asking about any."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from petseg.clicks.apart import SAME
from train.models.blocks import ConvBlock, GlobalContext, ResidualConv, places, upsample

WIDTHS = 64, 96, 32
"""Channels at the resolution of the coarsest map, at half of it, and at twice."""


class Apart(nn.Module):
    """A vector for each place: those of one animal are close to each other, those of two are not.

    Two places are of one animal as surely, in log-odds, as `SAME` exceeds the squared distance of their
    vectors (after arXiv:1611.05424 and arXiv:1708.02551). Where a place is, is part of its vector.

    Args:
        coarse, fine: channels of the two coarsest maps of a `Promptable`.
        numbers: of a vector, its place included.
    """

    def __init__(self, coarse: int, fine: int, numbers: int) -> None:
        super().__init__()
        middle, low, high = WIDTHS
        beside = 3 + 2  # the semantic logits, and the place
        self.start = ConvBlock(coarse + fine + beside, middle)
        self.down = nn.Sequential(
            ConvBlock(middle, low, stride=2), ResidualConv(low), GlobalContext(low), ResidualConv(low)
        )
        self.up = nn.Conv2d(low, middle, 1)
        self.middle = ResidualConv(middle)
        self.finer = nn.Conv2d(middle, high, 1)
        self.joined = nn.Conv2d(fine + beside, high, 1)
        self.high = ResidualConv(high)
        self.head = nn.Conv2d(high, numbers - 2, 1)
        self.spread = nn.Parameter(torch.tensor(2.0))

    def forward(self, coarse: Tensor, fine: Tensor, semantic: Tensor) -> Tensor:
        """Vectors for the places of the finer map.

        Args:
            coarse, fine: (B, C, h, w) and (B, C, 2h, 2w).
            semantic: (B, 3, s, s) logits of all pets, s a multiple of 2h.

        Returns:
            (B, numbers, 2h, 2w).
        """
        semantic = F.avg_pool2d(semantic, semantic.shape[-1] // fine.shape[-1])
        height, width = fine.shape[-2:]
        place = places(height, width, fine).expand(len(fine), 2, height, width)
        near = torch.cat([fine, semantic, place], 1)
        below = self.start(torch.cat([coarse, F.avg_pool2d(near, 2)], 1))
        below = self.middle(below + upsample(self.up(self.down(below)), 2))
        result = self.high(F.relu(upsample(self.finer(below), 2) + self.joined(near)))
        return torch.cat([self.head(result), self.spread * place], 1)


def margins(vectors: Tensor, asked: Tensor) -> Tensor:
    """Log-odds that places are of the animal at some of them.

    Args:
        vectors: (B, E, h, w).
        asked: (B, K) numbers of places, row by row.

    Returns:
        (B, K, h * w).
    """
    every = vectors.flatten(2)
    chosen = torch.gather(every, 2, asked[:, None].expand(-1, every.shape[1], -1))
    lengths = [flat.square().sum(1) for flat in (chosen, every)]
    distances = lengths[0][:, :, None] + lengths[1][:, None] - 2 * chosen.transpose(1, 2) @ every
    return SAME - distances
