"""The command line as a real process."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from petseg import cli
from petseg.version import version
from tests.support.command_line import pixels, tree

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-c", "from petseg.cli import main; main()"]
"""A real process, whether or not petseg is installed."""


Run = Callable[..., Any]


def test_the_entry_point_is_the_one_of_pyproject() -> None:
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["petseg"]
    module, function = script.split(":")
    assert getattr(import_module(module), function) is cli.main


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False, **options)


def test_version_and_help() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"petseg {version()}\n"
    for command in ("segment", "models", "doctor", "eval"):
        assert command in CliRunner().invoke(cli.app, ["--help"]).stdout
        assert CliRunner().invoke(cli.app, [command, "--help"]).exit_code == 0


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, atexit\n"
        "heavy = 'numpy', 'PIL', 'onnxruntime', 'tqdm', 'torch', 'huggingface_hub'\n"
        "atexit.register(lambda: print('LOADED', [name for name in heavy if name in sys.modules]))\n"
        "sys.argv = ['petseg', 'segment', '--help']\n"
        "from petseg.cli import main\n"
        "main()\n"
    )
    words = [sys.executable, "-c", code]
    result = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert result.returncode == 0
    assert "LOADED []" in result.stdout


def test_exit_status_of_a_process(put, folder: Path, model_path: Path) -> None:
    (folder / "bad.jpg").write_text("text")
    result = process("segment", folder, put(folder / "x.jpg"), "-o", folder / "out", "--model", model_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "1 of 2 failed" in result.stderr
    assert "photo/s" not in result.stderr  # no progress bar: nobody watches
    assert tree(folder / "out") == ["x.mask.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_a_name_that_is_no_text(put, folder: Path, model_path: Path) -> None:
    photo = put(folder / "x.jpg").rename(folder / os.fsdecode(b"caf\xe9.jpg"))
    out = folder.parent / "out"
    words = [*COMMAND, "segment", photo, "-o", out, "--model", model_path]
    environment = os.environ | {"PYTHONUTF8": "1"}
    result = subprocess.run(words, capture_output=True, cwd=ROOT, timeout=60, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert [os.fsencode(path.name) for path in out.iterdir()] == [b"caf\xe9.mask.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
@pytest.mark.parametrize(("count", "quiet", "bar"), [(3, False, True), (3, True, False), (1, False, False)])
def test_progress_is_shown_on_a_terminal(put, folder: Path, model_path: Path, count, quiet, bar) -> None:
    import pty
    import termios

    for index in range(count):
        put(folder / f"{index}.jpg")
    terminal, its_other_end = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    words = [*COMMAND, "segment", folder, "-o", folder.parent / "out", "--model", model_path]
    words += ["-q"] if quiet else []
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=its_other_end, cwd=ROOT, timeout=60)
    os.close(its_other_end)
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:
        pass  # how Linux says that nobody writes any more
    finally:
        os.close(terminal)
    assert result.returncode == 0
    assert (b"photo/s" in shown or b"s/photo" in shown) == bar
    assert len(result.stdout.splitlines()) == (0 if quiet else count)


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for one process")
def test_ctrl_c_leaves_whole_files_only(put, folder: Path, model_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    Image.fromarray(large).save(folder / "0.jpg")
    for index in range(1, 100):
        os.link(folder / "0.jpg", folder / f"{index}.jpg")
    out = folder.parent / "out"
    words = [*COMMAND, "segment", folder, "-o", out, "--model", model_path, "--batch-size", "1"]
    words += ["--save", "mask,cutout"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()  # the first photo is done
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == cli.INTERRUPTED, errors
    assert "Traceback" not in errors
    written = tree(out)
    assert 2 <= len(written) < 200
    for name in written:
        assert re.fullmatch(r"\d+\.(mask|cutout)\.png", name)
        pixels(out / name)


def test_warnings_are_lines_like_errors(put, folder: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        path = put(folder / name)
        path.write_bytes(path.read_bytes()[:-2])
    (folder / "c.cr2").write_bytes(b"raw")
    done = process("segment", folder, "-o", tmp_path / "out", "--quiet")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("petseg: warning: ") for line in lines), done.stderr
    assert "1 .cr2" in lines[0]
    assert sorted(re.search(r"[ab]\.jpg' is cut short", line)[0][0] for line in lines[1:]) == ["a", "b"]
