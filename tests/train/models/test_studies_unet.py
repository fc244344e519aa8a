"""The U-Nets and autoencoders of the published studies: what they are, and that they can be trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.errors import ExportError
from export.export import embed, export
from petseg import ModelError, Segmenter
from train.checkpoint import load_checkpoint
from train.config import Config, load_config
from train.loops import trainer_class
from train.models import build
from train.models.__main__ import main, summarise, table
from train.models.autoencoder import Autoencoder
from train.recipe import describe, value_at

FOLDER = Path(__file__).parents[3] / "train/configs/studies"

EXACT = {"d_unet": 31_043_651, "e_fast_unet": 3_898_462}
ABOUT = {"a_unet": 5.5e6, "e_unet": 31e6}
UNETS = ["a_unet", "b_unet", "c_unet", "d_unet", "e_fast_unet", "e_unet"]
AUTOENCODERS = ["a_autoencoder", "b_autoencoder", "c_autoencoder", "d_autoencoder"]
SIZES = {
    "a_unet": 256,
    "a_autoencoder": 256,
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


def layers(model: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, kind)]


def trainable(name: str) -> int:
    return sum(p.numel() for p in on_meta(name).parameters() if p.requires_grad)


def test_study_a_puts_49152_numbers_into_its_code_and_trains_9_6_million_weights() -> None:
    model = autoencoder("a_autoencoder", "segmentation")
    encode, decode = (m for m in layers(model, nn.Linear) if isinstance(m, nn.Linear))
    assert (encode.in_features, encode.out_features) == (49152, 384)
    assert decode.in_features == 384
    assert trainable("a_autoencoder") == pytest.approx(9.6e6, rel=0.005)
    first, last = model.encoder.levels.levels[0][0][0], model.decoder.head
    assert (first.out_channels, last.in_channels, last.out_channels) == (96, 96, 3)
    assert len(layers(model.encoder, nn.MaxPool2d)) == 4


def test_study_d_has_five_convolutions_and_five_transposed_ones() -> None:
    model = autoencoder("d_autoencoder", "segmentation")
    assert [m.stride for m in layers(model.encoder, nn.Conv2d)] == [(2, 2)] * 5
    assert [m.kernel_size for m in layers(model.decoder, nn.ConvTranspose2d)] == [(3, 3)] * 5
    assert not layers(model.decoder, nn.Conv2d)
    assert sum(p.numel() for p in model.parameters()) == 31_350_275


def test_study_b_has_skips_in_the_reconstruction_decoder_only() -> None:
    for task, skips in (("reconstruction", True), ("segmentation", False)):
        assert autoencoder("b_autoencoder", task).decoder.skips is skips


def test_study_b_segments_from_the_map_and_not_from_the_vector() -> None:
    model = autoencoder("b_autoencoder", "segmentation")
    assert not layers(model.decoder, nn.Linear)
    assert model.decoder.levels[0][0].in_channels == 256
    assert {m.p for m in layers(model, nn.Dropout2d)} == {0.1}
    assert not layers(model.encoder, nn.BatchNorm2d)
    assert layers(model.decoder, nn.BatchNorm2d)


def test_study_c_pools_and_has_a_head_of_four_convolutions_at_one_resolution() -> None:
    model = autoencoder("c_autoencoder", "segmentation")
    convolutions = layers(model.decoder, nn.Conv2d)
    assert [m.kernel_size for m in convolutions] == [(3, 3), (3, 3), (3, 3), (1, 1)]
    assert model.decoder.factor == 8
    assert not model.decoder.levels
    assert [m.stride for m in layers(model.encoder, nn.Conv2d)] == [(1, 1)] * 3


@pytest.mark.parametrize("name", ["b_unet", "a_autoencoder"])
def test_leaky_relu(name: str) -> None:
    model = on_meta(name)
    slopes = {m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.1}
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())


def test_study_b_drops_channels_after_every_level() -> None:
    assert [m.p for m in layers(on_meta("b_unet"), nn.Dropout2d)] == [0.25] * 9


RECIPES = {  # size, batch, learning rate, epochs, loss, schedule
    "a_unet": (256, 16, 5e-4, 30, "weighted_cross_entropy", "constant"),
    "a_clip": (352, 16, 5e-4, 5, "weighted_cross_entropy", "constant"),
    "b_unet": (128, 16, 1e-3, 100, "ce_dice", "cosine"),
    "b_autoencoder": (128, 64, 1e-3, 200, "weighted_cross_entropy", "cosine"),
    "b_clip": (224, 16, 1e-4, 100, "cross_entropy", "cosine"),
    "b_prompt": (224, 16, 2e-4, 2000, "bce", "cosine"),
    "c_unet": (256, 64, 1e-4, 50, "cross_entropy", "constant"),
    "c_autoencoder": (256, 64, 1e-5, 50, "cross_entropy", "constant"),
    "d_unet": (512, 4, 1e-4, 30, "focal_dice", "constant"),
    "d_prompt": (512, 4, 1e-4, 30, "binary_focal", "constant"),
    "e_fast_unet": (128, 32, 1e-2, 100, "dice", "constant"),
}


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items())
def test_recipes(name: str, recipe: tuple[object, ...]) -> None:
    config = study(name)
    optim = config.optim
    found = (optim.batch_size, optim.learning_rate, optim.epochs, config.loss.name, optim.schedule)
    assert (config.data.size, *found) == recipe
    assert optim.weight_decay == 0  # AdamW is Adam


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_what_a_study_states_stands_in_its_config(path: Path) -> None:
    config = load_config(path)
    assert config.study is not None
    assert config.study.letter == path.stem[0].upper()
    assert {"optim.learning_rate", "optim.epochs", "loss.name", "data.size"} - config.study.stated.keys() <= {
        "data.size", "optim.epochs"
    }  # fmt: skip
    text = describe(config)
    for key, where in config.study.stated.items():
        assert f"{key} = " in text
        assert f"({where})" in text
    assert "not stated, chosen here" in text


def test_a_key_that_is_not_there_is_no_recipe() -> None:
    with pytest.raises(KeyError, match="optim"):
        value_at(study("a_unet"), "optim.nothing")


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
    for options in (model, model.get("reconstruction", {}), model.get("segmentation", {})):
        for key in ("widths", "flat"):
            if options.get(key):
                options[key] = [width // 8 for width in options[key]]
        options["code_width"] = options.get("code_width", 0) // 8
    if "code_width" in model:
        del model["code_width"]
    if model.get("code_side"):
        model["code_side"] = 32 // 2 ** len(model["widths"])
    document["data"] |= {
        "root": str(photos),
        "sources": [{"path": "pets", "validation": 0.33}],
        "size": 32,
        "workers": 0,
    }
    document["augment"] = dict.fromkeys(document["augment"].keys() - {"kinds", "strengths"}, 0.0)
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
        exported = export(config.folder / "best")
        assert exported.document["classes"] == ["background", "pet", "border"]
        session = onnxruntime.InferenceSession(exported.graphs["model"])
        image = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), np.uint8)
        (found,) = session.run(None, {"image": image})
        expected = load_checkpoint(config.folder / "best")[0](torch.from_numpy(image)).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
        exported.write(tmp_path / "e.onnx")
        with pytest.raises(ModelError, match="petseg cannot use it, other programs"):
            Segmenter(tmp_path / "e.onnx")
        with pytest.raises(ExportError, match="cannot be embedded: it tells background, pet, border"):
            embed(exported, tmp_path / "weights")


def test_table_of_models(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(FOLDER / f"{name}.toml") for name in ("e_fast_unet", "d_autoencoder")])
    shown, *recipes = capsys.readouterr().out.split("\n\n")
    assert [recipe.split(",")[0] for recipe in recipes] == ["study-e-fast-unet", "study-d-autoencoder"]
    heading, *lines = [line.split("  ") for line in shown.splitlines()]
    cells: list[list[str]] = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert [cell.strip() for cell in heading if cell.strip()] == [
        "config", "family", "weights", "trainable", "input", "output"
    ]  # fmt: skip
    photo, logits = "photo 3x512x512", "logits 3x512x512"
    (trainable,) = {sum(p.numel() for p in autoencoder("d_autoencoder", "segmentation").decoder.parameters())}
    name, total = "study-d-autoencoder", "31,350,275"
    first = f"{sum(p.numel() for p in on_meta('d_autoencoder', 'reconstruction').parameters()):,}"
    assert cells == [
        ["study-e-fast-unet", "unet", "3,898,462", "3,898,462", "photo 3x128x128", "logits 3x128x128"],
        [name, "autoencoder (reconstruction)", first, first, photo, photo],
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
