"""The commands: what they say, what they write, their exit status."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from petseg import Segmenter
from petseg.engine import cuda
from petseg.errors import ImageWarning
from petseg.pixels.image import load
from tests.support.command_line import pixels, tree

Run = Callable[..., Any]


def test_one_photo_gives_one_mask_and_one_line(run: Run, put, folder: Path, model_path: Path) -> None:
    out = folder.parent / "new" / "out"
    result = run("segment", put(folder / "x.png"), "-o", out)
    assert result.exit_code == 0
    assert re.fullmatch(rf"(cat|dog) [01]\.\d\d  {re.escape(str(out / 'x.mask.png'))}\n", result.stdout)
    assert result.stderr == ""
    assert tree(out) == ["x.mask.png"]
    expected = Segmenter(model_path, device="cpu", threads=1).segment(folder / "x.png").mask
    assert set(np.unique(expected)) == {0, 1, 2}
    np.testing.assert_array_equal(pixels(out / "x.mask.png"), expected)


@pytest.mark.parametrize(
    "save",
    [["--save", "mask,cutout,overlay,json"], ["--save", "json, mask", "--save", "cutout,overlay,mask"]],
)
def test_save_writes_each_kind_once(run: Run, put, folder: Path, save: list[str]) -> None:
    out = folder.parent / "out"
    result = run("segment", put(folder / "x.jpg"), "-o", out, *save)
    assert result.exit_code == 0
    assert tree(out) == ["x.cutout.png", "x.json", "x.mask.png", "x.overlay.jpg"]
    assert Image.open(out / "x.cutout.png").mode == "RGBA"
    assert Image.open(out / "x.overlay.jpg").format == "JPEG"
    assert json.loads((out / "x.json").read_text())["size"] == [100, 60]
    assert all(str(out / name) in result.stdout for name in tree(out))


@pytest.mark.parametrize(
    ("name", "save", "image_format"),
    [
        ("y.png", [], "PNG"),
        ("y.PNG", ["--save", "mask"], "PNG"),
        ("y.json", [], None),
        ("y.json", ["--save", "json"], None),
        ("y.png", ["--save", "cutout"], "PNG"),
        ("y.webp", ["--save", "cutout"], "WEBP"),
        ("y.jpg", ["--save", "overlay"], "JPEG"),
        ("deep/er/y.jpeg", ["--save", "overlay"], "JPEG"),
    ],
)
def test_out_may_be_the_file_itself(run: Run, put, folder: Path, name, save, image_format) -> None:
    out = folder.parent / "out" / name
    for _ in range(2):  # an earlier result is replaced
        result = run("segment", put(folder / "x.jpg"), "-o", out, *save)
        assert result.exit_code == 0
        assert result.stdout.endswith(f"  {out}\n")
    assert tree(folder.parent / "out") == [name]
    if image_format is None:
        assert json.loads(out.read_text())["model"] == "tiny"
    else:
        assert Image.open(out).format == image_format


def test_a_folder_may_be_called_like_a_file(run: Run, put, folder: Path) -> None:
    out = folder.parent / "out.png"
    out.mkdir()
    assert run("segment", put(folder / "x.jpg"), "-o", out).exit_code == 0
    assert tree(out) == ["x.mask.png"]


@pytest.mark.parametrize("name", ["y.jpg", "y.bmp"])
def test_a_file_that_cannot_hold_the_kind(run: Run, put, folder: Path, name: str) -> None:
    result = run("segment", put(folder / "x.jpg"), "-o", folder.parent / name)
    assert result.exit_code == 1
    assert "cannot hold a mask; use .png" in result.stderr
    assert not (folder.parent / name).exists()


def test_opacity_and_resize_reach_the_result(run: Run, put, folder: Path, model_path: Path) -> None:
    photo, out = put(folder / "x.png"), folder.parent
    assert run("segment", photo, "-o", out / "0.png", "--save", "overlay", "--opacity", "0").exit_code == 0
    np.testing.assert_array_equal(pixels(out / "0.png"), load(photo))
    assert run("segment", photo, "-o", out / "1.png", "--save", "overlay", "--opacity", "1").exit_code == 0
    assert (pixels(out / "1.png") != load(photo)).any()
    assert run("segment", photo, "-o", out / "n.png", "--resize", "nearest").exit_code == 0
    coarse = Segmenter(model_path, device="cpu", threads=1, resize="nearest").segment(photo).mask
    np.testing.assert_array_equal(pixels(out / "n.png"), coarse)


def test_quiet_prints_errors_only(run: Run, put, folder: Path) -> None:
    photo = put(folder / "x.jpg")
    result = run("segment", photo, "-o", folder.parent / "out", "-q")
    assert (result.exit_code, result.output) == (0, "")
    result = run("segment", photo, folder / "none.jpg", "-o", folder.parent / "out", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none.jpg" in result.stderr


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_bad_files_are_reported_and_skipped(run: Run, put, folder: Path, batch_size: int) -> None:
    for name in "aceg":
        put(folder / f"{name}.jpg")
    (folder / "b.jpg").write_text("this is text")
    (folder / "d.png").write_bytes(b"")
    whole = put(folder / "f.jpg").read_bytes()
    (folder / "f.jpg").write_bytes(whole[: len(whole) // 2])
    out = folder.parent / "out"
    result = run("segment", folder, folder / "gone.jpg", "-o", out, "--batch-size", batch_size)
    assert result.exit_code == 1
    assert tree(out) == [f"{name}.mask.png" for name in "aceg"]
    *lines, last = result.stderr.splitlines()
    assert last == "petseg: error: 4 of 8 failed"
    for line, name in zip(lines, ("b.jpg", "d.png", "f.jpg", "gone.jpg"), strict=True):
        assert line.startswith("petseg: error: photo ")
        assert name in line


def test_one_bad_photo_needs_no_count(run: Run, folder: Path) -> None:
    result = run("segment", folder / "gone.jpg", "-o", folder.parent / "out")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_without_photos(run: Run, put, folder: Path) -> None:
    (folder / "notes.txt").write_text("no photo")
    result = run("segment", folder, "-o", folder.parent / "out")
    assert result.exit_code == 1
    assert f"folder '{folder}' holds no photos" in result.stderr
    assert not (folder.parent / "out").exists()
    photo = put(folder.parent / "x.jpg")
    result = run("segment", folder, photo, "-o", folder.parent / "out")
    assert result.exit_code == 1
    assert tree(folder.parent / "out") == ["x.mask.png"]


def test_an_output_folder_that_cannot_be_made(run: Run, put, folder: Path) -> None:
    (folder.parent / "file").write_text("")
    result = run("segment", put(folder / "x.jpg"), "-o", folder.parent / "file" / "out")
    assert result.exit_code == 1
    assert "cannot be made" in result.stderr


def test_a_result_that_cannot_be_written_does_not_stop_the_run(run: Run, put, folder: Path) -> None:
    put(folder / "blocked" / "x.jpg")
    put(folder / "y.jpg")
    out = folder.parent / "out"
    out.mkdir()
    (out / "blocked").write_text("a file where a folder should be")
    result = run("segment", folder, "-o", out)
    assert result.exit_code == 1
    assert "1 of 2 failed" in result.stderr
    assert tree(out) == ["blocked", "y.mask.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nonesuch"], "there is no model 'nonesuch'"),
        (["--model", "nonesuch.onnx"], "nonesuch.onnx"),
        (["--device", "tpu"], "device 'tpu' is unknown"),
        (["--threads", "5000"], "threads is 5000"),
    ],
)
@pytest.mark.parametrize("command", ["segment", "eval"])
@pytest.mark.usefixtures("weights")
def test_a_wrong_model_or_device_is_one_line(
    run: Run, put, folder: Path, command: str, arguments: list[str], message: str
) -> None:
    put(folder / "images" / "x.jpg")
    Image.new("L", (100, 60)).save(put(folder / "masks" / "x.png"))
    words = [command, folder, *arguments, *([] if "--model" in arguments else ["--model", "tiny"])]
    result = run(*words, *(["-o", folder.parent / "out"] if command == "segment" else []))
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith("petseg: error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not (folder.parent / "out").exists()


@pytest.mark.usefixtures("fresh_engine")
def test_a_gpu_that_does_not_work_is_a_warning(
    run: Run, put, folder: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise cuda.CudaError("the cable is loose", "plug it in")

    monkeypatch.setattr(cuda, "gpu_visible", lambda: True)
    monkeypatch.setattr(cuda, "start", broken)
    model = shutil.copy(model_path, folder.parent)  # so that no session is open yet
    result = run("segment", put(folder / "x.jpg"), "-o", folder.parent / "out", "--model", model)
    assert result.exit_code == 0
    assert result.stderr.startswith("petseg: warning: ")
    assert "the cable is loose; plug it in" in result.stderr
    result = run("segment", folder, "-o", folder.parent / "o2", "--model", model, "--device", "cuda")
    assert result.exit_code == 1
    assert "the cable is loose; plug it in" in result.stderr


@pytest.mark.usefixtures("weights")
def test_models(run: Run) -> None:
    result = run("models")
    assert result.exit_code == 0
    head, *rows = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    assert head == ["name", "status", "size", "prompts", "parameters", "precisions", "mIoU (float32)"]
    assert [row[:2] + row[3:] for row in rows] == [
        ["tiny", "embedded", "-", "12", "float32", "0.500"],
        ["tiny-prompt", "embedded", "point, box", "12", "float32", "0.500"],
    ]


def test_models_as_json(run: Run, weights: Path) -> None:
    result = run("models", "--json")
    assert result.exit_code == 0
    first, second = json.loads(result.stdout)
    assert first["name"] == "tiny"
    assert first["path"] == str(weights / "tiny.onnx")
    assert first["bytes"] == (weights / "tiny.onnx").stat().st_size
    assert first["metrics"] == {"miou": 0.5}
    assert second["prompts"] == ["point", "box"]


def test_models_with_a_damaged_index(run: Run, weights: Path) -> None:
    (weights / "index.json").write_text("{")
    result = run("models")
    assert result.exit_code == 1
    assert result.stderr.startswith("petseg: error: ")


@pytest.fixture
def truths(put, folder: Path, model_path: Path) -> Path:
    """Two photos in the plain layout; the masks are what the model answers, but one is all background."""
    segmenter = Segmenter(model_path, device="cpu", threads=1)
    for name in ("good", "poor"):
        photo = put(folder / "images" / f"{name}.jpg")
        mask = segmenter.segment(photo).mask * (name == "good")
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    return folder


def test_eval_of_the_plain_layout(run: Run, truths: Path, tmp_path: Path) -> None:
    result = run("eval", truths, "--json", tmp_path / "report.json", "--worst", "1")
    assert result.exit_code == 0, result.stderr
    assert "pixel accuracy" in result.stdout
    assert "poor" in result.stdout
    assert "good" not in result.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["photos"] == 2
    assert report["model"] == "tiny"
    assert report["folder"] == str(truths)
    assert report["miou_per_photo"]["good"] == 1
    assert 0 < report["miou"] < 1


def test_eval_counts_false_alarms(run: Run, truths: Path, tmp_path: Path) -> None:
    """On a folder of photos, and on one with masks beside them, which are no photos."""
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "empty" / "masks").mkdir()
    for place in ("images/a.png", "images/b.png", "masks/a.png", "masks/b.png"):
        Image.new("L", (100, 60)).save(tmp_path / "empty" / place)
    for given in ("empty", "empty/images"):
        result = run("eval", truths, "--no-pets", tmp_path / given, "--json", tmp_path / "report.json")
        assert result.exit_code == 0, result.stderr
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["photos_without_pets"] == 3  # one of the masks of truths shows none either
        assert report["false_alarms"] <= 1
        assert "photos without pets" in result.stdout
    result = run("eval", truths, "--no-pets", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "nowhere" in result.stderr


def test_eval_takes_another_mask_folder(run: Run, truths: Path, tmp_path: Path) -> None:
    (truths / "masks" / "poor.png").unlink()
    (truths / "masks").rename(truths / "pseudo")
    assert run("eval", truths).exit_code == 1
    result = run("eval", truths, "--masks", "pseudo", "--json", tmp_path / "report.json")
    assert result.exit_code == 0
    assert json.loads((tmp_path / "report.json").read_text())["miou"] == 1


def test_eval_of_outlines_and_what_is_said_of_masks(run: Run, truths: Path) -> None:
    """Warnings are lines like any other message."""
    image = (
        '<image name="good.jpg" width="{}" height="{}"><polygon label="Cat" points="2,2;9,2;9,9"/></image>'
    )
    width, height = Image.open(truths / "images/good.jpg").size
    gone = '<image name="gone.jpg" width="9" height="9"/>'
    (truths / "cvat.xml").write_text(f"<annotations>{image.format(width, height)}{gone}</annotations>")
    with pytest.warns(ImageWarning, match=r"1 are not in .*gone\.jpg"):
        result = run("eval", truths, "--masks", "cvat.xml")
    assert result.exit_code == 0, result.stderr
    assert ["photos", "1"] in [line.split() for line in result.stdout.splitlines()]
    (truths / "cvat.xml").write_text(
        f"<annotations>{image.format(9, 9).replace('Cat', 'tail')}</annotations>"
    )
    result = run("eval", truths, "--masks", "cvat.xml")
    assert result.exit_code == 1
    assert "has the label 'tail', which is no class" in result.stderr


def test_eval_of_the_oxford_layout(run: Run, put, folder: Path, tmp_path: Path) -> None:
    trimaps = folder / "annotations" / "trimaps"
    trimaps.mkdir(parents=True)
    for name in ("Abyssinian_1", "pug_2"):
        put(folder / "images" / f"{name}.jpg")
        Image.new("L", (100, 60), 2).save(trimaps / f"{name}.png")
    (folder / "annotations" / "test.txt").write_text("pug_2 1 2 1\nabsent_3 1 2 1\n")
    for arguments, photos in (([], 2), (["--split", "test"], 1)):
        result = run("eval", folder, "--json", tmp_path / "report.json", *arguments)
        assert result.exit_code == 0, result.stderr
        report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
        assert report["photos"] == photos
    assert report["species_confusion"] is None  # there is no animal: no figure, and no NaN in JSON
    result = run("eval", folder, "--split", "nonesuch")
    assert result.exit_code == 1
    assert "no split 'nonesuch'" in result.stderr


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "images"), "is missing"),
        (lambda folder: (folder / "images" / "good.jpg").write_bytes(b""), "0 bytes"),
        (lambda folder: (folder / "masks" / "good.png").write_bytes(b"x"), "good.png cannot be read"),
        (
            lambda folder: Image.new("L", (9, 9)).save(folder / "masks" / "good.png"),
            "the photo has 100 x 60",
        ),
        (
            lambda folder: Image.new("L", (100, 60), 7).save(folder / "masks" / "good.png"),
            "holds the label 7",
        ),
    ],
    ids=["layout", "photo", "mask", "size", "label"],
)
def test_eval_of_bad_folders(run: Run, truths: Path, harm, message: str) -> None:
    harm(truths)
    result = run("eval", truths)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "petseg: error: " in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("path", "message"), [("no/report.json", "no folder"), ("in", "no regular file")])
def test_eval_notices_at_once_that_it_cannot_write(run: Run, truths: Path, path: str, message: str) -> None:
    result = run("eval", truths, "--json", truths.parent / path)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stdout == ""
