"""Photos and results in places that fsspec reaches; its "memory" file system stands for a store."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from PIL import Image

from petseg import OutputError, Segmenter
from petseg.batch.index import Index
from petseg.batch.storage import LocalFolder, open_folder
from petseg.errors import ImageWarning


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


class Store(MemoryFileSystem):
    """An object store: it has no rename."""

    protocol = "s3"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("s3://"))

    def mv(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError


@pytest.fixture
def store(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setitem(_registry, "s3", Store)
    return fsspec.filesystem("s3")


@pytest.mark.parametrize("protocol", ["memory", "s3"])
def test_photos_and_results_in_a_store(
    run: Callable[..., Any], put, folder: Path, model_path: Path, store: Store, protocol: str
) -> None:
    names = ["a.jpg", "b/c.png"]
    for name in [*names, ".git/x.jpg", "out/old.jpg", "b/a.mask.png", "b/note.txt"]:
        store.pipe_file(f"/bucket/photos/{name}", put(folder / name).read_bytes())
    store.pipe_file("/bucket/photos/bad.jpg", b"no photo")
    for name in ("x.CR2", "b/y.cr2", "z.dng", ".git/w.dng", "out/v.dng"):
        store.pipe_file(f"/bucket/photos/{name}", b"raw")
    address = f"{protocol}://bucket/photos"
    command = ["batch", address, f"{address}/out/", "--model", model_path, "--device", "cpu"]
    with pytest.warns(ImageWarning, match=rf"'{address}' holds .* does not read: 2 .cr2, 1 .dng; save"):
        result = run(*command)
    assert result.exit_code == 1
    assert "petseg: error: photo bad.jpg: the photo given as 8 bytes is in no image format" in result.stderr
    rows = Index(open_folder(f"{address}/out")).read().to_pylist()
    assert {row["path"]: row["mask"] for row in rows} == {
        "a.jpg": "a.jpg.mask.png",
        "b/c.png": "b/c.png.mask.png",
        "bad.jpg": None,
    }
    for name in names:
        with store.open(f"/bucket/photos/out/{name}.mask.png") as file:
            mask = np.asarray(Image.open(file))
        expected = Segmenter(model_path, device="cpu", threads=1).segment(folder / name).mask
        np.testing.assert_array_equal(mask, expected)
    assert not [path for path in store.find("/bucket") if path.endswith(".tmp")]

    store.pipe_file("/bucket/photos/bad.jpg", (folder / "a.jpg").read_bytes())
    result = run(*command, "--retry")
    assert result.exit_code == 0
    assert "3 photos: 1 done in" in result.stdout
    assert len(Index(open_folder(f"{address}/out")).read()) == 3


@pytest.mark.parametrize("address", ["{}", "s3://bucket/out"])
def test_only_petsegs_own_results_are_replaced(
    run: Callable[..., Any], put, folder: Path, model_path: Path, store: Store, tmp_path: Path, address: str
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(folder / name)
    output = address.format(tmp_path / "out")
    out = open_folder(output)
    out.write("a.jpg.mask.png", b"a drawing of mine")
    out.write("b.jpg.mask.png", b"")
    command = ["batch", folder, output, "--model", model_path, "--device", "cpu"]
    for _ in range(2):  # what petseg wrote itself, it replaces
        result = run(*command, "--overwrite")
        assert result.exit_code == 1
        assert "a.jpg.mask.png' is there" in result.stderr or "a.jpg.mask.png is there" in result.stderr
        assert "no result of petseg's; give another output, or --force" in result.stderr
        assert "1 of 3 failed" in result.stderr
    assert out.read("a.jpg.mask.png") == b"a drawing of mine"
    assert run(*command, "--retry", "--force").exit_code == 0
    assert str(out.read("a.jpg.mask.png")).startswith("b'\\x89PNG")


def test_a_store_that_cannot_be_asked_is_not_written_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "the door is shut")

    monkeypatch.setattr(Store, "cat_file", fail)
    out = open_folder("s3://bucket")
    store.pipe_file("/bucket/empty.png", b"")
    out.write_result("empty.png", b"x")  # whose size alone could be asked for
    for name, says in (("empty.png", "no result of petseg's"), ("new.png", "cannot be looked at .the door")):
        with pytest.raises(OutputError, match=says):
            out.write_result(name, b"y")
    assert store.size("/bucket/empty.png") == 1


def test_a_photo_that_does_not_come(
    run: Callable[..., Any],
    put,
    folder: Path,
    model_path: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.jpg", "b.jpg"):
        store.pipe_file(f"/bucket/{name}", put(folder / name).read_bytes())
    cat_file = Store.cat_file

    def fail(self: Store, path: str, *rest: Any, **options: Any) -> bytes:
        if path.endswith("/b.jpg"):
            raise ConnectionError("the line is dead")
        return cat_file(self, path, *rest, **options)

    monkeypatch.setattr(Store, "cat_file", fail)
    result = run("batch", "s3://bucket", folder.parent / "out", "--model", model_path, "--device", "cpu")
    assert result.exit_code == 1
    assert "photo s3://bucket/b.jpg cannot be read (the line is dead)" in result.stderr
    index = Index(open_folder(str(folder.parent / "out"))).read()
    assert dict(zip(index["path"].to_pylist(), index["status"].to_pylist(), strict=True)) == {
        "a.jpg": "ok",
        "b.jpg": "failed",
    }


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    folder = open_folder(f"file://{tmp_path}/x")
    assert isinstance(folder, LocalFolder)
    assert folder.address == open_folder(f"{tmp_path}/y/../x").address == str(tmp_path / "x")


@pytest.mark.parametrize("address", ["{}", "file://{}", "memory://out", "s3://out"])
def test_what_fails_is_named_and_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    folder = open_folder(address.format(tmp_path))
    folder.write("a/b", b"old")
    assert folder.read("a/b") == b"old"
    assert folder.read("a/c") is None
    assert folder.names("a") == ["b"]
    assert folder.names("nowhere") == []

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(Path, "replace", fail)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fail)
    monkeypatch.setattr(MemoryFileSystem, "rm_file", fail)
    with pytest.raises(OutputError, match=r"a/b.* cannot be written \(no space left\)"):
        folder.write("a/b", b"new")
    assert folder.read("a/b") == b"old"
    assert folder.names("a") == ["b"]
    if not isinstance(folder, LocalFolder):
        with pytest.raises(OutputError, match="cannot be deleted"):
            folder.remove("a/b")


def test_settings_are_kept_beside_the_parts(tmp_path: Path) -> None:
    index = Index(open_folder(str(tmp_path)))
    index.claim({"model": "unet"}, overwrite=False)
    assert json.loads((tmp_path / "index" / "_run.json").read_text()) == {"model": "unet"}
    index.claim({"model": "unet"}, overwrite=False)
    with pytest.raises(OutputError, match="with model 'unet', this run has 'vnet'"):
        index.claim({"model": "vnet"}, overwrite=False)


def test_a_lock_is_held_by_one_and_ends_with_its_process(tmp_path: Path) -> None:
    folder, other = (open_folder(str(tmp_path / "out")) for _ in range(2))
    with folder.locked("index/.lock"), pytest.raises(OutputError, match="another run is writing to"):
        other.locked("index/.lock").__enter__()
    with other.locked("index/.lock"):
        pass
    dies = (
        "import os, sys; from petseg.batch.storage import open_folder;"
        "open_folder(sys.argv[1]).locked('index/.lock').__enter__(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", dies, str(tmp_path / "out")], check=True)
    with folder.locked("index/.lock"):
        pass


def test_a_folder_that_cannot_be_made_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match="out' cannot be written to"):
        open_folder(str(tmp_path / "out")).locked("index/.lock").__enter__()
