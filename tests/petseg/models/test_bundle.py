import json
import os
from pathlib import Path
from typing import Any

import pytest

from petseg.errors import HubContentError
from petseg.models import bundle
from petseg.models.bundle import Bundle, Entry
from tests.support.hub_fixtures import make_release
from tests.support.tiny_models import manifest


def document(**changes: Any) -> dict[str, Any]:
    files = {"model.onnx": {"sha256": "0" * 64, "bytes": 3}}
    whole = {"format": 1, "name": "tiny", "version": "1.0", "files": files, "manifest": manifest()}
    return whole | changes


def test_what_it_says(release: Path) -> None:
    read = Bundle.read(release / bundle.FILE, "model")
    assert (read.name, read.version, read.graphs) == ("tiny", "1.0", ("model.onnx",))
    assert set(read.files) == {"model.onnx", "model.safetensors", "config.json", "parity.json"}
    assert read.files["model.safetensors"].bytes == 7
    assert read.manifest.size == 64


def test_two_graphs(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "parts", parts=True)
    assert Bundle.read(folder / bundle.FILE, "model").graphs == ("encoder.onnx", "decoder.onnx")


def test_the_list_itself_can_be_pinned(release: Path) -> None:
    path = release / bundle.FILE
    Bundle.read(path, "model", bundle.digest(path))
    with pytest.raises(HubContentError, match=r"model: its petseg\.json is not the one"):
        Bundle.read(path, "model", "0" * 64)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "format 2, this petseg reads up to 1; upgrade petseg"),
        ({"format": None}, "names no format"),
        ({"name": ""}, "no name or no version"),
        ({"name": "a/b"}, "no name or no version"),
        ({"version": None}, "no name or no version"),
        ({"version": "1..0"}, "no name or no version"),
        ({"version": "-1"}, "no name or no version"),
        ({"version": "1.0 beta"}, "no name or no version"),
        ({"manifest": None}, "name no format"),
        ({"manifest": manifest(size=None)}, "lack 'size'"),
        ({"manifest": manifest(format=9)}, "upgrade petseg"),
    ],
)
def test_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(HubContentError, match=problem):
        Bundle.from_document(document(**changes), "model")


@pytest.mark.parametrize("version", ["1", "1.0", "0.1.0rc1", "2024-05-01", "1.0+local", "v1_2"])
def test_versions(version: str) -> None:
    assert Bundle.from_document(document(version=version), "model").version == version


@pytest.mark.parametrize("name", ["a.json", "a/b.json", "a-b_c.d.safetensors", "0.onnx", "a/B/c1.json"])
def test_paths(name: str) -> None:
    files = document()["files"] | {name: {"sha256": "1" * 64, "bytes": 0}}
    assert Bundle.from_document(document(files=files), "model").files[name] == Entry("1" * 64, 0)


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = bundle.digest(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", None)
        assert bundle.digest(path) == first
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert bundle.digest(path) != first


def test_describing_a_folder(release: Path) -> None:
    described = bundle.describe(release, json.loads((release / bundle.FILE).read_text())["manifest"])
    assert json.loads((release / bundle.FILE).read_text()) == described


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(HubContentError, match=r"does not list model\.onnx"):
        bundle.describe(tmp_path, manifest())
