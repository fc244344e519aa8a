"""Photos of one's own: what is found in a folder, and a config that trains on it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError
from tests.support.drawing import draw_labels, paint, write_oxford, write_plain
from train.checkpoint import save_checkpoint
from train.config import Config, load_config
from train.data.found import UnclearError, class_of, look
from train.models import build
from train.new import main, parse_classes
from train.toml import to_toml
from train.train import main as train

Captured = pytest.CaptureFixture[str]
MakeConfig = Callable[..., Config]
CAT, DOG = (200, 30, 30), (0, 0, 255)


def own(folder: Path, value: object, *, masks: str = "masks", stem: str = "IMG", count: int = 12) -> Path:
    """Photos whose masks have (0,) and this grey value, or colour, where an animal is."""
    for name in ("images", masks):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        labels = draw_labels(2 * index)
        Image.fromarray(paint(labels, seed=index)).save(folder / f"images/{stem}_{index}.jpg")
        mask = np.zeros((*labels.shape, 3), np.uint8) if isinstance(value, tuple) else np.zeros_like(labels)
        mask[labels > 0] = value
        Image.fromarray(mask).save(folder / masks / f"{stem}_{index}.png")
    return folder


@pytest.fixture
def start(make_config: MakeConfig, tmp_path: Path) -> Path:
    """A tiny checkpoint to go on from."""
    config = make_config()
    save_checkpoint(tmp_path / "start", build(config.model), config)
    return tmp_path / "start"


@pytest.mark.parametrize(
    ("value", "name", "classes"),
    [
        (255, "dogs", {"0": "background", "255": "dog"}),
        (7, "my-cat", {"0": "background", "7": "cat"}),
        (CAT, "cats", {"#000000": "background", "#c81e1e": "cat"}),
        (2, "photos", {}),
    ],
)
def test_what_masks_mean(tmp_path: Path, value: object, name: str, classes: dict[str, str]) -> None:
    found = look(own(tmp_path / name, value))
    assert found.source.classes == classes
    assert found.source.masks == "masks"
    assert len(found.values) == 2
    assert sum(found.values.values()) == pytest.approx(1)


def test_species_from_the_names_of_the_photos(tmp_path: Path) -> None:
    assert look(own(tmp_path / "p", 255, stem="puppy")).source.classes["255"] == "dog"
    with pytest.raises(
        UnclearError, match=r"masks hold 0 \(\d+\.\d% of the pixels\), 255 .*--classes '0=back"
    ):
        look(own(tmp_path / "q", 255, stem="education"))  # "cat" inside of a word says nothing


def test_both_species_by_cvats_labelmap(tmp_path: Path) -> None:
    folder = own(tmp_path / "p", CAT, masks="SegmentationClass")
    mask = Image.open(folder / "SegmentationClass/IMG_0.png").convert("RGB")
    mask.paste(DOG, (0, 0, 6, 6))
    mask.save(folder / "SegmentationClass/IMG_0.png")
    with pytest.raises(UnclearError, match="#0000ff"):
        look(folder)
    (folder / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nTabby cat:200,30,30::\nold_dog:0,0,255::\n"
    )
    found = look(folder)
    assert found.source.masks == "SegmentationClass"
    assert found.source.classes == {"#000000": "background", "#c81e1e": "cat", "#0000ff": "dog"}


def test_masks_with_blurred_edges_are_refused(tmp_path: Path) -> None:
    folder = own(tmp_path / "cats", 255)
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(folder / "masks/IMG_3.png")
    with pytest.raises(ImageError, match="more than 24 values"):
        look(folder)


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is no folder"):
        look(tmp_path / "nowhere")
    with pytest.raises(ImageError, match=r"put them into .*images, and their masks into"):
        look(tmp_path)
    own(tmp_path, 1)
    (tmp_path / "masks").rename(tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(ImageError, match=r"PNG files of the photos' names \(IMG_0.png, say\)"):
        look(tmp_path)


def test_the_oxford_layout(tmp_path: Path) -> None:
    folder = write_oxford(tmp_path / "mine", {"Bengal_1": draw_labels(0), "beagle_2": draw_labels(1)})
    assert look(folder).source.layout == "oxford"
    (folder / "annotations/trainval.txt").rename(folder / "annotations/test.txt")
    with pytest.raises(ImageError, match=r"no annotations/trainval\.txt"):
        look(folder)


def coco(folder: Path, label: str) -> Path:
    """An export beside images/, with a square on each photo."""
    own(folder, 1)
    (folder / "masks/IMG_0.png").unlink()
    for path in (folder / "masks").iterdir():
        path.unlink()
    (folder / "masks").rmdir()
    square = [4, 4, 20, 4, 20, 20, 4, 20]
    document = {
        "images": [{"id": i, "file_name": f"IMG_{i}.jpg", "width": 32, "height": 32} for i in range(12)],
        "categories": [{"id": 1, "name": label}, {"id": 2, "name": "Person"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1 + (i == 11), "segmentation": [square]}
            for i in range(12)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(document))
    return folder


def test_an_export_of_coco(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    coco(tmp_path / "p", "Siamese cat")
    main(["kitty", "p", "--start", str(start)])
    said = capsys.readouterr().out
    assert "12 photos with masks in instances.json" in said
    assert "what is called Siamese cat is read as cat" in said
    assert "11 show cat, 1 show no pet" in said
    source = load_config("runs/kitty.toml").data.sources[0]
    assert source.classes == {"Person": "background", "Siamese cat": "cat"}
    with pytest.raises(UnclearError, match=r"is called Person, thing; say .*--classes 'Person=cat'"):
        look(coco(tmp_path / "q", "thing"))
    (tmp_path / "p/other.xml").write_text("<annotations/>")
    with pytest.raises(UnclearError, match=r"2 annotation files; say which: --masks instances\.json"):
        look(tmp_path / "p")
    assert look(tmp_path / "p", "instances.json").source.masks == "instances.json"


def test_a_config_is_written_and_trains(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = own(tmp_path / "photos", CAT)
    arguments = ["rex-2", "photos", "--classes", "#000000=background, #c81e1e=dog", "--start", str(start)]
    main(arguments)
    said = capsys.readouterr().out
    assert f"{folder}: 12 photos with masks in masks" in said
    assert "#c81e1e" in said
    assert "12 show dog" in said
    with Image.open("runs/rex-2.png") as picture:
        assert picture.width > 400
    config = load_config("runs/rex-2.toml")
    assert config.start == start.as_posix()
    assert config.model == load_config("runs/rex-2.toml").model
    assert (config.model.width, config.model.depth, config.data.size) == (4, 2, 32)
    train(["--config", "runs/rex-2.toml", "--set", "optim.epochs=1", "--set", "data.workers=0"])
    assert (tmp_path / "runs/rex-2/best/model.safetensors").is_file()
    with pytest.raises(SystemExit):
        main(arguments)
    assert "is there already; give another name, or --force" in capsys.readouterr().err
    main([*arguments, "--force"])


def test_photos_that_cannot_be_used_are_named(tmp_path: Path, start: Path, capsys: Captured) -> None:
    folder = own(tmp_path / "cats", 255)
    Image.new("L", (9, 9)).save(folder / "masks/IMG_4.png")
    with pytest.raises(SystemExit):
        main(["a", str(folder), "--start", str(start), "--config", str(tmp_path / "a.toml")])
    assert "1 of 12 photos cannot be used:\n  IMG_4: the photo has 32 x 32" in capsys.readouterr().err
    assert not (tmp_path / "a.toml").exists()


def test_no_pets_anywhere(tmp_path: Path, start: Path, capsys: Captured) -> None:
    folder = write_plain(tmp_path / "p", {f"x{i}": np.zeros((32, 32), np.uint8) for i in range(3)})
    arguments = ["a", str(folder), "--start", str(start), "--config", str(tmp_path / "a.toml")]
    with pytest.raises(SystemExit):
        main([*arguments, "--classes", "0=background"])
    assert "nothing to learn" in capsys.readouterr().err


def test_wrong_names(capsys: Captured) -> None:
    for arguments in (["My Model", "x"], ["a", "x", "--classes", "255"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "My Model" in (said := capsys.readouterr().err) or "is not VALUE=CLASS" in said


def test_classes_of_words() -> None:
    labels = {"Cat": "cat", "my_dog": "dog", "kittens": "cat", "category": "background", "void": "ignored"}
    assert {label: class_of(label) for label in labels} == labels
    assert parse_classes(None) == {}


def test_toml_is_what_it_was(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(augment={"kinds": ["occlusion"]}, start='a "b" \\ é😀')
    (tmp_path / "x.toml").write_text(to_toml(config.model_dump()), encoding="utf-8")
    assert load_config(tmp_path / "x.toml") == config
