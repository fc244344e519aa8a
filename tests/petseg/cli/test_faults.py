"""What the commands do when the system, or what they call, fails: one line and an exit status."""

import errno
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petseg import cli, folders
from petseg.models import catalog

Run = Callable[..., Any]


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "petseg: error: [Errno 28] No space left on device\n",
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
        (KeyboardInterrupt(), 130, "petseg: interrupted\n"),
    ],
)
def test_the_system_fails(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    monkeypatch.setattr(catalog, "list_models", raising(error))
    result = run("models")
    assert (result.exit_code, result.stderr) == (status, said)


def test_ctrl_c_as_a_thread_begins_to_wait(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    late = RuntimeError("cannot release un-acquired lock")
    late.__context__ = KeyboardInterrupt()
    monkeypatch.setattr(catalog, "list_models", raising(late))
    result = run("models")
    assert (result.exit_code, result.stderr) == (130, "petseg: interrupted\n")
    monkeypatch.setattr(catalog, "list_models", raising(RuntimeError("a fault of petseg's")))
    with pytest.raises(AssertionError, match="a fault of petseg's"):  # `run` takes no other error
        run("models")


def test_ctrl_c_before_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", raising(KeyboardInterrupt()))
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == cli.INTERRUPTED


def test_an_opacity_that_is_no_number(run: Run, put, folder: Path) -> None:
    result = run("segment", put(folder / "x.png"), "-o", folder.parent / "out", "--opacity", "nan")
    assert result.exit_code == 2
    assert "--opacity" in result.stderr  # who notices, typer or petseg, depends on typer's version


def test_a_folder_that_may_not_be_read(run: Run, put, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / "x.png")
    put(folder / "closed" / "y.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out)
    assert result.exit_code == 1
    assert f"folder {str(folder / 'closed')!r} cannot be read (Permission denied)" in result.stderr
    assert (out / "x.mask.png").exists(), "the rest is done"


def test_a_path_that_may_not_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", raising(PermissionError(errno.EACCES, "Permission denied")))
    assert folders.is_folder(Path("anywhere")) is False


# -- petseg app -----------------------------------------------------------------------------------------


def test_the_page_without_gradio(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("petseg.cli.page.find_spec", lambda name: None if name == "gradio" else find(name))
    result = run("app")
    assert result.exit_code == 1
    assert result.stderr == (
        'petseg: error: the page needs Gradio, which is not installed: pip install "petseg[app]"\n'
    )


def test_the_page_gets_what_was_asked_for(
    run: Run, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Any] = []
    monkeypatch.setattr("petseg.app.launch", lambda *models, **options: launched.append((models, options)))
    asked = ["--host", "127.0.0.2", "--port", "7999", "--device", "cpu", "--threads", "1"]
    assert run("app", "--model", model_path, *asked).exit_code == 0
    assert run("app").exit_code == 0
    ((models,), options), ((everything,), _) = launched
    assert [segmenter.name for segmenter in models.values()] == ["tiny"]
    assert options == {"host": "127.0.0.2", "port": 7999, "device": "cpu", "threads": 1}
    assert everything is None
    assert run("app", "--model", "no-such-model").exit_code == 1
    assert len(launched) == 2


@pytest.mark.parametrize(
    ("arguments", "which"),
    [
        (["segment", "", "-o", "out"], "PHOTO"),
        (["segment", "photo.jpg", "-o", ""], "-o"),
        (["eval", ""], "FOLDER"),
        (["eval", "folder", "--no-pets", ""], "--no-pets"),
        (["eval", "folder", "--json", ""], "--json"),
        (["bench", ""], "PHOTO"),
        (["bench", "--json", ""], "--json"),
        (["push", "", "org/name"], "FOLDER"),
        (["batch", "", "out"], "INPUT"),
        (["batch", "photos", ""], "OUTPUT"),
    ],
)
def test_an_empty_path_is_not_the_working_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], which: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert which in result.stderr
    assert "it is empty; give a path" in result.stderr
    assert not list(tmp_path.iterdir())
