"""What published recipes need and petseg's own do not: each option does what it says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from petseg.pixels.classes import BORDER
from tests.support.drawing import write_plain
from train.config import Config, DataConfig
from train.data.augment import build_augmentation, fitting, to_tensors
from train.data.dataset import read_splits
from train.data.scenes import Scene
from train.loops import trainer_class
from train.loops.progress import Progress
from train.loops.prompt import surrounds_its_barycentre
from train.losses import LossConfig, build_loss
from train.models.blocks import AttentionGate, TransposedBlock
from train.models.unet import UNet, UNetConfig
from train.people.targets import barycentre, open_sessions
from train.report.inference import Model, letterboxed
from train.sections import AugmentConfig

NOTHING = dict.fromkeys(
    ("flip", "crop", "affine", "elastic", "colour", "grayscale", "blur", "noise", "perturb"), 0.0
)
SPECIES = np.array([0, 1, *[0] * 253, BORDER], np.uint8)


def square(size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    photo = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[5:20, 8:30] = 1
    return photo, mask


def test_border_may_be_background(tmp_path: Path) -> None:
    mask = np.ones((16, 16), np.uint8)
    mask[:, 8:] = BORDER
    folder = write_plain(tmp_path / "pets", {f"cat_{index}": mask for index in range(6)})
    sources = [{"path": "pets", "validation": 0.5}]
    options = {"root": str(folder.parent), "sources": sources}
    for border, wanted in (("ignored", {1, BORDER}), ("background", {0, 1})):
        data = DataConfig.model_validate(options | {"border": border})
        for sample in [*read_splits(data)[0], *read_splits(data)[1]]:
            assert set(np.unique(sample.read_mask())) == wanted


def test_folds_hold_out_every_photo_once(tmp_path: Path) -> None:
    mask = np.ones((8, 8), np.uint8)
    folder = write_plain(tmp_path / "pets", {f"cat_{index}": mask for index in range(9)})
    options = {"root": str(folder.parent), "sources": [{"path": "pets", "validation": 0.1}], "folds": 2}
    held_out = []
    for fold in (0, 1):
        training, validation = read_splits(DataConfig.model_validate(options | {"fold": fold}))
        assert not {sample.name for sample in training} & {sample.name for sample in validation}
        assert len(training) + len(validation) == 9
        held_out += [sample.name for sample in validation]
    assert sorted(held_out) == sorted(f"cat_{index}" for index in range(9))
    with pytest.raises(ValueError, match="fold 2 is none of the 2"):
        read_splits(DataConfig.model_validate(options | {"fold": 2}))
    with pytest.raises(ValidationError, match="leaves nothing to train on"):
        DataConfig.model_validate(options | {"folds": 1})


def test_a_stretched_photo_fills_the_square_and_comes_back() -> None:
    photo = np.zeros((20, 60, 3), np.uint8)
    photo[:, 30:] = 255
    image, mask = fitting(32, fit="stretch")(*to_tensors(photo, np.ones((20, 60), np.uint8)))
    assert image.shape == (3, 32, 32)
    assert (mask == 1).all()
    box, batch = letterboxed(photo, 32, stretch=True)
    assert box.inner == (slice(0, 32), slice(0, 32))
    assert (batch[0, :, :, -4:] == 255).all()

    class Bright(nn.Module):
        def forward(self, square: torch.Tensor) -> torch.Tensor:
            white = square[:, :1].float() - 128
            return torch.cat([-white, white, torch.full_like(white, -1000)], 1)

    answer = Model.of_network("bright", Bright(), 32, stretch=True).mask(photo)
    assert answer.shape == (20, 60)
    assert (answer[:, :28] == 0).all()
    assert (answer[:, 32:] == 1).all()


def test_black_is_around_a_photo() -> None:
    photo = np.full((10, 20, 3), 200, np.uint8)
    image, mask = fitting(32, "black")(*to_tensors(photo, np.ones((10, 20), np.uint8)))
    assert (image[:, mask == BORDER] == 0).all()
    assert (mask == BORDER).any()


@pytest.mark.parametrize(
    ("probability", "strengths"),
    [("rotate", {"degrees": 0}), ("shift", {"translate": 0}), ("rescale", {"scale": (1.0, 1.0)})],
)
def test_a_part_of_affine_has_its_own_strength(probability: str, strengths: dict[str, float]) -> None:
    tensors = to_tensors(*square())
    still = AugmentConfig.model_validate(NOTHING | {probability: 1.0, "strengths": strengths})
    moved = AugmentConfig.model_validate(NOTHING | {probability: 1.0})
    torch.manual_seed(1)
    assert torch.equal(build_augmentation(still, 40)(*tensors)[1], tensors[1])
    assert not torch.equal(build_augmentation(moved, 40)(*tensors)[1], tensors[1])


@pytest.mark.parametrize(
    ("probability", "strengths"),
    [
        ("exposure", {"brightness": 0, "contrast": 0}),
        ("colour", {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}),
        ("noise", {"noise_sigma": 0}),
    ],
)
def test_without_strength_colours_stay(probability: str, strengths: dict[str, float]) -> None:
    image, mask = to_tensors(*square())
    still = AugmentConfig.model_validate(NOTHING | {probability: 1.0, "strengths": strengths})
    changed = AugmentConfig.model_validate(NOTHING | {probability: 1.0})
    torch.manual_seed(1)
    assert (build_augmentation(still, 40)(image, mask)[0].int() - image.int()).abs().max() <= 1
    assert (build_augmentation(changed, 40)(image, mask)[0].int() - image.int()).abs().max() > 5


def test_untouched_photos_are_as_they_were() -> None:
    tensors = to_tensors(*square())
    config = AugmentConfig.model_validate(NOTHING | {"flip": 1.0, "untouched": 0.5})
    torch.manual_seed(0)
    same = [torch.equal(build_augmentation(config, 40)(*tensors)[0], tensors[0]) for _ in range(60)]
    assert 15 < sum(same) < 45


def test_patience_may_go_by_the_loss() -> None:
    progress = Progress()
    for loss, score in ((1.0, 0.5), (0.9, 0.4), (0.95, 0.6)):
        improved = progress.record({"val_miou": score, "val_loss": loss}, 0.0, watched=-loss)
    assert progress.stale == 1  # the third loss was no lower
    assert improved  # but the third score was the best


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize(("schedule", "last"), [("constant", 1e-2), ("cosine", 0.0)])
def test_schedules(make_config: Callable[..., Config], schedule: str, last: float) -> None:
    optim = {"epochs": 1, "warmup_epochs": 0.0, "max_norm": 0.0, "schedule": schedule}
    config = make_config(optim=optim)
    (row,) = trainer_class(config.model)(config).fit()
    assert row["learning_rate"] == pytest.approx(last, abs=1e-9)


def test_focal_loss_weighs_classes() -> None:
    logits, labels = torch.randn(1, 3, 4, 4), torch.tensor([0, 1, 2, 255]).repeat(4)[None].reshape(1, 4, 4)

    def loss(name: str, alpha: list[float]) -> float:
        config = LossConfig.model_validate({"name": name, "alpha": alpha})
        return float(build_loss(config)(logits, labels))

    plain = loss("focal", [])
    parts = [loss("focal", [float(number == chosen) for number in range(3)]) for chosen in range(3)]
    assert sum(parts) == pytest.approx(plain, rel=1e-5)
    with pytest.raises(ValueError, match="one number for each of 3 classes"):
        loss("focal", [0.5])
    # alpha weighs the pixels of a pet, 1 - alpha all others: both halves are the plain loss's halves.
    halves = loss("binary_focal", [0.0]) + loss("binary_focal", [1.0])
    assert halves == pytest.approx(2 * loss("binary_focal", [0.5]), rel=1e-5)


def test_binary_focal_loss_leaves_the_background_alone() -> None:
    logits, labels = torch.randn(1, 3, 4, 4, requires_grad=True), torch.ones(1, 4, 4, dtype=torch.int64)
    build_loss(LossConfig(name="binary_focal"))(logits, labels).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 0] == 0).all()
    assert (logits.grad[:, 1] < 0).all()  # more of a cat is better
    assert (logits.grad[:, 2] > 0).all()


def test_attention_gates_scale_the_skips() -> None:
    model = UNet(UNetConfig(width=4, depth=2, gated=True))
    gates = [module for module in model.modules() if isinstance(module, AttentionGate)]
    assert len(gates) == 2
    skip = torch.ones(1, 4, 6, 6)
    for gate in gates[-1:]:
        scaled = gate(skip, torch.randn(1, 4, 6, 6))
        assert ((scaled > 0) & (scaled < 1)).all()
    assert model(torch.zeros(1, 3, 16, 16, dtype=torch.uint8)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("kernel", [2, 3])
def test_transposed_blocks_double(kernel: int) -> None:
    assert TransposedBlock(4, 6, kernel=kernel, groups=2)(torch.randn(2, 4, 5, 7)).shape == (2, 6, 10, 14)


def test_people_of_studies() -> None:
    instances = np.zeros((60, 60), np.uint8)
    instances[10:30, 20:50] = 1
    generator = np.random.default_rng(0)

    def ask(**options: object) -> list[object]:
        sessions = open_sessions(instances, SPECIES, generator, 40, 0.0, **options)  # type: ignore[arg-type]
        return list(sessions)

    for session in ask(first="barycentre"):
        assert session.points == [(35.0, 20.0)]  # type: ignore[attr-defined]
    anywhere = {session.points[0] for session in ask(first="anywhere")}  # type: ignore[attr-defined]
    assert len(anywhere) > 30
    assert all(instances[int(y), int(x)] == 1 for x, y in anywhere)
    boxes = [session.box is not None for session in ask(first="anywhere", box=0.5)]  # type: ignore[attr-defined]
    assert 8 < sum(boxes) < 32


def test_animals_around_their_barycentre_are_left_out() -> None:
    ring = np.zeros((30, 30), np.uint8)
    ring[5:25, 5:25] = 1
    photo = np.zeros((30, 30, 3), np.uint8)
    assert surrounds_its_barycentre(Scene(photo, ring, SPECIES))
    ring[10:20, 10:20] = 0
    assert barycentre(ring == 1) == (15.0, 15.0)
    assert not surrounds_its_barycentre(Scene(photo, ring, SPECIES))
    assert not surrounds_its_barycentre(Scene(photo, np.zeros_like(ring), SPECIES))
