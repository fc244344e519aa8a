import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index
from torchvision.ops import sigmoid_focal_loss

from petseg.pixels.classes import BORDER
from train.losses import (
    LOSSES,
    LossConfig,
    binary_cross_entropy,
    build_loss,
    cross_entropy,
    dice_loss,
    focal_loss,
    jaccard_loss,
    presence_loss,
    squared_error,
    weighted_cross_entropy,
)

LN2, LN3 = math.log(2), math.log(3)


def random_case(seed: int = 0, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    """Logits (2, 3, 8, 9) and labels with a share of 255."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 8, 9, generator=generator) * 3
    labels = torch.randint(0, 3, (2, 8, 9), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return logits, labels


def by_hand() -> tuple[Tensor, Tensor]:
    """Three pixels in a row: a background and a cat of probability 1/2 each, and an ignored one."""
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]])
    return probabilities.log().T.reshape(1, 3, 1, 3), torch.tensor([[[0, 1, 255]]])


def plain_dice_loss(logits: Tensor, labels: Tensor, smooth: float = 1.0) -> Tensor:
    """The formula itself, over the labelled pixels only, in float64."""
    keep = labels != 255
    probabilities = logits.double().softmax(1).movedim(1, -1)[keep]
    target = F.one_hot(labels[keep], 3)
    dice = (2 * (probabilities * target).sum(0) + smooth) / (probabilities.sum(0) + target.sum(0) + smooth)
    return 1 - dice.mean()


def losses() -> list[LossConfig]:
    return [LossConfig(name=name, label_smoothing=0.1) for name in LOSSES]  # type: ignore[arg-type]


def test_cross_entropy_by_hand() -> None:
    logits, labels = by_hand()
    assert cross_entropy(logits, labels).item() == pytest.approx(LN2)
    assert cross_entropy(logits, torch.tensor([[[0, 2, 255]]])).item() == pytest.approx(1.5 * LN2)


def test_dice_by_hand() -> None:
    # Background and cat: overlap 1/2, areas 3/4 + 1; dog: overlap 0, areas 1/2 + 0; each smoothed by 1.
    expected = 1 - (2 / 2.75 + 2 / 2.75 + 1 / 1.5) / 3
    assert dice_loss(*by_hand()).item() == pytest.approx(expected)


def test_jaccard_by_hand() -> None:
    # Background and cat: overlap 1/2 of a union of 5/4; dog: none of 1/2; each smoothed by 1.
    expected = 1 - (1.5 / 2.25 + 1.5 / 2.25 + 1 / 1.5) / 3
    assert jaccard_loss(*by_hand()).item() == pytest.approx(expected)


def test_focal_by_hand() -> None:
    logits, _ = by_hand()
    # Probabilities 1/2 and, for a dog in the second place, 1/4.
    labels = torch.tensor([[[0, 2, 255]]])
    expected = (0.5**3 * LN2 + 0.75**3 * 2 * LN2) / 2
    assert focal_loss(logits, labels, gamma=3).item() == pytest.approx(expected)


def test_weighted_cross_entropy_by_hand() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25]] * 4)
    logits = probabilities.log().T.reshape(1, 3, 1, 4)
    labels = torch.tensor([[[0, 0, 0, 2]]])
    # Three backgrounds weigh as much as the one dog ...
    assert weighted_cross_entropy(logits, labels).item() == pytest.approx((LN2 + 2 * LN2) / 2)
    # ... and each of them a fifth of it where shares say so.
    value = weighted_cross_entropy(logits, labels, [5.0, 2.0, 1.0]).item()
    assert value == pytest.approx((3 / 5 * LN2 + 2 * LN2) / (3 / 5 + 1))


def test_binary_cross_entropy_by_hand() -> None:
    # Sigmoids 1/2, 3/4 and 1/3 for a cat.
    logits = torch.tensor([0.0, LN3, -LN2]).reshape(1, 3, 1, 1)
    expected = (LN2 + (2 * LN2 - LN3) + (LN3 - LN2)) / 3
    assert binary_cross_entropy(logits, torch.tensor([[[1]]])).item() == pytest.approx(expected)


def test_squared_error_by_hand() -> None:
    # Both pixels miss by 1/2, 1/4 and 1/4.
    assert squared_error(*by_hand()).item() == pytest.approx((1 / 4 + 1 / 16 + 1 / 16) / 3)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_is_that_of_torch(seed: int, label_smoothing: float) -> None:
    logits, labels = random_case(seed)
    expected = F.cross_entropy(logits, labels, ignore_index=255, label_smoothing=label_smoothing)
    torch.testing.assert_close(cross_entropy(logits, labels, label_smoothing), expected)


@pytest.mark.parametrize("smooth", [1.0, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_dice_is_the_plain_formula(seed: int, smooth: float) -> None:
    logits, labels = random_case(seed)
    expected = plain_dice_loss(logits, labels, smooth)
    torch.testing.assert_close(dice_loss(logits, labels, smooth).double(), expected, rtol=1e-6, atol=1e-6)


def test_gradient_of_dice_is_that_of_the_plain_formula() -> None:
    logits, labels = random_case()
    own, expected = logits.clone().requires_grad_(), logits.double().requires_grad_()
    dice_loss(own, labels).backward()
    plain_dice_loss(expected, labels).backward()
    assert own.grad is not None
    assert expected.grad is not None
    torch.testing.assert_close(own.grad.double(), expected.grad, rtol=1e-4, atol=1e-8)


def test_dice_of_sure_answers_is_the_f1_of_torchmetrics() -> None:
    logits, labels = random_case(4)
    sure = F.one_hot(logits.argmax(1), 3).movedim(-1, 1) * 1000.0
    f1 = multiclass_f1_score(logits.argmax(1), labels, 3, average="macro", ignore_index=255)
    torch.testing.assert_close(1 - dice_loss(sure, labels, smooth=1e-6), f1, rtol=1e-5, atol=1e-5)


def test_jaccard_of_sure_answers_is_that_of_torchmetrics() -> None:
    logits, labels = random_case(5)
    sure = F.one_hot(logits.argmax(1), 3).movedim(-1, 1) * 1000.0
    index = multiclass_jaccard_index(logits.argmax(1), labels, 3, average="macro", ignore_index=255)
    torch.testing.assert_close(1 - jaccard_loss(sure, labels, smooth=1e-6), index, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_two_classes_is_that_of_torchvision(gamma: float) -> None:
    """The softmax of (0, x) is the sigmoid of x."""
    logits, labels = random_case()
    keep = labels != 255
    labels = labels.where(~keep, (labels > 0).long())
    logit = logits[:, 0]
    expected = sigmoid_focal_loss(logit[keep], labels[keep].float(), alpha=-1, gamma=gamma, reduction="mean")
    pair = torch.stack([torch.zeros_like(logit), logit], dim=1)
    torch.testing.assert_close(focal_loss(pair, labels, gamma), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_has_a_gradient_where_the_answer_is_certain(gamma: float) -> None:
    logits = torch.tensor([200.0, 0.0, -200.0]).reshape(1, 3, 1, 1).requires_grad_()
    focal_loss(logits, torch.tensor([[[0]]]), gamma).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("shares", [[0.7, 0.1, 0.2], [3.0, 1.0, 1.0]])
def test_weighted_cross_entropy_is_that_of_torch(shares: list[float]) -> None:
    logits, labels = random_case()
    expected = F.cross_entropy(logits, labels, 1 / torch.tensor(shares), ignore_index=255)
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, shares), expected)
    counts = torch.bincount(labels[labels != 255]).tolist()
    torch.testing.assert_close(
        weighted_cross_entropy(logits, labels), weighted_cross_entropy(logits, labels, counts)
    )


def test_shares_of_other_classes() -> None:
    with pytest.raises(ValueError, match=r"one number for each of 3 classes, got \[1\.0, 2\.0\]"):
        weighted_cross_entropy(*random_case(), [1.0, 2.0])


def test_bce_and_mse_are_those_of_torch() -> None:
    logits, labels = random_case()
    keep = labels != 255
    target = F.one_hot(labels[keep], 3).float()
    kept = logits.movedim(1, -1)[keep]
    expected = F.binary_cross_entropy_with_logits(kept, target)
    torch.testing.assert_close(binary_cross_entropy(logits, labels), expected)
    torch.testing.assert_close(squared_error(logits, labels), F.mse_loss(kept.softmax(-1), target))


@pytest.mark.parametrize("config", losses(), ids=LOSSES)
def test_perfect_answers_are_better_than_wrong_ones(config: LossConfig) -> None:
    loss = build_loss(config)
    labels = random_case()[1]
    target = F.one_hot(labels.masked_fill(labels == 255, 0), 3).movedim(-1, 1) * 10.0
    assert loss(target, labels) < loss(target.roll(1, dims=1), labels) - 0.6


@pytest.mark.parametrize("config", losses(), ids=LOSSES)
def test_ignored_pixels_count_nowhere(config: LossConfig) -> None:
    loss = build_loss(config)
    logits, labels = random_case()
    ignored = (labels == 255).unsqueeze(1).expand_as(logits)
    changed = torch.where(ignored, logits.flip(1) * 7 - 3, logits).requires_grad_()
    value = loss(changed, labels)
    assert value.item() == loss(logits, labels).item()
    value.backward()
    assert changed.grad is not None
    assert (changed.grad[ignored] == 0).all()
    assert (changed.grad[~ignored] != 0).any()


@pytest.mark.parametrize("config", losses(), ids=LOSSES)
def test_without_labelled_pixels_the_loss_is_zero(config: LossConfig) -> None:
    logits = random_case()[0].requires_grad_()
    value = build_loss(config)(logits, torch.full((2, 8, 9), 255))
    assert value.item() == pytest.approx(0, abs=1e-7)
    value.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_combined_losses_weigh_their_parts(weight: float) -> None:
    logits, labels = random_case()
    dice = dice_loss(logits, labels, 2.0)
    for name, first in (
        ("ce_dice", cross_entropy(logits, labels, 0.05)),
        ("focal_dice", focal_loss(logits, labels, 1.5)),
    ):
        options = {"dice_weight": weight, "label_smoothing": 0.05, "gamma": 1.5, "smooth": 2.0}
        combined = build_loss(LossConfig.model_validate({"name": name, **options}))
        torch.testing.assert_close(combined(logits, labels), (1 - weight) * first + weight * dice)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("weighted_cross_entropy", "class_shares", [9.0, 1.0, 2.0]),
        ("focal", "gamma", 1.0),
        ("dice", "smooth", 30.0),
        ("jaccard", "smooth", 30.0),
        ("cross_entropy", "label_smoothing", 0.1),
        ("ce_item_dice", "dice_weight", 0.1),
    ],
)
def test_options_reach_their_loss(name: str, option: str, value: object) -> None:
    case = random_case()
    plain, changed = (LossConfig.model_validate({"name": name, **o}) for o in ({}, {option: value}))
    assert build_loss(changed)(*case).item() != pytest.approx(build_loss(plain)(*case).item(), rel=1e-4)


@pytest.mark.parametrize("config", losses(), ids=LOSSES)
def test_half_precision_logits_are_summed_in_float32(config: LossConfig) -> None:
    logits, labels = random_case()
    rounded = logits.bfloat16()
    value = build_loss(config)(rounded, labels)
    assert value.dtype == torch.float32
    assert value.item() == build_loss(config)(rounded.float(), labels).item()


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "hinge"},
        {"margin": 2},
        {"dice_weight": 1.5},
        {"gamma": -1},
        {"smooth": 0},
        {"class_shares": [0.5, 0, 0.5]},
    ],
)
def test_unknown_loss_or_option(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        LossConfig.model_validate(bad)


def test_presence_loss() -> None:
    labels = torch.zeros(3, 40, 40, dtype=torch.int64)
    labels[0, :20] = 1
    labels[1, :20] = 2
    labels[1, 0, 0] = 1  # hardly a cat: left open
    labels[2, :20] = BORDER
    logits = torch.tensor([[2.0, -3.0], [50.0, 1.0], [-1.0, -4.0]])
    expected = torch.tensor([-2.0, -3.0, -1.0, -1.0, -4.0])  # softplus of the wrong answer's logit
    torch.testing.assert_close(presence_loss(logits, labels), torch.nn.functional.softplus(expected).mean())


def test_presence_loss_where_all_is_open() -> None:
    labels = torch.zeros(1, 40, 40, dtype=torch.int64)
    labels[0, 0, 0], labels[0, 0, 1] = 1, 2
    assert presence_loss(torch.tensor([[9.0, -9.0]]), labels) == 0
