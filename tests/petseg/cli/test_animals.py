"""`petseg segment` for stickers, grounds, animals one by one, and data sets."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from petseg import Segmenter
from petseg.annotations import Coco
from petseg.folders import find_photos, is_photo
from petseg.pixels import saving
from petseg.segmentation import Segmentation
from tests.support.command_line import pixels, tree

Run = Callable[..., Any]


@pytest.fixture
def animals(put, folder: Path, model_path: Path) -> Iterator[list[Any]]:
    """The animals of the photo that `put` writes."""
    photo = put(folder.parent / "probe/x.png")
    return list(Segmenter(model_path, device="cpu").segment(photo).pets)


@pytest.fixture
def bare(folder: Path) -> Path:
    """A photo without a pet."""
    path = folder / "bare.png"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(path)
    return path


# -- pictures -------------------------------------------------------------------------------------------


def test_pictures_of_the_whole(run: Run, put, folder: Path) -> None:
    photo, out = put(folder / "x.png"), folder.parent / "out"
    result = run("segment", photo, "-o", out, "--save", "sticker,crop", "--background", "#102030")
    assert result.exit_code == 0, result.stderr
    assert tree(out) == ["x.crop.jpg", "x.on.jpg", "x.sticker.png"]
    with Image.open(out / "x.sticker.png") as image:
        assert (image.size, image.mode) == ((512, 512), "RGBA")
    assert pixels(out / "x.on.jpg").shape == pixels(photo).shape
    with Image.open(out / "x.crop.jpg") as image:
        assert image.width <= Image.open(photo).width


def test_each_animal_by_itself(run: Run, put, folder: Path, animals: list[Any]) -> None:
    photo, out = put(folder / "x.png"), folder.parent / "out"
    assert len(animals) > 1
    result = run("segment", photo, "-o", out, "--save", "mask,cutout,sticker,json", "--each")
    assert result.exit_code == 0, result.stderr
    endings = ("cutout.png", "json", "mask.png", "sticker.png")
    assert tree(out) == sorted(f"x.{n}.{end}" for n in range(1, len(animals) + 1) for end in endings)
    for number, pet in enumerate(animals, 1):
        np.testing.assert_array_equal(pixels(out / f"x.{number}.mask.png") != 0, pet.mask)
        document = json.loads((out / f"x.{number}.json").read_text())
        assert (document["label"], document["area"]) == (pet.label, pet.area)
    assert find_photos([out], None)[0] == [], "none of them is taken for a photo"


def test_crop_is_for_cutouts_and_grounds(run: Run, put, folder: Path, animals: list[Any]) -> None:
    photo, out = put(folder / "x.png"), folder.parent / "out"
    arguments = ("--save", "cutout,mask", "--background", "blur", "--crop", "--each")
    assert run("segment", photo, "-o", out, *arguments).exit_code == 0
    for number, pet in enumerate(animals, 1):
        size = pet.crop().size
        for name, expected in (("cutout.png", size), ("on.jpg", size), ("mask.png", pet.size)):
            with Image.open(out / f"x.{number}.{name}") as image:
                assert image.size == expected


def test_a_ground_alone_is_saved_alone(run: Run, put, folder: Path) -> None:
    photo, out = put(folder / "x.png"), folder.parent / "out"
    assert run("segment", photo, "-o", out, "--background", "white").exit_code == 0
    assert tree(out) == ["x.on.jpg"]
    assert run("segment", photo, "-o", folder.parent / "x.jpg", "--background", "grey").exit_code == 0
    assert (folder.parent / "x.jpg").is_file()


def test_another_photo_as_a_ground(run: Run, put, folder: Path) -> None:
    photo, out = put(folder / "x.png"), folder.parent / "out"
    Image.new("RGB", (9, 9), (0, 0, 200)).save(folder.parent / "beach.png")
    assert run("segment", photo, "-o", out, "--background", folder.parent / "beach.png").exit_code == 0
    assert (pixels(out / "x.on.jpg")[..., 2] > 150).any()
    (folder.parent / "broken.png").write_bytes(b"nonsense")
    result = run("segment", photo, "-o", out, "--background", folder.parent / "broken.png")
    assert result.exit_code == 1
    assert "broken.png' is in no image format" in result.stderr


def test_photos_without_a_pet_are_no_failures(run: Run, put, folder: Path, bare: Path) -> None:
    put(folder / "x.png")
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out, "--save", "sticker,crop,cutout")
    assert result.exit_code == 0, result.stderr
    assert tree(out) == ["bare.cutout.png", "x.crop.jpg", "x.cutout.png", "x.sticker.png"]
    result = run("segment", bare, "-o", out, "--save", "sticker")
    assert result.exit_code == 0
    assert "(nothing to save without a pet)" in result.stdout
    result = run("segment", bare, "-o", out, "--save", "mask,cutout", "--each")
    assert "(nothing to save without a pet)" in result.stdout
    assert run("segment", bare, "-o", out, "--background", "red", "--crop").exit_code == 0
    assert "bare.on.jpg" not in tree(out)


def test_a_sticker_that_was_asked_for_by_name_is_an_error_without_a_pet(
    run: Run, bare: Path, folder: Path
) -> None:
    result = run("segment", bare, "-o", folder.parent / "s.png", "--save", "sticker")
    assert result.exit_code == 1
    assert "shows no pet" in result.stderr
    assert not (folder.parent / "s.png").exists()


def test_pictures_called_so_are_photos_unless_petseg_made_them(run: Run, put, folder: Path) -> None:
    put(folder / "x.png")
    put(folder / "my.crop.jpg")
    put(folder / "lights.on.jpg")
    assert run("segment", folder / "x.png", "-o", folder, "--save", "crop,on").exit_code == 0
    assert (folder / "x.crop.jpg").is_file()
    found = [photo.path.name for photo in find_photos([folder], None)[0]]
    assert found == ["lights.on.jpg", "my.crop.jpg", "x.png"]
    assert not is_photo("x.png.crop.jpg"), "as `petseg batch` calls them"


# -- data sets ------------------------------------------------------------------------------------------


def masks_of(folder: Path, model_path: Path, name: str) -> list[NDArray[np.bool_]]:
    segmenter = Segmenter(model_path, device="cpu")
    return [pet.mask for pet in segmenter.segment(folder / name).pets]


def test_a_folder_as_data_sets(run: Run, put, folder: Path, bare: Path, model_path: Path) -> None:
    for name in ("x.png", "sub/y.png"):
        put(folder / name)
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out, "--save", "coco,yolo,labelstudio")
    assert result.exit_code == 0, result.stderr
    assert tree(out) == [
        "coco.json", "data.yaml", "labels/bare.txt", "labels/sub/y.txt", "labels/x.txt", "labelstudio.json",
    ]  # fmt: skip
    assert result.stdout.splitlines()[-1].split() == [
        str(out / name) for name in ("coco.json", "data.yaml", "labelstudio.json")
    ]
    assert "nothing to save" not in result.stdout
    coco = COCO(str(out / "coco.json"))
    names = [image["file_name"] for image in coco.loadImgs(coco.getImgIds())]
    assert names == ["bare.png", "x.png", "sub/y.png"]
    for image in coco.loadImgs(coco.getImgIds()):
        expected = masks_of(folder, model_path, image["file_name"])
        found = [coco.annToMask(each) for each in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))]
        np.testing.assert_array_equal(np.array(found, bool), np.array(expected))
    tasks = json.loads((out / "labelstudio.json").read_text())
    assert [task["data"]["image"].partition("=")[2] for task in tasks] == names
    yolo = supervision.DetectionDataset.from_yolo(
        str(folder), str(out / "labels"), str(out / "data.yaml"), force_masks=True
    )
    expected = masks_of(folder, model_path, "x.png")
    for mask, pet in zip(yolo.annotations[str(folder / "x.png")].mask, expected, strict=True):
        assert (mask | ~pet).all()
        assert np.count_nonzero(mask & ~pet) <= 0.01 * pet.size, "but for lines from piece to piece"
    assert not len(yolo.annotations[str(folder / "bare.png")])


def test_a_data_set_beside_other_results(run: Run, put, folder: Path) -> None:
    photo, out = put(folder / "x.png"), folder.parent / "out"
    assert run("segment", photo, "-o", out, "--save", "mask,coco").exit_code == 0
    assert tree(out) == ["coco.json", "x.mask.png"]
    assert run("segment", photo, "-o", out, "--save", "mask,coco").exit_code == 0, "petseg's own"


def test_one_file_for_many_photos(run: Run, put, folder: Path) -> None:
    put(folder / "x.png")
    put(folder / "y.png")
    for format in ("coco", "labelstudio"):
        target = folder.parent / f"{format}-of-mine.json"
        assert run("segment", folder, "-o", target, "--save", format).exit_code == 0
        assert len(json.loads(target.read_text())["images" if format == "coco" else slice(None)]) == 2


def test_tolerance_makes_them_smaller(run: Run, put, folder: Path) -> None:
    put(folder / "x.png")
    sizes = []
    for tolerance in ("0", "1.5"):
        target = folder.parent / f"{tolerance}.json"
        assert run("segment", folder, "-o", target, "--save", "coco", "--tolerance", tolerance).exit_code == 0
        sizes.append(target.stat().st_size)
    assert sizes[1] < sizes[0]


def test_a_photo_that_fails_is_left_out(run: Run, put, folder: Path) -> None:
    put(folder / "x.png")
    (folder / "broken.jpg").write_bytes(b"nonsense")
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out, "--save", "coco,labelstudio,yolo")
    assert result.exit_code == 1
    assert [image["file_name"] for image in json.loads((out / "coco.json").read_text())["images"]] == [
        "x.png"
    ]
    assert len(json.loads((out / "labelstudio.json").read_text())) == 1
    assert tree(out / "labels") == ["x.txt"]


def test_what_is_there_and_not_petsegs_stops_the_run_at_once(run: Run, put, folder: Path) -> None:
    put(folder / "x.png")
    out = folder.parent / "out"
    out.mkdir()
    (out / "coco.json").write_text('{"images": []}')
    result = run("segment", folder, "-o", out, "--save", "mask,coco,yolo")
    assert result.exit_code == 1
    assert "coco.json' is there and no result of petseg's" in result.stderr
    assert "x.mask.png" not in tree(out)
    assert (out / "coco.json").read_text() == '{"images": []}'
    assert run("segment", folder, "-o", out, "--save", "mask,coco,yolo", "--force").exit_code == 0


def test_a_photo_called_as_the_data_set(run: Run, put, folder: Path) -> None:
    put(folder / "coco.png")
    put(folder / "x.png")
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out, "--save", "json,coco")
    assert result.exit_code == 1
    assert "coco.json' will hold the data set; rename the photo" in result.stderr
    assert tree(out) == ["coco.json", "x.json"]
    assert [image["file_name"] for image in json.loads((out / "coco.json").read_text())["images"]] == [
        "x.png"
    ]


def test_photos_that_yolo_cannot_tell_apart(run: Run, put, folder: Path) -> None:
    put(folder / "x.png")
    put(folder / "x.jpg")
    result = run("segment", folder, "-o", folder.parent / "out", "--save", "yolo")
    assert result.exit_code == 1
    assert "without suffix alone; rename one" in result.stderr


def test_a_photo_from_standard_input(folder: Path, put, model_path: Path) -> None:
    from typer.testing import CliRunner

    from petseg import cli

    data = put(folder / "x.png").read_bytes()
    out = folder.parent / "out"
    words = [
        "segment",
        "-",
        "-o",
        str(out),
        "--save",
        "coco,sticker",
        "--model",
        str(model_path),
        "--device",
        "cpu",
    ]
    result = CliRunner().invoke(cli.app, words, input=data)
    assert result.exit_code == 0, result.stderr
    assert tree(out) == ["coco.json", "stdin.sticker.png"]
    assert str(out / "coco.json") in result.stdout


def test_a_stopped_run_leaves_no_data_set(
    run: Run, put, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        put(folder / f"{name}.png")
    put_in = Coco.put

    def stop(self: Coco, described: Any, name: str) -> None:
        put_in(self, described, name)
        if name == "c.png":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Coco, "put", stop)
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out, "--save", "coco,labelstudio,yolo,mask")
    assert result.exit_code == 130
    found = tree(out)
    assert not [name for name in found if name.endswith((".json", ".tmp"))]
    assert all(saving.is_ours(out / name) for name in found)
    assert "a.mask.png" in found


def test_photos_are_kept_where_they_are_looked_at_again(
    run: Run, put, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else large ones are decoded small; data sets show none, but to tell animals apart takes one."""
    asked = []
    each = Segmenter.each

    def spy(self: Segmenter, *arguments: Any, **options: Any) -> Any:
        asked.append(options["keep_photos"])
        return each(self, *arguments, **options)

    monkeypatch.setattr(Segmenter, "each", spy)
    put(folder / "x.png")
    for save in ("mask", "json", "coco", "sticker", "on", "crop"):
        assert run("segment", folder, "-o", folder.parent / save, "--save", save).exit_code == 0
    assert run("segment", folder, "-o", folder.parent / "each", "--each").exit_code == 0
    assert asked == [False, False, True, True, True, True, True]


def test_batch_has_no_file_for_all(run: Run, folder: Path) -> None:
    result = run("batch", folder, folder.parent / "out", "--save", "coco")
    assert result.exit_code == 2
    assert "'coco' is one file for all photos: `petseg segment` saves it" in result.stderr


def test_the_document_of_a_result_says_nothing_of_animals(animals: list[Any]) -> None:
    """They may cost another look of the network."""
    whole: Segmentation = animals[0].whole
    assert "pets" not in json.loads(whole.encode(None, "json"))
