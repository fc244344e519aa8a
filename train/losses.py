"""Losses over logits (B, C, H, W) and labels (B, H, W) int64; pixels labelled 255 count nowhere."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from petseg.metrics import BORDER


class LossConfig(BaseModel):
    """Which loss.

    Attributes:
        name: a key of `LOSSES`.
        dice_weight: share of Dice in the combined loss.
        label_smoothing: of the cross-entropy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["cross_entropy", "dice", "ce_dice", "ce_item_dice"] = "ce_dice"
    dice_weight: float = 0.5
    label_smoothing: float = 0.0


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over labelled pixels; 0 where there are none."""
    total = F.cross_entropy(
        logits, labels, ignore_index=BORDER, label_smoothing=label_smoothing, reduction="sum"
    )
    return total / (labels != BORDER).sum().clamp(min=1)


def dice_loss(logits: Tensor, labels: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice, averaged over the classes, each taken over the whole batch (arXiv:1606.04797)."""
    valid = labels != BORDER
    scores = []
    # Class by class: a one-hot target would be three times the labels' size, in int64.
    for number, probability in enumerate(logits.softmax(dim=1).unbind(1)):
        member = labels == number
        overlap = (probability * member).sum()
        total = (probability * valid).sum() + member.sum()
        scores.append((2 * overlap + smooth) / (total + smooth))
    return 1 - torch.stack(scores).mean()


def item_dice_loss(logits: Tensor, labels: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice of each item's pets, averaged, so that a tiny animal weighs as much as a large one.

    A pixel of a pet counts as found as far as its own class is believed in.
    """
    valid = labels != BORDER
    probabilities = logits.softmax(dim=1)
    member = valid & (labels > 0)
    own = probabilities.gather(1, labels.where(valid, 0)[:, None])[:, 0]
    overlap = (own * member).sum((1, 2))
    total = ((1 - probabilities[:, 0]) * valid).sum((1, 2)) + member.sum((1, 2))
    return 1 - ((2 * overlap + smooth) / (total + smooth)).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor, LossConfig], Tensor]] = {
    "cross_entropy": lambda logits, labels, c: cross_entropy(logits, labels, c.label_smoothing),
    "dice": lambda logits, labels, c: dice_loss(logits, labels),
    "ce_dice": lambda logits, labels, c: torch.lerp(
        cross_entropy(logits, labels, c.label_smoothing),
        dice_loss(logits, labels),
        c.dice_weight,
    ),
    "ce_item_dice": lambda logits, labels, c: torch.lerp(
        cross_entropy(logits, labels, c.label_smoothing),
        item_dice_loss(logits, labels),
        c.dice_weight,
    ),
}


def build_loss(config: LossConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """The configured loss as a function of logits (any float dtype) and labels."""
    function = LOSSES[config.name]
    return lambda logits, labels: function(logits.float(), labels, config)
