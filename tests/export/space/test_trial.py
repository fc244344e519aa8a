"""How the folder that becomes a Space is tried out."""

import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.errors import SpaceError
from export.space import trial

GRADIO = "6.1.0"
Patch = pytest.MonkeyPatch


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
