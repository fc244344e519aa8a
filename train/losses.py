"""Losses over logits (B, C, H, W) and labels (B, H, W) int64; pixels labelled 255 count nowhere."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from petseg.pixels.classes import BORDER

Share = Annotated[float, Field(ge=0, le=1)]


class LossConfig(BaseModel):
    """Which loss.

    Attributes:
        name: a key of `LOSSES`.
        dice_weight: share a of Dice in a combined loss, (1 - a) other + a Dice.
        label_smoothing: of the cross-entropy.
        class_shares: of `weighted_cross_entropy`: how much of the pixels each class has; empty counts them
            in every batch.
        gamma: of the focal losses: how much sure answers count less; 0 makes it the cross-entropy.
        alpha: of `focal`, the weight of each class, empty for none; of `binary_focal`, one number: the weight
            of an animal's pixels, that of all others being 1 - alpha.
        per_photo: Dice and Jaccard of each photo by itself, and their mean, instead of the batch's.
        smooth: pixels added above and below in Dice and Jaccard, so that absent classes give no 0 / 0.
        presence: weight of the image-level head's loss, where a model has one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal[
        "cross_entropy",
        "weighted_cross_entropy",
        "dice",
        "jaccard",
        "focal",
        "binary_focal",
        "ce_dice",
        "focal_dice",
        "ce_item_dice",
        "bce",
        "mse",
    ] = "ce_dice"
    dice_weight: Share = 0.5
    label_smoothing: Share = 0.0
    class_shares: list[Annotated[float, Field(gt=0)]] = []
    gamma: float = Field(default=2.0, ge=0)
    alpha: list[Share] = []
    per_photo: bool = False
    smooth: float = Field(default=1.0, gt=0)
    presence: float = Field(default=0.2, ge=0)


def mean_where_labelled(values: Tensor, labels: Tensor) -> Tensor:
    """Mean of (B, H, W) values, 0 at ignored pixels, over labelled ones; 0 where there are none."""
    return values.sum() / (labels != BORDER).sum().clamp(min=1)


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over labelled pixels; 0 where there are none."""
    total = F.cross_entropy(
        logits, labels, ignore_index=BORDER, label_smoothing=label_smoothing, reduction="sum"
    )
    return total / (labels != BORDER).sum().clamp(min=1)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, shares: list[float] | None = None) -> Tensor:
    """Cross-entropy whose classes weigh the inverse of how frequent they are.

    Args:
        logits, labels: see the module.
        shares: one number for each class, in any unit; None or empty counts the batch's pixels, which
            makes the loss the mean over the classes present of each one's mean cross-entropy.

    Raises:
        ValueError: not one share for each class.
    """
    classes = logits.shape[1]
    if shares and len(shares) != classes:
        raise ValueError(f"class_shares needs one number for each of {classes} classes, got {shares}")
    if shares:
        frequency = torch.tensor(shares, device=logits.device)
    else:
        counts = torch.bincount(labels[labels != BORDER], minlength=classes)
        frequency = counts.clamp(min=1).to(logits.dtype)
    weight = frequency.sum() / frequency
    valid = labels != BORDER
    scale = (weight[labels.where(valid, 0)] * valid).sum()
    total = F.cross_entropy(logits, labels, weight, ignore_index=BORDER, reduction="sum")
    return total / scale.clamp(min=torch.finfo(scale.dtype).tiny)


def focal_loss(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, alpha: list[float] | None = None
) -> Tensor:
    """Mean of -alpha (1 - p)^gamma log p, p the softmax probability of the true class (arXiv:1708.02002).

    Args:
        logits, labels: see the module.
        gamma: see `LossConfig`.
        alpha: one number for each class; None or empty is 1 for all.

    Raises:
        ValueError: not one number for each class.
    """
    surprise = F.cross_entropy(logits, labels, ignore_index=BORDER, reduction="none")
    value = _focused(surprise, gamma)
    if alpha:
        if len(alpha) != logits.shape[1]:
            raise ValueError(f"alpha needs one number for each of {logits.shape[1]} classes, got {alpha}")
        weights = torch.tensor(alpha, device=logits.device)
        value = value * weights[labels.where(labels != BORDER, 0)]
    return mean_where_labelled(value, labels)


def binary_focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """The focal loss of each pet's own yes or no, through a sigmoid; mean over labelled pixels and pets."""
    values = []
    for number, logit in enumerate(logits.unbind(1)[1:], 1):
        member = (labels == number).to(logit.dtype)
        surprise = F.binary_cross_entropy_with_logits(logit, member, reduction="none")
        values.append(_focused(surprise, gamma) * (alpha * member + (1 - alpha) * (1 - member)))
    return mean_where_labelled(torch.stack(values).mean(0) * (labels != BORDER), labels)


def _focused(surprise: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma log p of surprises -log p."""
    # -expm1 keeps 1 - p exact where p is almost 1; without the floor, the gradient of 0^gamma with
    # gamma below 1 would be infinite.
    doubt = -torch.expm1(-surprise.clamp(min=torch.finfo(surprise.dtype).tiny))
    return doubt**gamma * surprise


def class_overlaps(logits: Tensor, labels: Tensor, *, per_photo: bool = False) -> tuple[Tensor, Tensor]:
    """Soft intersection of each class with its pixels, and the sum of both areas: (C,), or (C, B), each."""
    axes = (1, 2) if per_photo else (0, 1, 2)
    valid = labels != BORDER
    overlaps, totals = [], []
    # Class by class: a one-hot target would be three times the labels' size, in int64.
    for number, probability in enumerate(logits.softmax(dim=1).unbind(1)):
        member = labels == number
        overlaps.append((probability * member).sum(axes))
        totals.append((probability * valid).sum(axes) + member.sum(axes))
    return torch.stack(overlaps), torch.stack(totals)


def dice_loss(logits: Tensor, labels: Tensor, smooth: float = 1.0, *, per_photo: bool = False) -> Tensor:
    """1 - soft Dice (arXiv:1606.04797), averaged over classes, each of the whole batch, or of each photo."""
    overlap, total = class_overlaps(logits, labels, per_photo=per_photo)
    return 1 - ((2 * overlap + smooth) / (total + smooth)).mean()


def jaccard_loss(logits: Tensor, labels: Tensor, smooth: float = 1.0, *, per_photo: bool = False) -> Tensor:
    """1 - soft IoU, averaged over the classes, each of the whole batch, or of each photo."""
    overlap, total = class_overlaps(logits, labels, per_photo=per_photo)
    return 1 - ((overlap + smooth) / (total - overlap + smooth)).mean()


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


SHOWN = 0.001
"""Share of a square's pixels from which on an animal counts as shown; with fewer it is left open."""


def presence_loss(presence: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of (B, 2) logits of a photo showing a cat, and a dog.

    Where a photo shows hardly anything of an animal, whether it does is left open; 0 where all of them do.
    """
    shares = torch.stack([(labels == species).float().mean((1, 2)) for species in (1, 2)], dim=1)
    known = (shares == 0) | (shares >= SHOWN)
    values = F.binary_cross_entropy_with_logits(presence.float(), (shares > 0).float(), reduction="none")
    return (values * known).sum() / known.sum().clamp(min=1)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over labelled pixels and classes of each class's own yes or no, through a sigmoid."""
    values = [
        F.binary_cross_entropy_with_logits(logit, (labels == number).to(logit.dtype), reduction="none")
        for number, logit in enumerate(logits.unbind(1))
    ]
    return mean_where_labelled(torch.stack(values).mean(0) * (labels != BORDER), labels)


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over labelled pixels and classes of (probability - truth)^2, the Brier score over C."""
    values = [
        (probability - (labels == number).to(probability.dtype)).square()
        for number, probability in enumerate(logits.softmax(dim=1).unbind(1))
    ]
    return mean_where_labelled(torch.stack(values).mean(0) * (labels != BORDER), labels)


def _mixed(first: Tensor, dice: Tensor, config: LossConfig) -> Tensor:
    return torch.lerp(first, dice, config.dice_weight)


LOSSES: dict[str, Callable[[Tensor, Tensor, LossConfig], Tensor]] = {
    "cross_entropy": lambda logits, labels, c: cross_entropy(logits, labels, c.label_smoothing),
    "weighted_cross_entropy": lambda logits, labels, c: weighted_cross_entropy(
        logits, labels, c.class_shares
    ),
    "dice": lambda logits, labels, c: dice_loss(logits, labels, c.smooth, per_photo=c.per_photo),
    "jaccard": lambda logits, labels, c: jaccard_loss(logits, labels, c.smooth, per_photo=c.per_photo),
    "focal": lambda logits, labels, c: focal_loss(logits, labels, c.gamma, c.alpha),
    "binary_focal": lambda logits, labels, c: binary_focal_loss(
        logits, labels, c.gamma, c.alpha[0] if c.alpha else 0.25
    ),
    "ce_dice": lambda logits, labels, c: _mixed(
        cross_entropy(logits, labels, c.label_smoothing), LOSSES["dice"](logits, labels, c), c
    ),
    "focal_dice": lambda logits, labels, c: _mixed(
        focal_loss(logits, labels, c.gamma, c.alpha), LOSSES["dice"](logits, labels, c), c
    ),
    "ce_item_dice": lambda logits, labels, c: _mixed(
        cross_entropy(logits, labels, c.label_smoothing), item_dice_loss(logits, labels, c.smooth), c
    ),
    "bce": lambda logits, labels, c: binary_cross_entropy(logits, labels),
    "mse": lambda logits, labels, c: squared_error(logits, labels),
}


def build_loss(config: LossConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """The configured loss as a function of logits (any float dtype) and labels."""
    function = LOSSES[config.name]
    return lambda logits, labels: function(logits.float(), labels, config)
