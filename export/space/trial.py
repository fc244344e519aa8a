"""Tries a Space out: installs it as the Hub's builder does, starts it on the loopback, asks it, stops it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from export.errors import SpaceError

BUILDER = ("gradio[oauth,mcp]=={}", "uvicorn>=0.14.0", "websockets>=10.4", "spaces")
"""What the Hub's builder of Gradio Spaces adds to requirements.txt, in the same call of pip."""

VISITOR = Path(__file__).with_name("visit.py")

_PRIVATE = ("HF_", "HUGGING_FACE_", "GRADIO_", "SPACE_", "PYTHON", "VIRTUAL_ENV")
"""How variables begin that a Space does not get: tokens, and what would make it another environment."""


READY = "the page is at"
"""What the page prints when it is there for good. It answers a moment before, and on a busy machine Gradio
may still give up then: it takes a server for one that does not start if that takes more than 5 seconds."""


def try_out(folder: Path, gradio: str, models: Sequence[str], photo: Path, label: str) -> None:
    """Install a Space into a new environment, start it, ask it, and stop it; the folder stays as it is.

    Needs the package index, and a POSIX system to stop all that the page started.

    Args:
        folder: of the Space, with app.py and requirements.txt.
        gradio: the version that its settings name.
        models: names that it must list.
        photo: to be segmented there.
        label: what must be found in it.

    Raises:
        SpaceError: what does not work, with the end of what was printed.
    """
    with tempfile.TemporaryDirectory(prefix="petseg-space-") as name:
        scratch = Path(name)
        python = install(folder / "requirements.txt", gradio, scratch / "environment")
        copy = shutil.copytree(folder, scratch / "app")
        with running(python, copy, scratch) as url:
            answers = visit(python, url, photo, scratch)
    judge(answers, models, label)


def install(requirements: Path, gradio: str, environment: Path) -> Path:
    """Make a new environment of this Python as the Hub's builder does; by uv if it is there, else by pip.

    Returns:
        Its Python.

    Raises:
        SpaceError: something cannot be installed.
    """
    uv = shutil.which("uv")
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    venv = [uv, "venv", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    pip = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    added = [need.format(gradio) for need in BUILDER]
    run([*venv, str(environment)], environment.parent, patience=300)
    with tempfile.TemporaryDirectory() as alone:  # the builder has no other file of the Space at hand
        shutil.copyfile(requirements, Path(alone) / "requirements.txt")
        run([*pip, "--requirement", "requirements.txt", *added], Path(alone), patience=1800)
    return python


def run(command: list[str], folder: Path, patience: float, **variables: str) -> str:
    """Run a command to its end, without this process's tokens and GRADIO_ variables.

    Args:
        command: and its arguments.
        folder: where it runs.
        patience: seconds that it may take.
        **variables: more of its environment.

    Returns:
        Its standard output.

    Raises:
        SpaceError: it cannot be started, takes too long, or fails.
    """
    about = Path(command[0]).name + " " + " ".join(command[1:4])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environ(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
        )
    except subprocess.TimeoutExpired as error:
        raise SpaceError(f"{about} ... takes longer than {patience:g} seconds") from error
    except OSError as error:
        raise SpaceError(f"{about} ... cannot be started: {error}") from error
    if done.returncode:
        raise SpaceError(f"{about} ... failed:\n{_end(done.stderr or done.stdout)}")
    return done.stdout


def environ(**variables: str) -> dict[str, str]:
    """This process's environment without what a Space does not have, and with some more."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)} | variables


@contextmanager
def running(python: Path, folder: Path, scratch: Path, patience: float = 180) -> Iterator[str]:
    """A started Space, which ends with the block, and whatever it started with it.

    Args:
        python: of its environment.
        folder: with its app.py.
        scratch: for what it prints and leaves.
        patience: seconds until its page must be there.

    Yields:
        The address of its page, on the loopback.

    Raises:
        SpaceError: it ends before the block does, or there is no page in time.
    """
    port, printed = _free_port(), scratch / "printed.txt"
    variables = environ(
        SYSTEM="spaces",
        PYTHONUNBUFFERED="1",
        GRADIO_SERVER_NAME="127.0.0.1",
        GRADIO_SERVER_PORT=str(port),
        GRADIO_NUM_PORTS="1",
        GRADIO_ALLOW_FLAGGING="never",
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(scratch / "gradio"),
        HF_HOME=str(scratch / "huggingface"),
    )
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [str(python), "app.py"],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        _await_page(process, url, printed, patience)
        yield url
        if (code := process.poll()) is not None:
            raise SpaceError(f"app.py ended while it was visited, with code {code}:\n{_end(_read(printed))}")
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _await_page(process: subprocess.Popen[bytes], url: str, printed: Path, patience: float) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(0.05)
            raise SpaceError(f"app.py ended with code {code}:\n{_end(_read(printed))}")
        if READY not in _read(printed):
            continue
        try:
            with opener.open(url, timeout=patience) as answer:
                if b"gradio" in answer.read():
                    return
            raise SpaceError("what app.py shows is no Gradio page")
        except urllib.error.HTTPError as error:
            raise SpaceError(f"app.py shows no page ({error}):\n{_end(_read(printed))}") from error
        except OSError:
            continue  # it does not listen yet
    raise SpaceError(f"app.py shows no page in {patience:g} seconds:\n{_end(_read(printed))}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it politely, and then all that is left of its group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def visit(python: Path, url: str, photo: Path, scratch: Path) -> dict[str, Any]:
    """Ask a running page by gradio_client, as any program would.

    Returns:
        "models": what /models answers; "found": what /segment says of the photo.

    Raises:
        SpaceError: an answer does not come.
    """
    said = run(
        [str(python), str(VISITOR), url, str(photo)],
        scratch,
        patience=120,
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(scratch / "visitor"),
        HF_HOME=str(scratch / "huggingface"),
    )
    return dict(json.loads(said.splitlines()[-1]))


def judge(answers: dict[str, Any], models: Sequence[str], label: str) -> None:
    """Raise `SpaceError` unless the page has these models and found what is in the photo."""
    here = {entry["name"] for entry in answers["models"] if entry["here"]}
    if missing := sorted(set(models) - here):
        raise SpaceError(f"/models does not have {', '.join(missing)}")
    if answers["found"]["label"] != label:
        raise SpaceError(f"/segment finds {answers['found']['label']!r} in a photo of a {label}")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _end(text: str) -> str:
    """The last lines of what was printed."""
    return "\n".join(text.strip().splitlines()[-20:])
