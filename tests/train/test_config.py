from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from train.checkpoint import without_start
from train.config import Config, load_config
from train.models import build
from train.sections import AugmentConfig

CONFIGS = sorted((Path(__file__).parents[2] / "train/configs").glob("*.toml"))

MINIMAL = """
name = "tiny"
[data]
sources = [{ path = "pets", validation = 0.1 }]
[model]
width = 8
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_its_model_takes_its_size(path: Path) -> None:
    config = load_config(path)
    assert any(source.validation for source in config.data.sources)
    size = config.data.size
    # Shapes only, since some models are large; the contrastive one is small, and switches autocast off, which
    # "meta" does not know.
    device = "cpu" if config.model.family == "contrastive" else "meta"
    with torch.device(device), torch.inference_mode():
        model = build(without_start(config).model).eval()
        inputs = [torch.zeros(1, 3, size, size, dtype=torch.uint8)]
        if config.model.family == "contrastive":
            inputs.append(torch.zeros(2, config.model.length, dtype=torch.int64))
        elif hasattr(model, "prompts"):
            inputs.append(torch.zeros(1, 2, size, size))
        shape = (1, 2) if config.model.family == "contrastive" else (1, 3, size, size)
        assert model(*inputs).shape == shape


def test_there_are_configs() -> None:
    assert "unet" in [path.stem for path in CONFIGS]


def test_defaults_and_folder(toml: Path) -> None:
    config = load_config(toml)
    assert config.folder == Path("runs/tiny")
    assert config.model.width == 8
    assert config.data.sources[0].layout == "folder"
    assert load_config(toml, ["output=elsewhere/x"]).folder == Path("elsewhere/x")


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("optim.epochs=2", "optim", "epochs", 2),
        ("optim.learning_rate=1e-3", "optim", "learning_rate", 0.001),
        ("optim.learning_rate=1", "optim", "learning_rate", 1.0),
        ("optim.mixed_precision=no", "optim", "mixed_precision", "no"),
        ("model.separable=true", "model", "separable", True),
        ("model.decoder=[16, 8]", "model", "decoder", [16, 8]),
        ("model.weights=../weights/a=b.safetensors", "model", "weights", "../weights/a=b.safetensors"),
        ('data.root="/tmp/my data"', "data", "root", "/tmp/my data"),
        ("loss.name=dice", "loss", "name", "dice"),
        ("augment.flip=0", "augment", "flip", 0.0),
    ],
)
def test_overrides_have_the_type_of_their_field(
    toml: Path, override: str, section: str, key: str, value: object
) -> None:
    result = getattr(getattr(load_config(toml, [override]), section), key)
    assert result == value
    assert type(result) is type(value)


def test_later_overrides_win(toml: Path) -> None:
    assert load_config(toml, ["seed=1", "seed=2", "name=other"]).seed == 2


@pytest.mark.parametrize("override", ["optim.epochs", "", "seed"])
def test_override_without_a_value(toml: Path, override: str) -> None:
    with pytest.raises(ValueError, match=r"must look like optim\.epochs=10"):
        load_config(toml, [override])


@pytest.mark.parametrize("override", ["name.x=1", "data.sources.path=x", "model.width.x=2"])
def test_override_inside_of_what_is_no_table(toml: Path, override: str) -> None:
    with pytest.raises(ValueError, match="is no table"):
        load_config(toml, [override])


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("sead=1", "sead"),
        ("optim.epoch=1", "optim.epoch"),
        ("data.shuffle=1", "shuffle"),
        ("model.heads=2", "heads"),
        ("loss.margin=2", "margin"),
        ("augment.cutmix=1", "cutmix"),
        ("data.sources=[{path='x', weight=1}]", "weight"),
        ("optim.epochs=ten", "optim.epochs"),
        ("optim.epochs=2.5", "optim.epochs"),
        ("optim.epochs=0", "optim.epochs"),
        ("optim.mixed_precision=fp8", "optim.mixed_precision"),
        ("optim.ema=1.0", "optim.ema"),
        ("augment.flip=1.5", "augment.flip"),
        ("augment.crop=-0.1", "augment.crop"),
        ("model.family=resnet", "resnet"),
        ("data=3", "data"),
    ],
)
def test_what_does_not_fit_is_named(toml: Path, override: str, named: str) -> None:
    with pytest.raises(ValidationError, match=rf"1 validation error [^Z]*{named}"):
        load_config(toml, [override])


def test_one_of_several_tables_is_overridden(toml: Path) -> None:
    config = load_config(toml, ["data.sources.0.repeat=3"])
    assert config.data.sources[0].repeat == 3
    assert config.data.sources[0].path == load_config(toml).data.sources[0].path
    with pytest.raises(ValueError, match="there is no 7 among"):
        load_config(toml, ["data.sources.7.repeat=3"])
    with pytest.raises(ValueError, match=r"is no table but a list; name one: data\.sources\.0\.repeat"):
        load_config(toml, ["data.sources.repeat=3"])


@pytest.mark.parametrize("key", ["name", "data", "model"])
def test_required_tables(toml: Path, key: str) -> None:
    document: dict[str, Any] = load_config(toml).model_dump()
    del document[key]
    with pytest.raises(ValidationError, match=key):
        Config.model_validate(document)


def test_config_is_immutable(toml: Path) -> None:
    config = load_config(toml)
    with pytest.raises(ValidationError, match="frozen"):
        config.optim.epochs = 3  # type: ignore[misc]


def test_json_gives_the_same_config(toml: Path) -> None:
    config = load_config(toml, ["optim.epochs=7", "model.decoder=[8, 8, 8, 8]"])
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_every_augmentation_is_a_probability() -> None:
    for name in AugmentConfig.model_fields:
        for bad in (-0.01, 1.01, "often"):
            with pytest.raises(ValidationError, match=name):
                AugmentConfig.model_validate({name: bad})


def test_a_config_that_is_not_there_names_those_that_are(toml: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no config '.*unett\.toml'; in .* are {toml.name}"):
        load_config(toml.with_name("unett.toml"))
    with pytest.raises(FileNotFoundError, match=r"in .*configs are .*prompt\.toml, .*unet\.toml"):
        load_config("nowhere/unet.toml")


def test_what_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("name = ")
    with pytest.raises(ValueError, match=r"a\.toml' is no TOML"):
        load_config(tmp_path / "a.toml")
