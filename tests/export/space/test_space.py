"""The folder that becomes a Space, and how it is tried out."""

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

from export import space
from export.card import ROOT
from export.errors import SpaceError
from export.space import trial
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


@pytest.mark.parametrize("uv", ["/usr/bin/uv", None])
def test_installed_as_the_builder_does(tmp_path: Path, monkeypatch: Patch, uv: str | None) -> None:
    calls: list[tuple[list[str], list[str]]] = []

    def run(command: list[str], folder: Path, patience: float) -> None:
        calls.append((command, [path.name for path in folder.iterdir()]))

    monkeypatch.setattr(trial.shutil, "which", lambda name: uv)
    monkeypatch.setattr(trial, "run", run)
    (tmp_path / "requirements.txt").write_text("numpy")
    python = trial.install(tmp_path / "requirements.txt", GRADIO, tmp_path / "environment")
    (venv, _), (pip, present) = calls
    assert venv[-1] == str(tmp_path / "environment")
    assert str(python) in pip
    assert pip[0] == (uv or str(python))
    assert pip[-6:-3] == ["--requirement", "requirements.txt", f"gradio[oauth,mcp]=={GRADIO}"]
    assert present == ["requirements.txt"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('no such wheel', file=sys.stderr); sys.exit(3)", "failed:\nno such wheel"),
        ("import time; time.sleep(60)", "takes longer than 0.5 seconds"),
    ],
)
def test_a_command_that_fails(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        trial.run([sys.executable, "-c", code], tmp_path, patience=0.5 if "sleep" in code else 300)
    with pytest.raises(SpaceError, match="cannot be started"):
        trial.run([str(tmp_path / "uv")], tmp_path, patience=1)


def test_no_token_reaches_what_is_tried_out(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code = "import os; print(os.environ.get('HF_TOKEN'), os.environ['HF_HOME'])"
    said = trial.run([sys.executable, "-c", code], tmp_path, 300, HF_HOME="here")
    assert said == "None here\n"


PAGE = """
import http.server, os, subprocess, sys
if {child}:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("child", "w").write(str(child.pid))
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status}); self.end_headers(); self.wfile.write({body!r})
    def do_POST(self):
        os._exit(3)
address = os.environ["GRADIO_SERVER_NAME"], int(os.environ["GRADIO_SERVER_PORT"])
server = http.server.HTTPServer(address, Page)
print({ready!r}, flush=True)
server.serve_forever()
"""
Write = Callable[..., Path]


@pytest.fixture
def page(tmp_path: Path) -> Write:
    """Writes an app.py that answers so, and gives its folder."""

    def write(
        status: int = 200,
        body: bytes = b"<script>gradio</script>",
        child: bool = False,
        ready: str = trial.READY,
    ) -> Path:
        (tmp_path / "app").mkdir()
        text = PAGE.format(status=status, body=body, child=child, ready=ready)
        (tmp_path / "app" / "app.py").write_text(text)
        return tmp_path / "app"

    return write


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("broken", [False, True])
def test_nothing_is_left_running(page: Write, tmp_path: Path, broken: bool) -> None:
    folder = page(child=True)
    try:
        with trial.running(Path(sys.executable), folder, tmp_path):
            child = int((folder / "child").read_text())
            assert alive(child)
            if broken:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert broken
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


@pytest.mark.parametrize(
    ("status", "body", "message"), [(500, b"", "shows no page .*500"), (200, b"hello", "no Gradio page")]
)
def test_a_wrong_page(page: Write, tmp_path: Path, status: int, body: bytes, message: str) -> None:
    folder = page(status=status, body=body)
    with (
        pytest.raises(SpaceError, match=message),
        trial.running(Path(sys.executable), folder, tmp_path),
    ):
        pass


def test_a_page_that_does_not_come(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import time; time.sleep(600)")
    with (
        pytest.raises(SpaceError, match=r"no page in 0\.5 seconds"),
        trial.running(Path(sys.executable), tmp_path, tmp_path, patience=0.5),
    ):
        pass


def test_a_page_that_is_not_there_for_good(page: Write, tmp_path: Path) -> None:
    with (
        pytest.raises(SpaceError, match="no page in 1 seconds"),
        trial.running(Path(sys.executable), page(ready="wait"), tmp_path, patience=1),
    ):
        pass


def test_a_page_that_ends_while_it_is_visited(page: Write, tmp_path: Path) -> None:
    visit = trial.running(Path(sys.executable), page(), tmp_path)
    url = visit.__enter__()
    with pytest.raises(OSError, match=r"."):
        urllib.request.urlopen(url, data=b"", timeout=30)
    time.sleep(0.5)
    with pytest.raises(SpaceError, match="ended while it was visited, with code 3"):
        visit.__exit__(None, None, None)


def test_a_page_that_ends(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import no_such_package")
    with (
        pytest.raises(SpaceError, match=r"ended with code 1:\n(.*\n)*.*no_such_package"),
        trial.running(Path(sys.executable), tmp_path, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": []}, "/models does not have tiny"),
        ({"models": [{"name": "tiny", "here": False}]}, "/models does not have tiny"),
        ({"found": {"label": "dog"}}, "finds 'dog' in a photo of a cat"),
    ],
)
def test_wrong_answers(changes: dict[str, Any], message: str) -> None:
    right = {"models": [{"name": "tiny", "here": True}], "found": {"label": "cat"}}
    trial.judge(right, ["tiny"], "cat")
    with pytest.raises(SpaceError, match=message):
        trial.judge(right | changes, ["tiny"], "cat")


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
