import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_f1_score

from train.losses import LOSSES, LossConfig, build_loss, cross_entropy, dice_loss

LN2 = 0.6931471805599453


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


@pytest.mark.parametrize("config", losses(), ids=LOSSES)
def test_perfect_answers_are_better_than_wrong_ones(config: LossConfig) -> None:
    loss = build_loss(config)
    labels = random_case()[1]
    target = F.one_hot(labels.masked_fill(labels == 255, 0), 3).movedim(-1, 1) * 10.0
    assert loss(target, labels) < 0.8 < loss(target.roll(1, dims=1), labels)


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
def test_combined_loss_weighs_its_parts(weight: float) -> None:
    logits, labels = random_case()
    combined = build_loss(LossConfig(name="ce_dice", dice_weight=weight, label_smoothing=0.05))
    expected = (1 - weight) * cross_entropy(logits, labels, 0.05) + weight * dice_loss(logits, labels)
    torch.testing.assert_close(combined(logits, labels), expected)


@pytest.mark.parametrize("config", losses(), ids=LOSSES)
def test_half_precision_logits_are_summed_in_float32(config: LossConfig) -> None:
    logits, labels = random_case()
    rounded = logits.bfloat16()
    value = build_loss(config)(rounded, labels)
    assert value.dtype == torch.float32
    assert value.item() == build_loss(config)(rounded.float(), labels).item()


@pytest.mark.parametrize("bad", [{"name": "focal"}, {"gamma": 2}])
def test_unknown_loss_or_option(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        LossConfig.model_validate(bad)
