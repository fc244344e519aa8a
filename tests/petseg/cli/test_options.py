"""What people type behind a command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from petseg import cli
from tests.support.command_line import tree

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "-o"),
        (["-o", "out", "--save", "masks"], "'masks' is none of mask, mask-gray, cutout, overlay, on"),
        (["-o", "out", "--save", ""], "'' is none of"),
        (["-o", "out", "--save", "mask,,json"], "'' is none of"),
        *(
            (["-o", "out", option, text], f"{text!r} is not X,Y")
            for option in ("--point", "--negative")
            for text in ("", "1", "1,", "1,2,3", "1;2", "a,b", "nan,1", "1,inf", "1e3,1", "1_0,1", "0x1,1")
        ),
        *(
            (["-o", "out", "--box", text], f"{text!r} is not X0,Y0,X1,Y1")
            for text in ("1,2", "1,2,3", "1,2,3,x", "1,2,3,4,5")
        ),
        (["-o", "out", "--box", "5,5,5,9"], "is empty"),
        (["-o", "out", "--box", "5,9,8,2"], "is empty"),
        (["-o", "out", "--negative", "1,2"], "give a --point or --box too"),
        (["-o", "out", "--point", "1,2", "--object", "0", "--object", "1"], "there are 2 for 1 clicks"),
        (["-o", "out", "--box", "1,2,3,4", "--object", "0"], "there are 1 for 0 clicks"),
        (["-o", "out", "--box", "1,2,3,4", "--box", "5,2,8,4", "--point", "1,2"], "there are 0 for 1 clicks"),
        (["-o", "out", "--opacity", "1.5"], "--opacity"),
        (["-o", "out", "--opacity", "nan"], "--opacity"),
        (["-o", "out", "--batch-size", "0"], "--batch-size"),
        (["-o", "out", "--threads", "-1"], "--threads"),
        (["-o", "out", "--resize", "cubic"], "--resize"),
        (["-o", "out", "--nonsense"], "--nonsense"),
        (["-o", "out.png", "--save", "mask,json"], "one kind of result for one photo"),
        (["-o", "out.png", "y.jpg"], "one kind of result for one photo"),
        (["-o", "notes.txt"], "is there and no folder"),
        (["-o", "out.png", "--each"], "--each gives several; give a folder"),
        (["-o", "out.png", "--save", "coco"], "cannot hold coco; give a folder"),
        (["-o", "out.json", "--save", "yolo"], "cannot hold yolo; give a folder"),
        (["-o", "out.json", "--save", "coco,labelstudio"], "cannot hold coco and labelstudio"),
        (["-o", "out.json", "--save", "coco,json"], "one kind of result for one photo"),
        (["-o", "-", "--save", "coco"], "- takes one kind of result"),
        (["-o", "-", "--save", "cutout", "--each"], "- takes one kind of result"),
        (["-o", "out", "--background", "whit"], "'whit' is no colour and no file"),
        (["-o", "out", "--background", "#11223344"], "has an opacity"),
        (["-o", "out", "--crop"], "--save crop is the photo itself, cropped"),
        (["-o", "out", "--crop", "--save", "mask"], "--save crop is the photo itself, cropped"),
        (["-o", "out", "--tolerance", "-1"], "--tolerance"),
        (["-o", "out", "--tolerance", "nan"], "--tolerance"),
        (["-o", "out", "--tolerance", "inf"], "--tolerance"),
    ],
)
def test_wrong_usage_exits_2(
    run: Run, put, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    put(Path("x.jpg"))
    Path("notes.txt").write_text("mine")
    result = run("segment", "x.jpg", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert tree(folder) == ["notes.txt", "x.jpg"]


def test_a_folder_does_not_fit_into_a_file(run: Run, put, folder: Path) -> None:
    put(folder / "x.jpg")
    assert run("segment", folder, "-o", folder.parent / "out.png").exit_code == 2


@pytest.mark.parametrize("arguments", [["segment"], ["nonsense"], ["eval"], ["models", "x"], []])
def test_wrong_commands_exit_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        (["--point", "25,30"], "cat"),
        (["--point", "70, 30.5"], "dog"),
        (["--point", "25,30", "--negative", "70,30"], "cat"),
        (["--point", "+65.,30", "--point", "70,30"], "dog"),
        (["--box", "55,10,85,50"], "dog"),
        (["--box", "55,10,85,50", "--box", "20,25,30,35"], "dog"),
        (["--point", "25,30", "--negative", "70,30", "--object", "0", "--object", "0"], "cat"),
        (["--box", "8,12,44,48", "--point", "70,30", "--object", "1"], "cat"),
        (["--point", "1,1"], "background"),
    ],
)
def test_clicks_and_boxes(
    run: Run, put, folder: Path, prompt_model_path: Path, arguments: list[str], label: str
) -> None:
    photo = put(folder / "x.png")
    out = folder.parent / "y.json"
    result = run("segment", photo, "-o", out, "--model", prompt_model_path, "--device", "cpu", *arguments)
    assert result.exit_code == 0, result.stderr
    assert json.loads(out.read_text())["label"] == label
    assert result.stdout.startswith(f"{label} ")


@pytest.mark.parametrize("out", ["out", "-"])
def test_a_click_on_nothing_is_told(run: Run, put, folder: Path, prompt_model_path: Path, out: str) -> None:
    photo = put(folder / "x.png")
    where = "-" if out == "-" else folder.parent / out
    clicks = ["--model", prompt_model_path, "--point", "25,30", "--point", "50,5"]
    result = run("segment", photo, "-o", where, "--save", "json", *clicks)
    assert result.exit_code == 0, result.stderr
    assert "(50, 5) is on no pet; it changed nothing" in result.stderr


def test_a_click_holds_for_every_photo(run: Run, put, folder: Path, prompt_model_path: Path) -> None:
    put(folder / "a.png")
    Image.new("RGB", (10, 10)).save(folder / "b.png")
    (folder / "c.png").write_text("text")
    put(folder / "d.png")
    out = folder.parent / "out"
    result = run("segment", folder, "-o", out, "--model", prompt_model_path, "--point", "25,30")
    assert result.exit_code == 1
    assert tree(out) == ["a.mask.png", "d.mask.png"]
    assert "point (25, 30) is outside the photo of 10 x 10 pixels" in result.stderr
    assert "2 of 4 failed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--point", "1,2"], "model 'tiny' takes no point"),
        (["--box", "1,2,3,4"], "model 'tiny' takes no box"),
        (["--box", "1,2,3,4", "--negative", "1,2"], "model 'tiny' takes no point"),
    ],
)
def test_a_model_without_prompts_says_so_once(run: Run, put, folder: Path, arguments, message: str) -> None:
    put(folder / "a.png")
    put(folder / "b.png")
    result = run("segment", folder, "-o", folder.parent / "out", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("weights")
def test_the_model_follows_from_what_is_asked(put, folder: Path, weights: Path) -> None:
    def ask(*arguments: str) -> Any:
        words = ["segment", str(put(folder / "x.png")), "-o", str(out), "--device", "cpu", *arguments]
        return CliRunner().invoke(cli.app, words)

    out = folder.parent / "y.json"
    for arguments, model in (
        ([], "tiny"),
        (["--point", "25,30"], "tiny-prompt"),
        (["--box", "8,12,44,48"], "tiny-prompt"),
    ):
        assert ask(*arguments).exit_code == 0
        assert json.loads(out.read_text())["model"] == model
    result = ask("--point", "25,30", "--model", "tiny")
    assert result.exit_code == 1
    assert "'tiny' takes no point; leave it out, or use the model 'tiny-prompt'" in result.stderr
    index = json.loads((weights / "index.json").read_text())
    del index["models"]["tiny-prompt"]
    (weights / "index.json").write_text(json.dumps(index))
    result = ask("--point", "25,30")
    assert result.exit_code == 1
    assert "no installed model takes a point; leave it out" in result.stderr
    assert ask().exit_code == 0


def test_a_model_that_needs_a_prompt_says_so(run: Run, put, folder: Path, prompt_model_path: Path) -> None:
    put(folder / "a.png")
    result = run("segment", folder, "-o", folder.parent / "out", "--model", prompt_model_path)
    assert result.exit_code == 1
    assert "give a point or a box" in result.stderr
