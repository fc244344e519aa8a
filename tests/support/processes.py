"""The command line in processes of its own, which tests stop halfway."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from petseg.cli import main; main()"]

NOISY = 24


def start(*words: object, **options: object) -> "subprocess.Popen[str]":
    silent = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "cwd": ROOT}
    return subprocess.Popen([*COMMAND, *map(str, words)], **silent | options)


def wait(seconds: float) -> None:
    threading.Event().wait(seconds)  # the Hub's tests make time.sleep return at once


def kill(process: "subprocess.Popen[str]") -> bool:
    """Kill it outright; whether it was still at work."""
    process.kill()
    process.communicate()
    return process.returncode != 0


def visible(folder: Path) -> dict[str, bytes]:
    """Name -> content of every file that has its final name."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def long_run(folder: Path, model: Path) -> list[object]:
    """What to give `start` for a run over `NOISY` photos, put into the folder, which takes a while."""
    for number, pixels in enumerate(
        np.random.default_rng(0).integers(0, 256, (NOISY, 300, 400, 3), np.uint8)
    ):
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
    kinds = "mask,cutout,overlay,json"
    return ["segment", folder, "--save", kinds, "--model", model, "--device", "cpu"]
