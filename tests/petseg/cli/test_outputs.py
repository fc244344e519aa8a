"""Where results go: not in the place of what is not petseg's, and through pipes."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from petseg import Segmenter, cli
from tests.support.command_line import pixels, tree

Run = Callable[..., Any]


@pytest.fixture
def piped(model_path: Path) -> Run:
    """Run `petseg segment` with bytes on standard input."""

    def piped(data: bytes, *arguments: object) -> Any:
        words = ["segment", *map(str, arguments), "--model", str(model_path), "--device", "cpu"]
        return CliRunner().invoke(cli.app, words, input=data)

    return piped


# -- what is there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dog.jpg", "dog.png", "dog.webp"])
def test_another_photo_is_not_overwritten_unless_forced(run: Run, put, folder: Path, name: str) -> None:
    photo, other = put(folder / "cat.jpg"), put(folder / name)
    before = other.read_bytes()
    arguments = ("segment", photo, "-o", other, "--save", "overlay")
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"'{other}' is there and no result of petseg's; give another name, or --force" in result.stderr
    assert other.read_bytes() == before
    assert run(*arguments, "--force").exit_code == 0
    assert other.read_bytes() != before
    assert run(*arguments).exit_code == 0, "now it is petseg's"


def test_nor_is_one_with_the_name_of_a_result_and_nothing_is_written(run: Run, put, folder: Path) -> None:
    put(folder / "x.jpg")
    put(folder / "x.cutout.png")
    result = run("segment", folder / "x.jpg", "-o", folder, "--save", "mask,cutout")
    assert result.exit_code == 1
    assert "x.cutout.png' is there and no result of petseg's" in result.stderr
    assert tree(folder) == ["x.cutout.png", "x.jpg"]


def test_force_spares_the_photos(run: Run, put, folder: Path) -> None:
    photo = put(folder / "x.png")
    before = photo.read_bytes()
    assert run("segment", photo, "-o", photo, "--force").exit_code == 1
    assert photo.read_bytes() == before


@pytest.mark.parametrize("command", ["eval", "bench"])
def test_figures_do_not_replace_a_file_of_somebody_else(run: Run, tmp_path: Path, command: str) -> None:
    notes = tmp_path / "notes.json"
    notes.write_text('{"mine": true}')
    result = run(command, *([tmp_path] if command == "eval" else []), "--json", notes)
    assert result.exit_code == 1
    assert "is there and no result of petseg's" in result.stderr
    assert json.loads(notes.read_text()) == {"mine": True}


def test_figures_may_be_measured_again(run: Run, put, tmp_path: Path) -> None:
    put(tmp_path / "data" / "images" / "a.png")
    (tmp_path / "data" / "masks").mkdir()
    Image.fromarray(np.ones((60, 100), np.uint8)).save(tmp_path / "data" / "masks" / "a.png")
    for _ in range(2):
        assert run("eval", tmp_path / "data", "--json", tmp_path / "figures.json").exit_code == 0


def test_whole_names_are_those_of_a_batch(run: Run, put, folder: Path) -> None:
    put(folder / "deep" / "x.jpg")
    out = folder.parent / "out"
    assert run("segment", folder, "-o", out, "--whole-names", "--save", "mask,mask-gray").exit_code == 0
    assert tree(out) == ["deep/x.jpg.mask-gray.png", "deep/x.jpg.mask.png"]
    assert Image.open(out / "deep" / "x.jpg.mask-gray.png").mode == "L"
    np.testing.assert_array_equal(
        pixels(out / "deep" / "x.jpg.mask-gray.png"), pixels(out / "deep" / "x.jpg.mask.png")
    )


# -- pipes ------------------------------------------------------------------------------------------------


def test_from_standard_input_to_standard_output(piped: Run, put, folder: Path, model_path: Path) -> None:
    photo = put(folder / "x.png")
    result = piped(photo.read_bytes(), "-", "-o", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    expected = Segmenter(model_path, device="cpu").segment(photo).mask
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(result.stdout_bytes))), expected)
    for given, data in (("-", photo.read_bytes()), (photo, b"")):
        result = piped(data, given, "-o", "-", "--save", "json")
        assert json.loads(result.stdout)["size"] == [100, 60]


def test_from_standard_input_into_a_folder_or_a_file(piped: Run, put, folder: Path) -> None:
    data, out = put(folder / "x.png").read_bytes(), folder.parent / "out"
    assert piped(data, "-", "-o", out, "--save", "mask,cutout").exit_code == 0
    assert piped(data, "-", "-o", out / "answer.json").exit_code == 0
    assert tree(out) == ["answer.json", "stdin.cutout.png", "stdin.mask.png"]
    other = put(out / "other.png")
    refused = piped(data, "-", "-o", other)
    assert refused.exit_code == 1
    assert "no result of petseg's" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-", "-", "-o", "-"], 2, "- takes one photo"),
        (["-", "other.jpg", "-o", "out"], 2, "- takes one photo"),
        ([".", "-o", "-"], 2, "- takes one photo"),
        (["-", "-o", "-", "--save", "mask,json"], 2, "one kind of result"),
        (["-", "-o", "-"], 1, "is empty"),
    ],
)
def test_what_does_not_go_through_a_pipe(piped: Run, arguments: list[str], status: int, message: str) -> None:
    result = piped(b"", *arguments)
    assert result.exit_code == status
    assert message in " ".join(result.stderr.replace("│", " ").split())
