"""Which photos a command line means, and where results go: never over a photo."""

import gc
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, features

from petseg import Segmenter, saver
from petseg.errors import ImageWarning
from petseg.folders import find_photos
from petseg.saver import Saver, Wanted
from tests.support.command_line import tree

Run = Callable[..., Any]


def test_folders_are_searched_and_their_shape_is_kept(run: Run, put, folder: Path) -> None:
    for name in ("b.jpg", "A.PNG", "sub/c.jpeg", "sub/deep/d.webp"):
        put(folder / name)
    for name in (".hidden.jpg", ".git/e.jpg", "b.mask.png", "sub/c.overlay.jpg", "c.cutout.png", "photo.dat"):
        put(folder / name)
    (folder / "notes.txt").write_text("no photo")
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert tree(out) == ["A.mask.png", "b.mask.png", "sub/c.mask.png", "sub/deep/d.mask.png"]
    assert len(result.stdout.splitlines()) == 4


def test_every_photo_that_can_be_read_is_taken_and_the_rest_is_counted(run: Run, put, folder: Path) -> None:
    image = Image.new("RGB", (40, 30), (200, 30, 30))
    for name, kind in {
        "c.jfif": "JPEG",
        "d.mpo": "MPO",
        "e.jpe": "JPEG",
        "f.avif": "AVIF",
        "g.jp2": "JPEG2000",
        "h.tga": "TGA",
        "i.pnm": "PPM",
    }.items():
        if kind not in ("AVIF", "JPEG2000") or features.check({"AVIF": "avif", "JPEG2000": "jpg_2000"}[kind]):
            image.save(folder / name, kind)
    for name in ("x.CR2", "y.cr2", "z.dng", ".w.dng"):
        (folder / name).write_bytes(b"raw")
    (folder / "broken.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.warns(ImageWarning, match=r"does not read: 2 .cr2, 1 .dng; save them as JPEG"):
        found, faults = find_photos([folder], None)
    assert faults == []
    assert {photo.path.name for photo in found} == {path.name for path in folder.iterdir()} - {
        "x.CR2",
        "y.cr2",
        "z.dng",
        ".w.dng",
    }
    for name in ("x.CR2", "y.cr2", "z.dng"):
        (folder / name).unlink()
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out)
    assert result.exit_code == 1
    assert "broken.heic" in result.stderr
    assert len(tree(out)) == len(found) - 1


@pytest.mark.parametrize("name", [".hidden.jpg", "photo.dat", "photo", "old.mask.png"])
def test_a_file_that_is_named_is_always_tried(run: Run, put, folder: Path, name: str) -> None:
    out = folder.parent / "out"
    assert run("segment", put(folder / name), "-o", out).exit_code == 0
    assert len(tree(out)) == 1


def test_each_photo_is_taken_once(run: Run, put, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = put(folder / "sub" / "x.jpg")
    monkeypatch.chdir(folder)
    result = run("segment", folder, photo, "sub/x.jpg", "sub/../sub", "-o", folder.parent / "out")
    assert result.exit_code == 0
    assert tree(folder.parent / "out") == ["sub/x.mask.png"]


@pytest.mark.parametrize(
    ("names", "results"),
    [
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "A.png", "b.jpg"], ["a.jpg", "A.png", "b"]),
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg", "a.png", "a.jpg.png"]),
        (["a.jpg", "a.jpg.png"], ["a", "a.jpg.png"]),
        (["a.jpg", "sub/a.png"], ["a", "sub/a"]),
        (["a.jpg", "a.mask.png"], ["a"]),
        (["cat.1.jpg", "cat.2.jpg"], ["cat.1", "cat.2"]),
    ],
)
def test_names_in_a_folder_never_collide_and_never_change(
    run: Run, put, folder: Path, names: list[str], results: list[str]
) -> None:
    photos = [put(folder / name) for name in names]
    expected = sorted(f"{name}.mask.png" for name in results)
    assert run("segment", folder, "-o", folder.parent / "whole").exit_code == 0
    assert tree(folder.parent / "whole") == expected
    for photo, name in zip(photos, results, strict=False):  # one by one they are called the same
        out = folder.parent / "alone" / Path(name).parent
        assert run("segment", photo, "-o", out).exit_code == 0
    assert tree(folder.parent / "alone") == expected


def test_the_same_name_from_two_roots_is_an_error(run: Run, put, folder: Path) -> None:
    first, second = put(folder / "1" / "x.jpg"), put(folder / "2" / "x.png")
    out = folder.parent / "out"
    result = run("segment", first, folder / "2", put(folder / "y.jpg"), "-o", out)
    assert result.exit_code == 1
    assert f"'{second}' would overwrite the results of '{first}'" in result.stderr
    assert "1 of 3 failed" in result.stderr
    assert tree(out) == ["x.mask.png", "y.mask.png"]
    both = run("segment", folder, "-o", folder.parent / "both")
    assert both.exit_code == 0
    assert tree(folder.parent / "both") == ["1/x.mask.png", "2/x.mask.png", "y.mask.png"]


@pytest.mark.parametrize("out", ["in/out", "in", "in/sub"])
def test_results_are_no_input_of_the_next_run(run: Run, put, folder: Path, out: str) -> None:
    put(folder / "x.jpg")
    put(folder / "deep" / "y.png")
    arguments = ("segment", folder, "-o", folder.parent / out, "--save", "mask,cutout,overlay,json")
    assert run(*arguments).exit_code == 0
    before = tree(folder)
    assert len(before) == 2 + 2 * 4
    assert run(*arguments).exit_code == 0
    assert tree(folder) == before
    # Nor are they of a run that puts its results elsewhere.
    assert run("segment", folder, "-o", folder.parent / "else").exit_code == 0
    assert tree(folder.parent / "else") == ["deep/y.mask.png", "x.mask.png"]


def test_links(run: Run, put, folder: Path) -> None:
    elsewhere = put(folder.parent / "elsewhere" / "x.jpg")
    (folder / "link.jpg").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    with pytest.warns(ImageWarning, match=r"links to folders, which are not entered: 1 \('.*loop', say\)"):
        result = run("segment", folder, "-o", folder.parent / "out")
    assert result.exit_code == 0
    assert tree(folder.parent / "out") == ["link.mask.png"]
    (folder / "loop").unlink()
    (folder / "dangling.jpg").symlink_to(folder / "gone.jpg")
    result = run("segment", folder, "-o", folder.parent / "out")
    assert result.exit_code == 1
    assert "dangling.jpg" in result.stderr
    assert "does not exist" in result.stderr


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symlink", "hardlink"])
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "folder"])
def test_a_link_to_an_input_is_not_overwritten(run: Run, put, folder: Path, link, as_file: bool) -> None:
    photo = put(folder / "x.jpg")
    before = photo.read_bytes()
    out = folder.parent / "out"
    out.mkdir()
    target = out / "x.mask.png"
    link(photo, target)
    result = run("segment", photo, "-o", target if as_file else out)
    assert result.exit_code == 1
    assert f"'{target}' is the photo '{photo}' and is not overwritten" in result.stderr
    assert photo.read_bytes() == before
    assert target.read_bytes() == before
    assert target.is_symlink() == (link is os.symlink)


def test_an_input_is_not_overwritten(run: Run, put, folder: Path) -> None:
    photo = put(folder / "x.png")
    before = photo.read_bytes()
    result = run("segment", photo, "-o", folder / ".." / "in" / "x.png")
    assert result.exit_code == 1
    assert "not overwritten" in result.stderr
    assert photo.read_bytes() == before


def test_nor_is_another_photo_of_the_run_and_the_rest_goes_on(run: Run, put, folder: Path) -> None:
    photos = [put(folder / name) for name in ("x.jpg", "x.mask.png", "y.jpg")]
    before = [photo.read_bytes() for photo in photos]
    result = run("segment", *photos, "-o", folder, "--save", "mask,json")
    assert result.exit_code == 1
    assert "1 of 3 failed" in result.stderr
    assert [photo.read_bytes() for photo in photos] == before
    # Of x.jpg nothing is written at all, though only its mask is in the way.
    new = {"x.mask.mask.png", "x.mask.json", "y.mask.png", "y.json"}
    assert set(tree(folder)) == {photo.name for photo in photos} | new


def test_nor_is_a_photo_that_is_refused_itself(run: Run, put, folder: Path) -> None:
    first = put(folder.parent / "else" / "x.mask.png")
    refused, photo = put(folder / "x.mask.png"), put(folder / "x.jpg")
    before = refused.read_bytes()
    result = run("segment", first, refused, photo, "-o", folder)
    assert result.exit_code == 1
    assert "2 of 3 failed" in result.stderr
    assert refused.read_bytes() == before
    assert tree(folder) == ["x.jpg", "x.mask.mask.png", "x.mask.png"]


def test_one_target_under_two_names_is_written_once(run: Run, put, folder: Path) -> None:
    """As where a file system takes x and X for the same."""
    photos = [put(folder / "x.jpg"), put(folder / "y.jpg")]
    out = folder.parent / "out"
    out.mkdir()
    (out / "y.mask.png").symlink_to(out / "x.mask.png")
    result = run("segment", *photos, "-o", out)
    assert result.exit_code == 1
    assert f"holds the result for '{photos[0]}'" in result.stderr


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_saved_result_does_not_stay_in_memory(
    put, folder: Path, model_path: Path, no_collector: None
) -> None:
    photo = put(folder / "x.jpg")
    found, _ = find_photos([photo], folder)
    saver = Saver(folder, Wanted(kinds=["overlay"], opacity=0.7), found)
    result = Segmenter(model_path, device="cpu").segment(photo)
    alive = weakref.ref(result)
    assert saver.write(found[0], saver.encode(result)) == [folder / "x.overlay.jpg"]
    del result
    assert alive() is None


def test_results_of_large_photos_wait_in_files(
    put, folder: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, out = put(folder / "x.jpg"), folder.parent / "out"
    found, _ = find_photos([photo], out)
    result = Segmenter(model_path, device="cpu").segment(photo)
    target = [out / "x.overlay.jpg"]
    for many in (1 << 24, 100):
        monkeypatch.setattr(saver, "_MANY", many)
        writer = Saver(out, Wanted(kinds=["overlay"]), found)
        encoded = writer.encode(result)
        assert [file._rolled for file in encoded.files.values()] == [many == 100]  # type: ignore[attr-defined]
        assert sorted(out.iterdir()) == (target if many == 100 else [])  # that file has no name
        assert writer.write(found[0], encoded) == target
        assert target[0].read_bytes() == result.encode(None, "overlay", format="jpg")
        assert all(file.closed for file in encoded.files.values())
