"""The autoencoder: its two tasks, its code, and the two stages of its training."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from export.errors import ExportError
from export.export import export
from petseg.errors import ImageError
from tests.support.drawing import draw_labels, write_plain
from train.check import check
from train.checkpoint import load_checkpoint
from train.config import Config
from train.loops.autoencoder import (
    AutoencoderTrainer,
    ReconstructionTrainer,
    damage,
    read_unlabelled,
)
from train.loops.photos import PhotoTrainer
from train.models import build
from train.models.autoencoder import Autoencoder, AutoencoderConfig

MakeConfig = Callable[..., Config]

ROOT = Path(__file__).parents[3]

TINY: dict[str, Any] = {"family": "autoencoder", "widths": [4, 8]}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": TINY,
    "narrow code": TINY | {"code_channels": 3, "activation": "leaky_relu", "convolutions": 2},
    "fully connected": TINY | {"code_length": 6, "code_side": 8},
    "pooled with skips": TINY
    | {
        "downsampling": "pool",
        "norm": "none",
        "reconstruction": {"skips": True, "upsampling": "transposed"},
        "segmentation": {"skips": True, "upsampling": "transposed_same", "convolutions": 2},
    },
    "hourglass": TINY | {"segmentation": {"body": [8, 12], "blocks": 1, "widths": []}},
}


def make(task: str = "segmentation", **options: Any) -> Autoencoder:
    model = build(AutoencoderConfig.model_validate({**TINY, **options, "task": task}))
    assert isinstance(model, Autoencoder)
    return model


def photos(size: int = 32, batch: int = 2) -> Tensor:
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize("task", ["segmentation", "reconstruction"])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_answers_have_the_size_of_the_photo_and_every_weight_learns(
    options: dict[str, Any], task: str
) -> None:
    model = make(task, **options)
    result = model(photos())
    assert result.shape == (2, 3, 32, 32)
    result.square().mean().backward()
    for name, parameter in model.named_parameters():
        frozen = task == "segmentation" and name.startswith("encoder.")
        assert parameter.requires_grad == (not frozen), name
        assert (parameter.grad is None) == frozen, name


def test_frozen_means_frozen() -> None:
    model = make().train()
    assert model.decoder.training
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    code = model.encoder(torch.zeros(1, 3, 32, 32))[1]
    model(photos())  # would move the statistics of normalisations
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.encoder.state_dict().items())
    assert torch.equal(model.encoder(torch.zeros(1, 3, 32, 32))[1], code)


@pytest.mark.parametrize("skips", [False, True])
def test_without_skips_the_decoder_knows_the_code_alone(skips: bool) -> None:
    model = make(segmentation={"skips": skips}).eval()
    features, code = model.encoder(torch.randn(1, 3, 32, 32))
    changed = model.decoder([torch.randn_like(f) for f in features], code)
    assert torch.equal(changed, model.decoder(features, code)) == (not skips)


def test_size_of_the_code() -> None:
    image = torch.zeros(1, 3, 32, 32)
    assert make().encoder(image)[1].shape == (1, 8, 8, 8)
    assert make(code_channels=3).encoder(image)[1].shape == (1, 3, 8, 8)
    assert make(code_length=5, code_side=8).encoder(image)[1].shape == (1, 5)
    assert make(downsampling="pool").encoder(image)[1].shape == (1, 8, 16, 16)


def test_the_hourglass_sees_the_whole_photo() -> None:
    model = make(segmentation={"body": [8, 8], "blocks": 1, "widths": []}).eval()
    image = photos(64, 1)
    changed = image.clone()
    changed[..., -8:, -8:] = 255 - changed[..., -8:, -8:]
    difference = (model(image) - model(changed)).abs()
    assert (difference[..., :8, :8] > 0).any()


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, 30, r"30 x 30 does not fit a model of stride 4; .* 32 x 32"),
        ({"segmentation": {"body": [8, 8, 8]}}, 40, "stride 16"),
        ({"code_length": 4, "code_side": 8}, 64, "photo of 64 x 64: the code takes 32 x 32 only"),
    ],
)
def test_photos_that_do_not_fit(options: dict[str, Any], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)(photos(size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code_length": 4}, "code_length and code_side belong together"),
        ({"code_length": 4, "code_side": 8, "code_channels": 2}, "exclude each other"),
        ({"widths": []}, "widths"),
        ({"task": "colouring"}, "task"),
        ({"segmentation": {"levels": 2}}, "levels"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AutoencoderConfig.model_validate(TINY | options)


def test_more_levels_than_the_encoder_halves() -> None:
    with pytest.raises(ValueError, match="decoder has 3 levels, but the encoder halves 2 times"):
        make(segmentation={"widths": [8, 8, 8]})


def test_damage() -> None:
    image = photos(40)
    assert torch.equal(damage(image, 0.0, 0.0), image)
    grey = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    noisy = damage(grey, 0.1, 0.0)
    assert noisy.dtype == torch.uint8
    assert noisy.float().std().item() == pytest.approx(25.5, rel=0.05)
    hidden = (damage(torch.zeros(8, 3, 160, 160, dtype=torch.uint8), 0.0, 0.3) == 127).float()
    cells = hidden.reshape(8, 3, 10, 16, 10, 16).mean((1, 3, 5))
    assert set(cells.unique().tolist()) == {0.0, 1.0}  # whole patches, in all colours
    assert cells.mean().item() == pytest.approx(0.3, abs=0.06)
    assert damage(photos(40), 0.0, 0.5).shape == (2, 3, 40, 40)  # a patch may be cut off


@pytest.fixture
def two_stages(make_config: MakeConfig, tmp_path: Path) -> Callable[[str], Config]:
    """A tiny run of both stages in a folder of that name."""

    def config(name: str) -> Config:
        config = make_config(
            output=str(tmp_path / name),
            reconstruction={"epochs": 3, "batch_size": 4, "learning_rate": 1e-2, "noise": 0.05, "samples": 3},
        )
        return config.model_copy(update={"model": AutoencoderConfig.model_validate(TINY)})

    return config


@pytest.fixture
def plotless(without_plots: None) -> None:
    """For tests whose subject is not the plots."""


@pytest.mark.usefixtures("plotless")
def test_stages_follow_each_other(two_stages: Callable[[str], Config]) -> None:
    config = two_stages("run")
    history = AutoencoderTrainer(config).fit()
    first = config.folder / "reconstruction"
    assert "val_miou" in history[-1]
    model, stage_one = load_checkpoint(first / "best")
    assert stage_one.model.task == "reconstruction"
    rows = (first / "history.csv").read_text().splitlines()
    assert rows[0].split(",") == ["epoch", "loss", "val_loss", "val_psnr", "learning_rate"]
    losses = [float(row.split(",")[2]) for row in rows[1:]]
    assert losses[-1] < 0.8 * losses[0]
    with Image.open(first / "samples.png") as picture:
        assert picture.size == (3 * 32, 2 * 32)
    with pytest.raises(ExportError, match="gives photos back"):
        export(first / "best")
    # What stage one has learnt is what stage two has used, untouched by masks.
    segmenter, stage_two = load_checkpoint(config.folder / "best")
    assert stage_two.model.task == "segmentation"
    for name, tensor in segmenter.encoder.state_dict().items():
        assert torch.equal(tensor, model.encoder.state_dict()[name]), name


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.usefixtures("plotless")
@pytest.mark.parametrize("stage", [ReconstructionTrainer, PhotoTrainer])
def test_resume_is_exact_in_either_stage(
    two_stages: Callable[[str], Config], new_process: Callable[[], None], stage: type
) -> None:
    whole = AutoencoderTrainer(two_stages("whole")).fit()
    new_process()
    with pytest.MonkeyPatch.context() as patch:
        save_state = stage._save_state

        def save_and_die(trainer: Any) -> None:
            save_state(trainer)
            if type(trainer) is stage and trainer.progress.epoch == 2:
                raise Killed

        patch.setattr(stage, "_save_state", save_and_die)
        with pytest.raises(Killed):
            AutoencoderTrainer(two_stages("broken")).fit()
    new_process()
    with pytest.raises(FileExistsError, match="holds a run already: add --resume"):
        AutoencoderTrainer(two_stages("broken")).fit()
    new_process()
    assert AutoencoderTrainer(two_stages("broken")).fit(resume=True) == whole
    folders = [two_stages(name).folder for name in ("whole", "broken")]
    for part in ("reconstruction/best", "best"):
        expected, found = (load_file(folder / part / "model.safetensors") for folder in folders)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_nothing_to_resume(two_stages: Callable[[str], Config]) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing to resume in .*reconstruction"):
        AutoencoderTrainer(two_stages("run")).fit(resume=True)


def test_which_stages_there_are(two_stages: Callable[[str], Config]) -> None:
    config = two_stages("run")

    def stages(**model: object) -> tuple[Config | None, Config | None]:
        changed = config.model_copy(update={"model": config.model.model_copy(update=model)})
        return AutoencoderTrainer(changed).stages()

    first, second = stages()
    assert first is not None
    assert second is not None
    assert first.folder == config.folder / "reconstruction"
    assert second.model.encoder_checkpoint == str(first.folder / "best")
    only, nothing = stages(task="reconstruction")
    assert only is not None
    assert (only.folder, nothing) == (config.folder, None)
    assert stages(encoder_checkpoint="elsewhere")[0] is None


def test_photos_without_a_mask_are_reconstructed_too(
    two_stages: Callable[[str], Config], photos: Path, tmp_path: Path
) -> None:
    more = write_plain(tmp_path / "more", {f"new_{i}": draw_labels(i) for i in range(3)})
    name = next((photos / "pets/images").iterdir())
    (more / "images" / name.name).write_bytes(name.read_bytes())  # known already, maybe for validation
    config = two_stages("run")
    changed = config.reconstruction.model_copy(update={"photos": [str(more)]})
    first, _ = AutoencoderTrainer(config.model_copy(update={"reconstruction": changed})).stages()
    assert first is not None
    training, validation = ReconstructionTrainer(first).splits()
    assert [sample.name for sample in training[-3:]] == ["new_0", "new_1", "new_2"]
    assert len({sample.name for sample in [*training, *validation]}) == 24 + 3
    assert (training[-1].read_mask() == 255).all()
    assert training[-1].read_mask().shape == training[-1].read_image().shape[:2]

    part = first.data.model_copy(update={"share": 0.34})
    fewer = ReconstructionTrainer(first.model_copy(update={"data": part})).splits()[0]
    assert sum(sample.name.startswith("new_") for sample in fewer) == 1


@pytest.mark.usefixtures("plotless")
def test_a_check_knows_how_long_both_stages_take(two_stages: Callable[[str], Config], tmp_path: Path) -> None:
    said = check(two_stages("run"), tmp_path / "two.toml", AutoencoderTrainer)
    assert "two.toml will train." in said
    assert re.search(r"epochs? of \d+ steps?: about \d+ \w+ on this machine", said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("make_folder", [False, True])
def test_folder_without_photos(tmp_path: Path, make_folder: bool) -> None:
    if make_folder:
        (tmp_path / "images").mkdir()
    with pytest.raises(ImageError, match="holds no photos"):
        read_unlabelled(tmp_path, set())
