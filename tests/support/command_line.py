"""What the tests of the command line, and of whole runs, share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from petseg import cli
from petseg.engine import session


def tree(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose graphs ran, in order."""
    names: list[str] = []
    run = session.Session.run

    def spy(self: session.Session, inputs: Any) -> Any:
        names.append(self.path.stem)
        return run(self, inputs)

    monkeypatch.setattr(session.Session, "run", spy)
    return names


@pytest.fixture
def run(model_path: Path) -> Callable[..., Any]:
    """Run a command in this process; `segment` and `eval` get the tiny model unless they name one."""

    def run(*arguments: object) -> Any:
        words = [str(argument) for argument in arguments]
        if words[0] in ("segment", "eval") and "--model" not in words:
            words += ["--model", str(model_path), "--device", "cpu"]
        result = CliRunner().invoke(cli.app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for photos."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def put(photo: NDArray[np.uint8]) -> Callable[..., Path]:
    """Write the photo, in the format of the file's name or in PNG."""

    def put(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.suffix.lower() in Image.registered_extensions()
        Image.fromarray(photo).save(path, None if known else "PNG")
        return path

    return put
