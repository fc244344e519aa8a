import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from petseg.errors import ImageError
from tests.support.drawing import draw_labels, write_plain
from train.config import Config, SourceConfig, load_config
from train.data.captions import read_captioned_splits
from train.data.dataset import COPIES, PhotoDataset, read_originals, read_source, read_splits
from train.multiply import main, multiply, training_photos

MakeConfig = Callable[..., Config]


@pytest.fixture
def config(make_config: MakeConfig, tmp_path: Path) -> Config:
    """24 photos, of which `validation` and the seed hold out eight; the others come three times."""
    return make_config(
        data={"sources": [{"path": "pets", "validation": 0.33, "repeat": 3}], "labels": "trimap"},
        augment={"flip": 0.5, "crop": 1, "noise": 1, "perturb": 0.5},
        multiply={"copies": 2, "output": str(tmp_path / "made/copies")},
    )


def with_data(config: Config, **update: object) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update=update)})


def with_output(config: Config, output: Path, **update: object) -> Config:
    options = config.multiply.model_copy(update={"output": str(output)})
    return config.model_copy(update={"multiply": options, **update})


def names(samples: list) -> list[str]:
    return [sample.name for sample in samples]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_each_training_photo_is_copied_and_no_other(config: Config) -> None:
    training, validation = read_splits(config.data)
    assert (len(training), len(set(names(training))), len(validation)) == (48, 16, 8)
    folder = multiply(config)
    expected = {f"{name}_copy{copy}.png" for name in names(training) for copy in (1, 2)}
    for part in ("images", "masks"):
        assert {path.name for path in (folder / part).iterdir()} == expected
    assert read_originals(folder) == set(names(training))
    assert read_originals(folder).isdisjoint(names(validation))
    # Nothing else is left where it was made.
    assert [path.name for path in folder.parent.iterdir()] == ["copies"]


def test_copies_are_what_training_would_have_drawn(config: Config) -> None:
    folder = multiply(config)
    data = config.data
    photos = training_photos(config)
    dataset = PhotoDataset(photos, data.size, augment=config.augment, cache_side=data.cache_side)
    copies = {sample.name: sample for sample in read_source(SourceConfig(path=str(folder)), Path())}
    for copy in (1, 2):
        dataset.set_epoch(copy)
        for index in range(0, len(photos), 5):
            image, labels, name = dataset[index]
            sample = copies[f"{name}_copy{copy}"]
            np.testing.assert_array_equal(sample.read_image(), image.permute(1, 2, 0))
            np.testing.assert_array_equal(sample.read_mask(), labels)
            assert sample.breed == photos[index].breed
    first = photos[0].name
    assert not np.array_equal(*(copies[f"{first}_copy{copy}"].read_image() for copy in (1, 2)))


def test_seed_decides(config: Config, tmp_path: Path) -> None:
    first = contents(multiply(config))
    assert contents(multiply(with_output(config, tmp_path / "again"))) == first
    other = contents(multiply(with_output(config, tmp_path / "other", seed=1)))
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first if name.startswith("images"))


def test_workers_change_nothing(config: Config, tmp_path: Path) -> None:
    first = contents(multiply(config))
    assert contents(multiply(with_output(with_data(config, workers=2), tmp_path / "again"))) == first


def copied(config: Config, **options: object) -> Config:
    """The config with the copies as one more source."""
    source = SourceConfig(path=str(config.copies_folder), **options)
    return with_data(config, sources=[*config.data.sources, source])


def test_a_source_reads_the_copies(config: Config) -> None:
    training, validation = read_splits(config.data)
    multiply(config)
    more, same = read_splits(copied(config).data)
    assert names(same) == names(validation)
    assert len(more) == len(training) + 2 * 16
    # Copies are not copied once more.
    assert names(training_photos(copied(config))) == names(training_photos(config))


@pytest.mark.parametrize("read", [read_splits, read_captioned_splits])
@pytest.mark.parametrize("change", ["seed", "share"])
def test_copies_of_what_is_held_out_now(config: Config, read: Callable, change: str) -> None:
    multiply(config)
    data = copied(config).data
    read(data)
    if change == "seed":
        data = data.model_copy(update={"seed": 1})
    else:
        larger = data.sources[0].model_copy(update={"validation": 0.5})
        data = data.model_copy(update={"sources": [larger, data.sources[1]]})
    with pytest.raises(ValueError, match=r"\d validation photos \(.*\) have copies in .*made/copies"):
        read(data)


def test_copies_cannot_be_held_out(config: Config) -> None:
    multiply(config)
    with pytest.raises(ValueError, match="set validation = 0"):
        read_splits(copied(config, validation=0.1).data)


def test_the_copies_may_be_a_source_before_they_are_made(config: Config) -> None:
    """One config for both commands."""
    both = copied(config)
    multiply(both)
    assert len(read_splits(both.data)[0]) == 48 + 32


@pytest.fixture
def beside(config: Config, tmp_path: Path) -> Callable[[str], Config]:
    """The config with one more source: a new photo, and one of the name given."""

    def add(name: str) -> Config:
        folder = write_plain(tmp_path / "beside", {"new_1": draw_labels(1), name: draw_labels(2)})
        return with_data(config, sources=[SourceConfig(path=str(folder)), *config.data.sources])

    return add


def test_a_name_that_is_held_out_elsewhere(config: Config, beside: Callable[[str], Config]) -> None:
    held_out = read_splits(config.data)[1][0].name
    photos = names(training_photos(beside(held_out)))
    assert photos == ["new_1", *names(training_photos(config))]


def test_two_photos_of_one_name(config: Config, beside: Callable[[str], Config]) -> None:
    name = training_photos(config)[0].name
    with pytest.raises(ValueError, match=f"2 training photos have the name {name}"):
        training_photos(beside(name))


def test_no_photo_to_multiply(config: Config) -> None:
    with pytest.raises(ImageError, match="none of the sources is in"):
        multiply(with_data(config, sources=[]))


def test_a_failure_leaves_nothing_behind(config: Config, tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "more/odd", {"cat_1": draw_labels(0)})
    Image.new("L", (5, 5), 1).save(folder / "masks/cat_1.png")
    with pytest.raises(ValueError, match="cat_1: the photo has 32 x 32 pixels, the mask 5 x 5"):
        multiply(with_data(config, sources=[SourceConfig(path=str(folder))], cache_side=0))
    assert list((tmp_path / "made").iterdir()) == []


TOML = """
name = "tiny"
[data]
root = "{root}"
sources = [{{ path = "pets", validation = 0.33 }}]
size = 32
workers = 0
[model]
width = 4
[multiply]
copies = 1
"""


def test_command_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TOML.format(root=photos))
    main(["tiny.toml", "--set", "multiply.copies=2"])
    assert capsys.readouterr().out == "2 copies of 16 training photos in runs/tiny-copies\n"
    assert json.loads(Path("runs/tiny-copies", COPIES).read_text())["copies"] == 2
    # A path from the working directory, whatever data.root is.
    config = load_config("tiny.toml", ["data.sources=[{path='./runs/tiny-copies'}]"])
    assert len(read_splits(config.data)[0]) == 32
    with pytest.raises(SystemExit) as exit_:
        main(["tiny.toml"])
    assert exit_.value.code == 1
    assert "cannot multiply: runs/tiny-copies is there already" in capsys.readouterr().err


@pytest.mark.parametrize("copies", [0, -1, 1.5])
def test_bad_number_of_copies(make_config: MakeConfig, copies: float) -> None:
    with pytest.raises(ValidationError, match=r"multiply\.copies"):
        make_config(multiply={"copies": copies})
