"""Answers into files, and out of them again."""

import errno
import io
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.errors import OutputError
from petseg.pixels.classes import COLORS
from petseg.pixels.geometry import Letterbox
from petseg.pixels.saving import Content, check_free, is_ours, write_json
from petseg.segmentation import Segmentation
from petseg.version import version


@pytest.fixture
def answer() -> Segmentation:
    """A cat on the left of a photo of 100 x 60 pixels, and a smaller dog on the right."""
    logits = np.zeros((3, 32, 32), np.float32)
    logits[0] = 8
    logits[:, 10:22, 4:16] = np.array([-2, 6, 0])[:, None, None]
    logits[:, 10:22, 20:29] = np.array([-2, 0, 6])[:, None, None]
    photo = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    return Segmentation(logits, Letterbox.fit(100, 60, 32), photo, "tiny")


def test_documents_are_strict_json(tmp_path: Path) -> None:
    figures = {"none": float("nan"), "row": (1, -float("inf"), 0.5), "at": tmp_path, 7: {"x": True}}
    write_json(tmp_path / "figures.json", figures)
    document = json.loads((tmp_path / "figures.json").read_text())
    assert document == {"none": None, "row": [1, None, 0.5], "at": str(tmp_path), "7": {"x": True}}
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "figures.json", {"array": np.zeros(2)})
    assert json.loads((tmp_path / "figures.json").read_text()) == document


def test_a_mask_is_read_back(answer: Segmentation, tmp_path: Path) -> None:
    answer.save(tmp_path / "new" / "folders" / "mask.PNG")
    with Image.open(tmp_path / "new" / "folders" / "mask.PNG") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), answer.mask)
        shown = np.asarray(image.convert("RGB"))
    assert (shown[answer.mask == 2] == COLORS["dog"]).all()


@pytest.mark.parametrize("kind", ["mask", "mask-gray"])
def test_a_mask_has_eight_bits_for_a_pixel(answer: Segmentation, kind: str, tmp_path: Path) -> None:
    """Other readers than Pillow take smaller indices for something else, or stretch them to 0..255."""
    answer.save(tmp_path / "mask.png", kind)
    header = (tmp_path / "mask.png").read_bytes()[16:33]
    assert header[8:10] == bytes([8, 3 if kind == "mask" else 0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), answer.mask)


@pytest.mark.parametrize(
    ("kind", "file_format", "starts"),
    [
        (None, None, b"\x89PNG"),
        ("mask-gray", None, b"\x89PNG"),
        ("cutout", None, b"\x89PNG"),
        ("cutout", "webp", b"RIFF"),
        ("overlay", "jpg", b"\xff\xd8"),
        ("overlay", ".JPEG", b"\xff\xd8"),
        ("json", None, b'{"petseg": '),
        (None, "json", b'{"petseg": '),
    ],
)
def test_an_open_file(answer: Segmentation, kind: str | None, file_format: str | None, starts: bytes) -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    answer.save(file, kind, format=file_format)
    assert file.getvalue().startswith(b"before" + starts)


def test_a_format_beats_the_suffix(answer: Segmentation, tmp_path: Path) -> None:
    answer.save(tmp_path / "mask.part", format="png")
    with Image.open(tmp_path / "mask.part") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("given", [None, 5, io.StringIO(), ["mask.png"]])
def test_what_is_no_place_to_save_to(answer: Segmentation, given: object) -> None:
    with pytest.raises(OutputError, match=r"'wb'"):
        answer.save(given)


@pytest.mark.parametrize("file_format", ["gif", 5, ""])
def test_unknown_formats(answer: Segmentation, file_format: object) -> None:
    with pytest.raises(OutputError, match="unknown; give one of png, jpg"):
        answer.save(io.BytesIO(), format=file_format)


def test_the_photo_itself_is_not_overwritten(answer: Segmentation, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(answer.photo).save(photo)
    before = photo.read_bytes()
    answer.source = str(photo)
    (tmp_path / "link.png").symlink_to(photo)
    for path in (photo, tmp_path / "link.png"):
        with pytest.raises(OutputError, match="is the photo itself and is not overwritten"):
            answer.save(path)
    assert photo.read_bytes() == before


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".json"])
def test_what_petseg_did_not_write_is_known(answer: Segmentation, suffix: str, tmp_path: Path) -> None:
    theirs = tmp_path / f"theirs{suffix}"
    if suffix == ".json":
        theirs.write_text('{"model": "petseg"}')
    else:
        Image.fromarray(answer.photo).save(theirs)
    assert not is_ours(theirs)
    with pytest.raises(OutputError, match=r"no result of petseg.s; give another name, or --force"):
        check_free(theirs)
    for name in ("free", "a" * 300, "a\0b"):
        check_free(tmp_path / name)


def test_a_document_is_read_back(answer: Segmentation, tmp_path: Path) -> None:
    answer.save(tmp_path / "result.json")
    document = json.loads((tmp_path / "result.json").read_text())
    assert document == {
        "petseg": version(),
        "label": "cat",
        "score": answer.score,
        "scores": answer.scores,
        "size": [100, 60],
        "model": "tiny",
        "precision": "float32",
        "threshold": None,
        "polygons": answer.polygons(),
    }


@pytest.mark.parametrize(
    ("kind", "name", "mode"),
    [
        ("mask", "a.png", "P"),
        ("mask-gray", "a.png", "L"),
        ("cutout", "a.png", "RGBA"),
        ("cutout", "a.webp", "RGBA"),
        ("overlay", "a.png", "RGB"),
        ("overlay", "a.jpg", "RGB"),
        ("overlay", "a.JPEG", "RGB"),
        ("overlay", "a.webp", "RGB"),
    ],
)
def test_kinds(answer: Segmentation, kind: str, name: str, mode: str, tmp_path: Path) -> None:
    answer.save(str(tmp_path / name), kind)
    with Image.open(tmp_path / name) as image:
        image.load()
        assert (image.mode, image.size) == (mode, (100, 60))
        assert dict(image.getexif()) in ({}, {305: "petseg"})
    assert is_ours(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("a.jpg", None, r"neither|give .png for the mask"),
        ("a", None, "give .png for the mask"),
        ("a.jpg", "mask", r"cannot hold a mask; use \.png"),
        ("a.jpg", "cutout", r"cannot hold a cutout; use \.png"),
        ("a.png", "json", r"use \.json"),
        ("a.gif", "overlay", r"use \.png or \.jpg"),
        ("a.png", "outline", "give one of mask, mask-gray, cutout, overlay, on, crop, sticker, json"),
        ("a.png", ["mask"], "is unknown"),
    ],
)
def test_what_cannot_be_saved(
    answer: Segmentation, name: str, kind: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=message):
        answer.save(tmp_path / name, kind)
    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_saved(answer: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "file" / "a.png", "a\0b.png", "a" * 300 + ".png"):
        with pytest.raises(OutputError, match=r"cannot be written.*choose another place"):
            answer.save(path)
    for name in ("folder.png", "pipe.png"):
        with pytest.raises(OutputError, match=f"{name} is there and no regular file; choose another name"):
            answer.save(tmp_path / name)


@pytest.mark.parametrize("name", ["mask.png", "overlay.jpg", "sticker.webp", "json.json"])
def test_a_full_disk_leaves_the_old_file_and_no_rest(
    answer: Segmentation, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    opened = Path.open

    class Full(io.FileIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    def open_full(self: Path, mode: str = "r", **options: object) -> object:
        return Full(self, "x") if mode == "xb" else opened(self, mode, **options)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OutputError, match=rf"{name} cannot be written \(No space left on device\)"):
        answer.save(path, path.stem)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_file_is_replaced_with_ordinary_permissions(answer: Segmentation, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"old")
    answer.save(path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_link_is_written_through(answer: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "real.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    answer.save(tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").stat().st_size > 0


def test_a_picture_becomes_bytes_part_by_part(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    for suffix, largest in ((".png", 0.2), (".jpg", 0.5)):
        content, parts = Content(Image.fromarray(grain), suffix), list[bytes]()
        content.put(parts.append)
        data = b"".join(parts)
        assert data == content.encoded()
        assert max(map(len, parts)) < largest * len(data)
        content.save(tmp_path / f"x{suffix}")
        assert (tmp_path / f"x{suffix}").read_bytes() == data


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".json"])
def test_what_a_file_says_against_bytes_is_no_fault_of_the_picture(suffix: str) -> None:
    def full(data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    content = Content(b"{}" if suffix == ".json" else Image.new("RGB", (40, 30)), suffix)
    with pytest.raises(OSError, match="No space left"):
        content.put(full)
