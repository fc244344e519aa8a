import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from train import checkpoint
from train.checkpoint import (
    checkpoint_sha256,
    known_configs,
    load_checkpoint,
    save_checkpoint,
    without_start,
)
from train.config import Config
from train.models import build, from_pretrained
from train.models.stored import load_weights

MakeConfig = Callable[..., Config]


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    return make_config(model={"separable": True, "context": True})


@pytest.fixture
def model(config: Config) -> nn.Module:
    """With statistics in its normalisations, in the memory format of training."""
    model = build(config.model).to(memory_format=torch.channels_last)
    for _ in range(3):
        model(torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8))
    return model.eval()


def test_round_trip_is_exact(tmp_path: Path, model: nn.Module, config: Config) -> None:
    save_checkpoint(tmp_path / "a/b", model, config)
    loaded, loaded_config = load_checkpoint(tmp_path / "a/b")
    assert loaded_config == config
    assert not loaded.training
    assert list(loaded.state_dict()) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
        assert loaded.state_dict()[name].dtype == tensor.dtype
    image = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(loaded(image), model(image))


def test_half_precision_halves_the_file_and_loads_as_float32(
    tmp_path: Path, model: nn.Module, config: Config
) -> None:
    save_checkpoint(tmp_path / "full", model, config)
    save_checkpoint(tmp_path / "half", model, config, half=True)
    stored = load_file(tmp_path / "half/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.int64}
    loaded, _ = load_checkpoint(tmp_path / "half")
    for name, tensor in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    # Saving keeps the model itself in float32.
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    half, full = ((tmp_path / kind / "model.safetensors").stat().st_size for kind in ("half", "full"))
    numbers = sum(tensor.numel() for tensor in model.state_dict().values() if tensor.is_floating_point())
    assert full - half == pytest.approx(2 * numbers, rel=0.02)


def test_saving_again_replaces_and_leaves_no_scraps(tmp_path: Path, model: nn.Module, config: Config) -> None:
    save_checkpoint(tmp_path, build(config.model), config)
    save_checkpoint(tmp_path, model, config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_checkpoint(tmp_path)[0]
    assert torch.equal(loaded.state_dict()["head.weight"], model.state_dict()["head.weight"])


def test_config_is_readable_json(tmp_path: Path, model: nn.Module, config: Config) -> None:
    save_checkpoint(tmp_path, model, config)
    assert json.loads((tmp_path / "config.json").read_text())["model"]["separable"] is True


def test_pretrained_start_is_not_needed_to_load(tmp_path: Path, make_config: MakeConfig) -> None:
    absent = make_config(
        model={"encoder": "mobilenet_v2", "weights": "/nowhere/start.safetensors", "decoder": [8, 8, 8, 8]}
    )
    save_checkpoint(tmp_path, build(without_start(absent).model), absent)
    _, config = load_checkpoint(tmp_path)
    assert config.model.weights == "/nowhere/start.safetensors"
    assert without_start(config).model.weights is None


def test_sha256(tmp_path: Path, model: nn.Module, config: Config) -> None:
    save_checkpoint(tmp_path, model, config)
    expected = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert checkpoint_sha256(str(tmp_path)) == expected


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing_file(tmp_path: Path, model: nn.Module, config: Config, missing: str) -> None:
    save_checkpoint(tmp_path, model, config)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"is not a checkpoint: .*{missing} is missing"):
        load_checkpoint(tmp_path)


def test_missing_folder(tmp_path: Path, model: nn.Module) -> None:
    with pytest.raises(FileNotFoundError, match="nothing is not a checkpoint"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="nothing is not a checkpoint"):
        load_weights(model, tmp_path / "nothing")


@pytest.mark.parametrize("keep", [0, 5, 300, -50])
def test_truncated_weights(tmp_path: Path, model: nn.Module, config: Config, keep: int) -> None:
    save_checkpoint(tmp_path, model, config)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', "\xff"])
def test_damaged_config(tmp_path: Path, model: nn.Module, config: Config, text: str) -> None:
    save_checkpoint(tmp_path, model, config)
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    for load in (load_checkpoint, from_pretrained):
        with pytest.raises(ValueError, match=r"config\.json is damaged"):
            load(tmp_path)


def test_a_folder_gives_the_model_alone(tmp_path: Path, model: nn.Module, config: Config) -> None:
    save_checkpoint(tmp_path, model, config)
    loaded = from_pretrained(tmp_path)
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_weights_of_another_model(tmp_path: Path, model: nn.Module, config: Config) -> None:
    save_checkpoint(tmp_path, model, config)
    other = build(config.model.model_copy(update={"width": 8}))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(other, tmp_path)


def test_configs_are_known_of_checkpoints_and_of_what_was_exported_from_one(
    make_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    for folder in ("own", "stored/unet"):
        save_checkpoint(tmp_path / folder, build(config.model), config)
    monkeypatch.setattr(checkpoint, "CHECKPOINTS", tmp_path / "stored")
    assert known_configs([str(tmp_path / "own"), "unet", "a/file.onnx"]) == [config, config]
