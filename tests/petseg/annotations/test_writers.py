"""Data sets while they are written: names, marks, errors, and what a stop leaves."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petseg.annotations import WRITERS, Coco, LabelStudio, Writer, Yolo
from petseg.errors import OutputError
from petseg.pixels import saving
from petseg.segmentation import Segmentation
from tests.support.animals import answer, drawn
from tests.support.command_line import tree

CAT = drawn("0000", "0110", "0110", "0000")
FORMATS = list(WRITERS)


def cat(source: str | None = "a.jpg") -> Segmentation:
    return answer(CAT, source)


def path_of(format: str, folder: Path) -> Path:
    return folder if format == "yolo" else folder / WRITERS[format].file


def written(format: str, folder: Path) -> list[str]:
    with WRITERS[format](path_of(format, folder)) as writer:
        writer.add(cat())
    return tree(folder)


# -- what is written ------------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    assert written("coco", tmp_path / "1") == ["coco.json"]
    assert written("labelstudio", tmp_path / "2") == ["labelstudio.json"]
    assert written("yolo", tmp_path / "3") == ["data.yaml", "labels/a.txt"]
    assert (tmp_path / "3/data.yaml").read_text().splitlines()[1:] == [
        "path: .", "train: images", "val: images", "names:", "  0: cat", "  1: dog",
    ]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_no_photos_and_no_pets_are_valid(format: str, tmp_path: Path) -> None:
    for number, results in enumerate(([], [answer(np.zeros((4, 4), np.uint8), "empty.jpg")])):
        folder = tmp_path / str(number)
        with WRITERS[format](path_of(format, folder)) as writer:
            for result in results:
                writer.add(result)
        if format == "coco":
            document = json.loads((folder / "coco.json").read_text())
            assert (len(document["images"]), document["annotations"]) == (number, [])
        elif format == "labelstudio":
            tasks = json.loads((folder / "labelstudio.json").read_text())
            assert len(tasks) == number
            assert all(task["predictions"][0]["result"] == [] for task in tasks)
        else:
            assert tree(folder) == ["data.yaml", "labels/empty.txt"][: 1 + number]


def test_names(tmp_path: Path) -> None:
    with Coco(tmp_path / "coco.json") as coco:
        coco.add(cat("photos/a b.jpg"))
        coco.add(cat("photos/a b.jpg"), "other/ü.jpg")
        coco.add(cat(None), "c.jpg")
    names = [image["file_name"] for image in json.loads((tmp_path / "coco.json").read_text())["images"]]
    assert names == ["photos/a b.jpg", "other/ü.jpg", "c.jpg"]


@pytest.mark.parametrize("name", ["/photos/x/a.jpg", "../../a.jpg", "sub/../a.jpg"])
def test_labels_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    with Yolo(tmp_path / "out") as yolo:
        yolo.add(cat(name))
    assert tree(tmp_path) == ["out/data.yaml", "out/labels/a.txt"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_photo_needs_a_name_of_its_own(format: str, tmp_path: Path) -> None:
    with WRITERS[format](path_of(format, tmp_path)) as writer:
        with pytest.raises(OutputError, match="has no name; say how"):
            writer.add(cat(None))
        writer.add(cat())
        with pytest.raises(OutputError, match=r"'a\.jpg' is in .* already"):
            writer.add(cat())
        writer.add(cat("b.jpg"))


def test_yolo_knows_no_suffixes(tmp_path: Path) -> None:
    with Yolo(tmp_path) as yolo:
        yolo.add(cat("a.jpg"))
        with pytest.raises(OutputError, match="without suffix alone; rename one"):
            yolo.add(cat("a.png"))
        yolo.add(cat("sub/a.png"))
    assert tree(tmp_path) == ["data.yaml", "labels/a.txt", "labels/sub/a.txt"]


def test_yolo_knows_one_label_under_two_names(tmp_path: Path) -> None:
    """As where a file system takes a and A for the same."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/A.txt").symlink_to("a.txt")
    with Yolo(tmp_path) as yolo:
        yolo.add(cat("a.jpg"))
        before = (tmp_path / "labels/a.txt").read_text()
        with pytest.raises(OutputError, match=r"'A\.jpg' has the label .* of another one"):
            yolo.add(cat("A.jpg"))
        assert (tmp_path / "labels/a.txt").read_text() == before
    with Yolo(tmp_path) as again:  # of the same photos, what is there is replaced
        again.add(cat("A.jpg"))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf"), "1", None])
def test_impossible_tolerances(format: str, tolerance: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="0 or more"):
        WRITERS[format](tmp_path, tolerance=tolerance)


def test_too_large_for_a_brush(tmp_path: Path) -> None:
    result = cat()
    object.__setattr__(pet := result.pets[0], "size", (40_000, 30_000))
    from petseg.annotations import labelstudio

    with pytest.raises(OutputError, match="too large for its format; make the photo smaller, or save coco"):
        labelstudio._region(pet, 1)


# -- what is there --------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_what_petseg_wrote_is_replaced(format: str, tmp_path: Path) -> None:
    first = written(format, tmp_path)
    contents = [(tmp_path / name).read_bytes() for name in first]
    assert all(saving.is_ours(tmp_path / name) for name in first)
    assert written(format, tmp_path) == first
    assert [(tmp_path / name).read_bytes() for name in first] == contents


def test_an_empty_list_of_tasks_is_petsegs_too(tmp_path: Path) -> None:
    with LabelStudio(tmp_path / "tasks.json"):
        pass
    assert saving.is_ours(tmp_path / "tasks.json")


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_somebody_elses_is_not(format: str, tmp_path: Path) -> None:
    name = WRITERS[format].file
    (tmp_path / name).write_text('{"images": []}')
    with pytest.raises(OutputError, match="no result of petseg's"):
        written(format, tmp_path)
    assert (tmp_path / name).read_text() == '{"images": []}'
    with WRITERS[format](path_of(format, tmp_path), force=True) as writer:
        writer.add(cat())
    assert saving.is_ours(tmp_path / name)


def test_a_corrected_label_is_not_replaced(tmp_path: Path) -> None:
    written("yolo", tmp_path)
    label = tmp_path / "labels/a.txt"
    label.write_text(label.read_text().replace(" \n", "\n"))  # as a labelling tool writes it
    corrected = label.read_text()
    with pytest.raises(OutputError, match=r"a\.txt' is there and no result of petseg's"):
        written("yolo", tmp_path)
    assert label.read_text() == corrected


def test_names_that_somebody_added_paths_to_stay(tmp_path: Path) -> None:
    written("yolo", tmp_path)
    data = tmp_path / "data.yaml"
    data.write_text(data.read_text().replace("path: .", "path: /datasets/pets"))
    written("yolo", tmp_path)
    assert "path: /datasets/pets" in data.read_text()
    data.write_text(data.read_text().replace("0: cat", "0: hamster"))
    written("yolo", tmp_path)
    assert "0: cat" in data.read_text()


# -- stops and errors -----------------------------------------------------------------------------------


def stopped(writer: Writer, error: BaseException) -> None:
    with writer:
        writer.add(cat("b.jpg"))
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError, ValueError, OSError])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("format", ["coco", "labelstudio"])
def test_a_stop_leaves_what_was_there(
    format: str, before: bool, error: type[BaseException], tmp_path: Path
) -> None:
    path = path_of(format, tmp_path)
    if before:
        written(format, tmp_path)
    content = path.read_bytes() if before else b""
    with pytest.raises(error, match="mine"):
        stopped(WRITERS[format](path), error("mine"))
    assert tree(tmp_path) == [path.name] * before, "no hidden file either"
    assert not before or path.read_bytes() == content


def test_a_stop_leaves_whole_labels(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped(Yolo(tmp_path), KeyboardInterrupt())
    assert tree(tmp_path) == ["data.yaml", "labels/b.txt"]
    assert all(saving.is_ours(tmp_path / name) for name in tree(tmp_path))


class Full(io.BytesIO):
    def write(self, data: Any, /) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("format", ["coco", "labelstudio"])
def test_a_full_disk_is_told(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of(format, tmp_path)
    writer = WRITERS[format](path)
    write = writer.add
    monkeypatch.setattr(writer, "add", lambda result: (setattr(writer, "_draft", Full()), write(result)))
    with pytest.raises(OutputError, match=r"cannot be written \(No space left"):
        stopped(writer, AssertionError())
    assert tree(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="folders are made otherwise there")
@pytest.mark.parametrize("format", FORMATS)
def test_a_place_where_nothing_can_be(format: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"), WRITERS[format](tmp_path / "file/out"):
        pass


def test_a_described_answer_may_go(tmp_path: Path) -> None:
    """What waits to be written holds no photo."""
    for format in FORMATS:
        with WRITERS[format](path_of(format, tmp_path / format)) as writer:
            described = writer.describe(cat())
            assert not isinstance(described, Segmentation)
            writer.put(described, "a.jpg")
