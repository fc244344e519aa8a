"""Runs that are killed outright, at any moment, and taken up again."""

import csv
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.trainers import weights_of
from tests.support.training import make_config, new_process, photos, surroundings, without_plots  # noqa: F401
from train.checkpoint import HISTORY, load_checkpoint
from train.config import Config
from train.loops.base import BEST, state_folder
from train.loops.photos import PhotoTrainer

MakeConfig = Callable[..., Config]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("without_plots"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its runs by fork, so that torch loads once"),
]

KILLS, EPOCHS = 50, 12


def start(config: Config) -> int:
    """Train in another process, from the last whole epoch if there is one; returns its number."""
    process = os.fork()
    if process:
        return process
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        PhotoTrainer(config).fit(resume=state_folder(config.folder) is not None)
        os._exit(0)
    except BaseException:
        os._exit(1)


def finish(config: Config) -> float:
    """Train to the end; returns the seconds that it took."""
    started = time.monotonic()
    _, status = os.waitpid(start(config), 0)
    assert status == 0
    return time.monotonic() - started


def check_whole(folder: Path) -> None:
    """Whatever has its final name is whole."""
    if (folder / BEST / "model.safetensors").exists():
        assert json.loads((folder / BEST / "config.json").read_text())["name"] == "tiny"
        load_checkpoint(folder / BEST)
    for path in folder.rglob(HISTORY):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
        assert all(None not in row.values() for row in rows)
    if state := state_folder(folder):
        for name in ("model.safetensors", "optimizer.bin", "scheduler.bin", "custom_checkpoint_1.pkl"):
            assert (state / name).stat().st_size > 0


def result(config: Config) -> dict[str, Tensor]:
    """All weights that a finished run ends with."""
    trainer = PhotoTrainer(config)
    trainer.fit(resume=True)
    best = load_file(config.folder / BEST / "model.safetensors")
    return weights_of(trainer) | {f"best.{name}": tensor for name, tensor in best.items()}


def test_killed_at_any_moment(
    make_config: MakeConfig,  # noqa: F811
    new_process: Callable[[], None],  # noqa: F811
    tmp_path: Path,
) -> None:
    def config(name: str) -> Config:
        lively = {"flip": 0.5, "crop": 0.5, "colour": 0.5, "noise": 0.5}
        return make_config(output=str(tmp_path / name), augment=lively, optim={"epochs": EPOCHS})

    seconds = finish(config("whole"))
    broken, chance, killed, resumed = config("broken"), random.Random(0), 0, 0
    started = time.monotonic()
    while killed < KILLS:
        process = start(broken)
        # As long as some epochs take: some are killed before the first, some after a few.
        time.sleep(chance.uniform(0, 3 * seconds / EPOCHS))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFEXITED(status):
            assert status == 0, "a run that could not go on"
            shutil.rmtree(broken.folder)
            continue
        killed += 1
        resumed += state_folder(broken.folder) is not None
        check_whole(broken.folder)
    assert resumed > KILLS / 5, "too few had something to go on from"
    finish(broken)
    check_whole(broken.folder)
    assert not [
        path for path in broken.folder.iterdir() if path.name.startswith("state") and path.name != "state"
    ]
    whole = result(config("whole"))
    new_process()
    again = result(broken)
    assert whole.keys() == again.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]), name
    histories = [(tmp_path / name / HISTORY).read_text() for name in ("whole", "broken")]
    assert histories[0] == histories[1]
    print(
        f"{KILLS} kills in {time.monotonic() - started:.0f} s, an unbroken run takes {seconds:.1f} s",
        file=sys.stderr,
    )
