"""The U-Nets and autoencoders of the published studies: what they are, and that they can be trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from export.errors import ExportError
from export.export import export
from train.config import Config, load_config
from train.loops import trainer_class
from train.models import build
from train.models.__main__ import main, summarise, table
from train.models.autoencoder import Autoencoder

FOLDER = Path(__file__).parents[3] / "train/configs/studies"

EXACT = {"d_unet": 31_043_651, "d_autoencoder": 31_350_275, "e_fast_unet": 3_898_462}
ABOUT = {"a_unet": 5.5e6, "e_unet": 31e6}
UNETS = ["a_unet", "b_unet", "c_unet", "d_unet", "e_fast_unet", "e_unet"]
AUTOENCODERS = ["a_autoencoder", "b_autoencoder", "c_autoencoder", "d_autoencoder"]
SIZES = {
    "a_unet": 256,
    "b_unet": 128,
    "c_autoencoder": 256,
    "d_unet": 512,
    "d_autoencoder": 512,
    "e_unet": 128,
}


def study(name: str) -> Config:
    return load_config(FOLDER / f"{name}.toml")


def on_meta(name: str, task: str = "segmentation") -> nn.Module:
    """The model at its full size, without memory for its weights."""
    options = study(name).model
    if options.family == "autoencoder":
        options = options.model_copy(update={"task": task})
    with torch.device("meta"):
        return build(options)


def weights(name: str) -> set[int]:
    return {row.total for row in summarise(study(name))}


@pytest.mark.parametrize(("name", "count"), EXACT.items())
def test_exact_numbers_of_weights(name: str, count: int) -> None:
    assert weights(name) == {count}


@pytest.mark.parametrize(("name", "count"), ABOUT.items())
def test_approximate_numbers_of_weights(name: str, count: float) -> None:
    assert list(weights(name)) == [pytest.approx(count, rel=0.05)]


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_sizes(name: str, size: int) -> None:
    assert study(name).data.size == size


@pytest.mark.parametrize("name", UNETS + AUTOENCODERS)
@pytest.mark.parametrize("task", ["segmentation", "reconstruction"])
def test_full_size_forward_and_backward(name: str, task: str) -> None:
    model, size = on_meta(name, task), study(name).data.size
    result = model(torch.zeros(2, 3, size, size, dtype=torch.uint8, device="meta"))
    assert result.shape == (2, 3, size, size)
    result.sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def autoencoder(name: str, task: str) -> Autoencoder:
    model = on_meta(name, task)
    assert isinstance(model, Autoencoder)
    return model


@pytest.mark.parametrize(
    ("name", "code"),
    [("a_autoencoder", (384,)), ("b_autoencoder", (512,)), ("c_autoencoder", (256, 32, 32))],
)
def test_codes(name: str, code: tuple[int, ...]) -> None:
    size = study(name).data.size
    model = autoencoder(name, "reconstruction")
    assert model.encoder(torch.zeros(1, 3, size, size, device="meta"))[1].shape[1:] == code


def test_study_a_puts_49152_numbers_into_its_code() -> None:
    linear = [m for m in autoencoder("a_autoencoder", "segmentation").modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(49152, 384), (384, 49152)]


def test_study_b_has_skips_in_the_reconstruction_decoder_only() -> None:
    for task, skips in (("reconstruction", True), ("segmentation", False)):
        assert autoencoder("b_autoencoder", task).decoder.skips is skips


def test_study_c_has_a_head_of_four_convolutions() -> None:
    decoder = autoencoder("c_autoencoder", "segmentation").decoder
    assert sum(isinstance(m, nn.Conv2d) for m in decoder.modules()) == 4


@pytest.mark.parametrize("name", ["b_unet", "b_autoencoder", "a_autoencoder"])
def test_leaky_relu(name: str) -> None:
    model = on_meta(name)
    slopes = {m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.1}
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())


def test_study_e_has_adam_and_dice() -> None:
    for name in ("e_fast_unet", "e_unet"):
        config = study(name)
        assert (config.optim.learning_rate, config.optim.weight_decay) == (0.01, 0)
        assert (config.loss.name, config.data.labels) == ("dice", "trimap")


def narrow(config: Config, photos: Path, output: Path) -> Config:
    """The same with an eighth of the channels, on drawn photos of 32 x 32 pixels."""
    document = config.model_dump()
    model = document["model"]
    for key in ("width", "code_channels", "code_length"):
        if key in model:
            model[key] = model[key] // 8
    model["widths"] = [width // 8 for width in model["widths"]]
    if model.get("code_side"):
        model["code_side"] = 32 // 2 ** len(model["widths"])
    document["data"] |= {
        "root": str(photos),
        "sources": [{"path": "pets", "validation": 0.33}],
        "size": 32,
        "workers": 0,
    }
    document["augment"] = dict.fromkeys(document["augment"].keys() - {"kinds"}, 0.0)
    document["reconstruction"] |= {"photos": [], "epochs": 1, "batch_size": 8}
    document["optim"] |= {"epochs": 1, "batch_size": 8, "mixed_precision": "no"}
    return Config.model_validate(document | {"output": str(output)})


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("name", UNETS + AUTOENCODERS)
def test_training(name: str, photos: Path, tmp_path: Path) -> None:
    config = narrow(study(name), photos, tmp_path / "run")
    (row,) = trainer_class(config.model)(config).fit()
    assert row["loss"] > 0
    assert 0 <= row["val_miou"] <= 1
    if config.data.labels == "trimap":
        with pytest.raises(ExportError, match="classes of a trimap"):
            export(config.folder / "best")


def test_table_of_models(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(FOLDER / f"{name}.toml") for name in ("e_fast_unet", "d_autoencoder")])
    heading, *lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells: list[list[str]] = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert [cell.strip() for cell in heading if cell.strip()] == [
        "config", "family", "weights", "trainable", "input", "output"
    ]  # fmt: skip
    photo, logits = "photo 3x512x512", "logits 3x512x512"
    (trainable,) = {sum(p.numel() for p in autoencoder("d_autoencoder", "segmentation").decoder.parameters())}
    name, total = "study-d-autoencoder", "31,350,275"
    assert cells == [
        ["study-e-fast-unet", "unet", "3,898,462", "3,898,462", "photo 3x128x128", "logits 3x128x128"],
        [name, "autoencoder (reconstruction)", total, total, photo, photo],
        [name, "autoencoder (segmentation)", total, f"{trainable:,}", photo, logits],
    ]


def test_table_names_the_prompt(make_config: Callable[..., Config]) -> None:
    config = make_config()
    options: dict[str, Any] = {
        "family": "prompt",
        "unet": config.model.model_dump(),
        "widths": [8, 8],
        "blocks": [1, 1],
        "kernels": [3, 3],
    }
    prompt = Config.model_validate(config.model_dump() | {"model": options})
    assert "photo 3x32x32 + prompt 2x32x32  logits 3x32x32" in table(summarise(prompt))
