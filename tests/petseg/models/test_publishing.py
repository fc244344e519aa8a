import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from petseg.errors import HubContentError
from petseg.hub import check
from tests.support.hub_fixtures import describe, make_release
from tests.support.tiny_models import build_model, manifest


def test_what_goes(release: Path) -> None:
    (release / ".DS_Store").write_bytes(b"")
    (release / ".cache").mkdir()
    (release / ".cache" / "thing.json").write_text("{}")
    (release / "figures").mkdir()
    (release / "figures" / "robustness.png").write_bytes(b"")
    listed, files = check(release)
    assert (listed.name, listed.version) == ("tiny", "1.0")
    assert list(files) == [
        "README.md",
        "config.json",
        "figures/robustness.png",
        "history.csv",
        "history.png",
        "model.onnx",
        "model.safetensors",
        "parity.json",
        "petseg.json",
    ]


@pytest.mark.parametrize(
    "name", ["README.md", "parity.json", "petseg.json", "model.safetensors", "model.onnx"]
)
def test_missing(release: Path, name: str) -> None:
    (release / name).unlink()
    with pytest.raises(HubContentError, match=rf"{name} is missing.*export\.publish"):
        check(release)


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "config.json", "parity.json"])
def test_changed_since(release: Path, name: str) -> None:
    data = (release / name).read_bytes()
    (release / name).write_bytes(data[:-1] + b"?")
    with pytest.raises(HubContentError, match=rf"{name} is not the file"):
        check(release)


@pytest.mark.parametrize("name", ["model.pkl", "modeling.py", "weights.bin", "model.onnx.data"])
def test_kinds_that_are_never_published(release: Path, name: str) -> None:
    (release / name).write_bytes(b"")
    with pytest.raises(HubContentError, match=f"'{name}', a kind of file that is never published"):
        check(release)


def test_not_listed(release: Path) -> None:
    (release / "extra.json").write_text("{}")
    with pytest.raises(HubContentError, match=r"'extra\.json', which its petseg\.json does not list"):
        check(release)


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda report: report.clear(), "not about its ONNX files"),
        (
            lambda report: report["files"].update({"tiny.onnx": "0" * 64, "model.onnx": "0" * 64}),
            "not about its",
        ),
        (lambda report: report.update(checkpoint_sha256="0" * 64), "exported from another checkpoint"),
    ],
)
def test_parity_of_something_else(
    release: Path, change: Callable[[dict[str, Any]], Any], problem: str
) -> None:
    rewrite(release / "parity.json", change)
    document = json.loads((release / "petseg.json").read_text())["manifest"]
    with pytest.raises(HubContentError, match=problem):
        check(describe(release, document))


def add_int8(release: Path) -> Path:
    """The release with an int8 version, which nothing is measured of."""
    document = json.loads((release / "petseg.json").read_text())["manifest"]
    onnx.save(build_model(document=document | {"precision": "int8"}), release / "model.int8.onnx")
    return describe(release, document)


def test_int8(release: Path) -> None:
    add_int8(release)
    with pytest.raises(HubContentError, match=r"no int8\.json about its int8 weights.*export\.quantize"):
        check(release)
    listed = json.loads((release / "petseg.json").read_text())
    report = {
        "files": {"model.int8.onnx": listed["files"]["model.int8.onnx"]["sha256"]},
        "checkpoint_sha256": listed["manifest"]["checkpoint_sha256"],
    }
    (release / "int8.json").write_text(json.dumps(report))
    describe(release, listed["manifest"])
    assert check(release)[0].quantised == ("model.int8.onnx",)
    (release / "int8.json").write_text(json.dumps(report | {"checkpoint_sha256": "0" * 64}))
    with pytest.raises(HubContentError, match="exported from another checkpoint"):
        check(describe(release, listed["manifest"]))


def test_another_checkpoint(release: Path) -> None:
    (release / "model.safetensors").write_bytes(b"others")
    document = json.loads((release / "petseg.json").read_text())["manifest"]
    with pytest.raises(HubContentError, match="exported from another checkpoint"):
        check(describe(release, document))


@pytest.mark.parametrize("metrics", [{}, {"iou": {}}, {"miou": "high"}])
def test_no_metrics(tmp_path: Path, metrics: dict[str, Any]) -> None:
    with pytest.raises(HubContentError, match="no metrics"):
        check(make_release(tmp_path / "release", metrics=metrics))


@pytest.mark.parametrize("card", ["", "# tiny", "---\nlibrary_name: other\n---\n"])
def test_no_card_of_petsegs(release: Path, card: str) -> None:
    (release / "README.md").write_text(card)
    with pytest.raises(HubContentError, match=r"README\.md is no model card"):
        check(release)


def test_list_and_model_differ(release: Path) -> None:
    rewrite(release / "petseg.json", lambda document: document["manifest"].update(metrics={"miou": 0.99}))
    with pytest.raises(HubContentError, match="metadata of its model differ"):
        check(release)


def test_a_model_that_breaks_the_contract(release: Path) -> None:
    document = json.loads((release / "petseg.json").read_text())["manifest"]
    onnx.save(build_model(document=document, batch=1), release / "model.onnx")
    report = {"files": {"model.onnx": ""}, "checkpoint_sha256": document["checkpoint_sha256"]}
    (release / "parity.json").write_text(json.dumps(report))
    described = describe(release, document)
    entry = json.loads((described / "petseg.json").read_text())["files"]["model.onnx"]
    (release / "parity.json").write_text(json.dumps(report | {"files": {"model.onnx": entry["sha256"]}}))
    with pytest.raises(HubContentError, match="dynamic batch"):
        check(describe(release, document))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(HubContentError, match=r"petseg\.json is missing"):
        check(tmp_path / "nowhere")


def test_a_link_to_elsewhere_is_read_like_a_file(release: Path, tmp_path: Path) -> None:
    shutil.move(release / "model.onnx", tmp_path / "elsewhere")
    (release / "model.onnx").symlink_to(tmp_path / "elsewhere")
    check(release)


def test_metadata_of_a_newer_petseg(release: Path) -> None:
    rewrite(release / "petseg.json", lambda document: document.update(manifest=manifest(format=9)))
    with pytest.raises(HubContentError, match="upgrade petseg"):
        check(release)
