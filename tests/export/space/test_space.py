"""The folder that becomes a Space."""

import json
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

from export import space
from export.card import ROOT
from export.errors import SpaceError
from petseg.errors import PetsegError
from petseg.models.manifest import Manifest
from tests.support.tiny_models import manifest

PROJECT = """
[project]
name = "petseg"
version = "1.2.3"
description = "Find cats and dogs"
license = "Apache-2.0"
dependencies = [
    "numpy>=1.26",
    "onnxruntime-gpu>=1.20; sys_platform == 'linux'",
    "onnxruntime>=1.20; sys_platform != 'linux'",
]

[project.optional-dependencies]
app = ["gradio>=6"]
heif = ["pillow-heif>=0.16"]
"""
GRADIO = "6.1.0"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def gradio(request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    """An installed gradio, whether there is one or not; the real one in slow tests."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(space.metadata, "version", lambda name: GRADIO)


EMBEDDED = {"files": [{"path": "tiny.onnx", "sha256": "0" * 64, "bytes": 7}], "manifest": manifest()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small checkout, with what must not become part of a Space."""
    files = {
        "pyproject.toml": PROJECT,
        "README.md": "# petseg\n\n## Start\n\n## Licence\n\nApache, and more.\n\n## More\n",
        "LICENSE": "Apache",
        "app.py": "",
        "notes.txt": "",
        "petseg/__init__.py": "",
        "petseg/app/page.css": "",
        "petseg/app/public/card.jpg": "",
        "petseg/__pycache__/old.pyc": "",
        "petseg/.hidden": "",
        "petseg/weights/tiny.onnx": "weights",
        "petseg/weights/index.json": json.dumps({"models": {"tiny": EMBEDDED}, "default": "tiny"}),
    }
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "root"


def change_index(root: Path, **changes: Any) -> None:
    path = root / "petseg/weights/index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def published(name: str) -> dict[str, Any]:
    """An entry of the index, as `export.publish.pin` writes it."""
    file = {"sha256": "0" * 64, "bytes": 1}
    document = manifest(name=name)
    bundle = {
        "format": 1,
        "name": name,
        "version": "1.0",
        "files": {"model.onnx": file, "model.safetensors": file},
        "manifest": document,
    }
    return {"repo": f"pets/{name}", "revision": COMMIT, "sha256": "0" * 64, "bundle": bundle}


def test_assembled(root: Path, tmp_path: Path) -> None:
    files = space.check(space.assemble(tmp_path / "space", root))
    assert list(files) == [
        "LICENSE",
        "README.md",
        "app.py",
        "petseg/__init__.py",
        "petseg/app/page.css",
        "petseg/app/public/card.jpg",
        "petseg/weights/index.json",
        "petseg/weights/tiny.onnx",
        "petseg-1.2.3.dist-info/METADATA",
        "requirements.txt",
    ]
    assert files["requirements.txt"].read_text().splitlines() == [
        "numpy>=1.26",
        "onnxruntime>=1.20",
        "gradio>=6",
        "pillow-heif>=0.16",
    ]
    card = SpaceCard(files["README.md"].read_text())
    assert card.text.strip().endswith("## Licence\n\nApache, and more.")
    assert f"`tiny` {Manifest.from_document(manifest(), '').version}" in card.text
    said = card.data.to_dict()
    assert (said["sdk"], said["sdk_version"], said["app_file"]) == ("gradio", GRADIO, "app.py")
    assert said["python_version"] == ".".join(map(str, sys.version_info[:2]))
    assert (said["title"], said["license"]) == ("petseg", "apache-2.0")
    assert not {"models", "preload_from_hub", "thumbnail"} & set(said)


def test_who_shares_a_space_shows_its_cat(root: Path, tmp_path: Path) -> None:
    folder = space.assemble(tmp_path / "space", root, repo="pets/page")
    said = SpaceCard((folder / "README.md").read_text()).data.to_dict()
    assert said["thumbnail"].endswith("/spaces/pets/page/resolve/main/petseg/app/public/card.jpg")
    space.check(folder)
    (folder / "petseg/app/public/card.jpg").unlink()
    with pytest.raises(SpaceError, match="refuse thumbnail"):
        space.check(folder)


def test_published_models_are_preloaded_unless_embedded(root: Path, tmp_path: Path) -> None:
    change_index(root, published={"tiny": published("tiny"), "other": published("other")})
    said = SpaceCard((space.assemble(tmp_path / "space", root) / "README.md").read_text()).data
    assert said.models == ["pets/other", "pets/tiny"]
    assert said.to_dict()["preload_from_hub"] == [f"pets/other petseg.json,model.onnx {COMMIT}"]


def test_the_version_is_known_without_an_installation(root: Path, tmp_path: Path) -> None:
    folder = space.assemble(tmp_path / "space", root)
    (found,) = Distribution.discover(name="petseg", path=[str(folder)])
    assert found.version == "1.2.3"


@pytest.mark.parametrize(
    "name", ["app.py", "README.md", "LICENSE", "pyproject.toml", "petseg/weights/index.json"]
)
def test_half_a_checkout(root: Path, tmp_path: Path, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(SpaceError, match=f"{name} is missing"):
        space.assemble(tmp_path / "space", root)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("README.md", "## Licence", "## Rights", "no section '## Licence'"),
        ("pyproject.toml", "app = ", "page = ", "does not say what the page needs: 'app'"),
        ("pyproject.toml", "numpy>=1.26", "numpy>>1", "does not say what the page needs"),
        ("pyproject.toml", "gradio>=6", "pillow", "does not name gradio"),
        (
            "pyproject.toml",
            "gradio>=6",
            "gradio>=7",
            f"gradio {GRADIO} is installed, the page needs gradio>=7",
        ),
        (
            "petseg/weights/index.json",
            '"tiny": {',
            '"tiny": {}}, "was": {"": {',
            "index.json is damaged",
        ),
    ],
)
def test_a_checkout_that_does_not_fit(
    root: Path, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    path = root / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises((SpaceError, PetsegError), match=message):
        space.assemble(tmp_path / "space", root)
    assert not (tmp_path / "space").exists()


def test_nothing_embedded(root: Path, tmp_path: Path) -> None:
    change_index(root, models={})
    with pytest.raises(SpaceError, match="no model is embedded"):
        space.assemble(tmp_path / "space", root)


def test_no_gradio(root: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    def missing(name: str) -> str:
        raise space.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(space.metadata, "version", missing)
    with pytest.raises(SpaceError, match="gradio is not installed"):
        space.assemble(tmp_path / "space", root)


def test_a_folder_in_use(root: Path) -> None:
    with pytest.raises(SpaceError, match="is not empty"):
        space.assemble(root, root)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("colorTo: pink", "colorTo: white", "colorFrom and colorTo"),
        ("sdk: gradio", "sdk: flask", "sdk"),
        ("sdk_version: 6.1.0", "sdk_version: 6.1", "sdk_version and python_version"),
        ("app_file: app.py", "app_file: main.py", "app_file"),
        ("Find cats and dogs\n", "Find " + "cats and " * 9 + "dogs\n", "short_description"),
    ],
)
def test_settings_that_the_hub_refuses(root: Path, tmp_path: Path, old: str, new: str, fault: str) -> None:
    readme = space.assemble(tmp_path / "space", root) / "README.md"
    assert old in readme.read_text()
    readme.write_text(readme.read_text().replace(old, new, 1))
    with pytest.raises(SpaceError, match=f"would refuse {fault}$"):
        space.check(readme.parent)


def test_settings_that_cannot_be_read(root: Path, tmp_path: Path) -> None:
    folder = space.assemble(tmp_path / "space", root)
    (folder / "README.md").write_text("---\n- a list\n---\n")
    with pytest.raises(SpaceError, match="no settings that can be read"):
        space.check(folder)
    (folder / "petseg/__init__.py").unlink()
    with pytest.raises(SpaceError, match=r"__init__\.py is missing"):
        space.check(folder)


def test_what_this_package_needs() -> None:
    """Of the real pyproject.toml: something that runs ONNX files on a CPU, and nothing for a GPU."""
    project = space.tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {need.name.lower(): need for need in space.requirements(project)}
    (gpu,) = (need for need in project["dependencies"] if need.startswith("onnxruntime-gpu"))
    assert {"numpy", "pillow", "onnxruntime", "huggingface_hub", "gradio"} <= set(names)
    assert "onnxruntime-gpu" not in names
    assert names["onnxruntime"].marker is None
    assert names["onnxruntime"].specifier == Requirement(gpu).specifier


@pytest.mark.slow
def test_this_page_works_as_a_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Installs what a Space installs, starts the page, and finds the cat; needs the package index."""
    assert space.main([str(tmp_path / "space")]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.endswith("works\n")
