"""What is not there: the Oxford-IIIT Pet dataset is downloaded, other sources are left out aloud."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from petseg.errors import ImageError
from tests.support.drawing import Labels, draw_labels, write_oxford
from train.checkpoint import load_checkpoint_config
from train.config import OXFORD, Config, DataConfig, load_config, photos_root
from train.data import sources
from train.data.dataset import read_splits
from train.data.sources import there, with_photos_there
from train.loops import trainer_class

MAIN = sorted((Path(__file__).parents[3] / "train/configs").glob("*.toml"))
Captured = pytest.CaptureFixture[str]


def masks() -> dict[str, Labels]:
    """Two breeds of cats and dogs each, by turns as the labels are drawn."""
    breeds = ("Bengal", "beagle", "Birman", "pug")
    return {f"{breeds[i % 4]}_{i}": draw_labels(i, 48, 48) for i in range(40)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the Oxford-IIIT Pet dataset alone."""
    write_oxford(tmp_path / OXFORD, masks())
    return tmp_path


def data(root: Path, *others: dict[str, object], **fields: object) -> DataConfig:
    oxford = {"path": OXFORD, "layout": "oxford", "validation": 0.25}
    return DataConfig.model_validate({"root": str(root), "sources": [oxford, *others], **fields})


def test_optional_sources_are_left_out_aloud(root: Path, capsys: Captured) -> None:
    config = data(root, {"path": "pets-extra", "optional": True}, {"path": "no-pets", "optional": True})
    training, validation = read_splits(config)
    assert (len(training), len(validation)) == (32, 8)
    assert f"not in {root}, trained without: pets-extra, no-pets" in capsys.readouterr().out
    assert [source.path for source in there(config).sources] == [OXFORD]
    with pytest.raises(ImageError, match="pets-extra holds no photos"):
        read_splits(data(root, {"path": "pets-extra"}))


def test_nothing_is_there(tmp_path: Path) -> None:
    config = DataConfig.model_validate(
        {"root": str(tmp_path), "sources": [{"path": "x", "optional": True}], "download": False}
    )
    with pytest.raises(ImageError, match=r"none of the sources is in .*PETSEG_DATA"):
        there(config)


def test_a_checkpoint_tells_what_it_was_trained_on(
    root: Path, make_config: Callable[..., Config], capsys: Captured
) -> None:
    config = make_config(
        data={"root": str(root), "sources": data(root, {"path": "no-pets", "optional": True}).sources},
        collage={"probability": 0.5},
        optim={"epochs": 1},
    )
    trainer_class(config.model)(config).fit()
    said = capsys.readouterr().out
    assert "trained without: no-pets" in said
    assert "no collages: that needs photos without pets" in said
    stored = load_checkpoint_config(config.folder / "best")
    assert [source.path for source in stored.data.sources] == [OXFORD]


class Torchvision:
    """In the place of torchvision's dataset: writes what that unpacks."""

    calls = 0

    def __init__(self, root: Path, **options: object) -> None:
        type(self).calls += 1
        assert options["download"]
        write_oxford(root / OXFORD, masks())
        (root / OXFORD / "images.tar.gz").write_bytes(b"photos")


def test_the_oxford_dataset_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(Torchvision, "calls", 0)
    monkeypatch.setattr(sources, "OxfordIIITPet", Torchvision)
    left = tmp_path / f".{OXFORD}.part" / OXFORD / "annotations/broken.txt"  # by a run that was killed
    left.parent.mkdir(parents=True)
    left.write_text("")
    there(data(tmp_path))
    assert f"downloading the Oxford-IIIT Pet dataset (0.8 GB, CC BY-SA 4.0) into {tmp_path}" in (
        capsys.readouterr().out
    )
    there(data(tmp_path))
    assert Torchvision.calls == 1
    assert {path.name for path in (tmp_path / OXFORD).iterdir()} == {"images", "annotations"}
    assert not (tmp_path / OXFORD / "annotations/broken.txt").exists()
    assert not left.parents[2].exists()


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sources, "OxfordIIITPet", fail)
    with pytest.raises(ImageError, match=r"cannot be downloaded \(no network\); unpack .*PETSEG_DATA"):
        there(data(tmp_path))
    assert not (tmp_path / OXFORD).exists()
    with pytest.raises(ImageError, match="holds no photos"):
        read_splits(data(tmp_path, download=False))


def test_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("PETSEG_DATA", raising=False)
    assert photos_root() == "data"
    (tmp_path / "shared/data").mkdir(parents=True)
    assert photos_root() == "../shared/data"
    monkeypatch.setenv("PETSEG_DATA", "/photos")
    assert DataConfig(sources=[]).root == "/photos"


def offline(path: Path, root: Path, output: Path) -> Config:
    """A main config with nothing but the Oxford photos, tiny, at a random start."""
    overrides = [f"data.root={root}", f"output={output}", "data.size=64", "data.workers=0", "optim.epochs=1"]
    overrides += [
        "optim.batch_size=4",
        "optim.mixed_precision=no",
        "reconstruction.epochs=1",
        "prompting.photos=8",
    ]
    overrides += ["reconstruction.batch_size=4"]
    config = load_config(path, overrides)
    return config.model_copy(update={"start": None, "model": config.model.without_start()})


@pytest.mark.parametrize("path", MAIN, ids=lambda path: path.stem)
def test_main_configs_need_the_oxford_photos_alone(path: Path, root: Path, tmp_path: Path) -> None:
    config = with_photos_there(offline(path, root, tmp_path / "run"))
    assert [source.path for source in config.data.sources] == [OXFORD]
    assert config.reconstruction.photos == []
    weights = config.model.model_dump().get("weights")
    assert weights is None or not Path(weights).suffix  # a public name, no file of this machine


@pytest.mark.slow
@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("path", MAIN, ids=lambda path: path.stem)
def test_main_configs_train_on_the_oxford_photos_alone(path: Path, root: Path, tmp_path: Path) -> None:
    config = offline(path, root, tmp_path / "run")
    history = trainer_class(config.model)(config).fit()
    assert np.isfinite(history[-1]["val_loss"])
    load_checkpoint_config(tmp_path / "run/best")
