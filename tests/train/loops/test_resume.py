"""Runs that are killed and taken up again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.trainers import scripted, weights_of
from train.config import Config
from train.loops.photos import PhotoBatch, PhotoTrainer

MakeConfig = Callable[..., Config]
pytestmark = pytest.mark.usefixtures("without_plots")

LIVELY = {"flip": 0.5, "crop": 0.5, "colour": 0.5, "noise": 0.5}
"""Augmentations that draw many random numbers."""


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def unbroken() -> dict[str, Any]:
    """What the first unbroken run of `test_resume_is_exact` gave."""
    return {}


def break_trainer(trainer: PhotoTrainer, where: str, patch: pytest.MonkeyPatch) -> None:
    """Make `fit` end, as by a kill, at one of the places where a run may be killed."""
    save_state, step_loss, report = trainer._save_state, trainer.step_loss, trainer._report
    steps = 0

    def save_and_die() -> None:
        save_state()
        raise Killed

    def die_in_step(batch: PhotoBatch) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == 4 + 3:  # the third batch of the second epoch
            raise Killed
        return step_loss(batch)

    def report_and_die(row: dict[str, float], improved: bool) -> None:
        report(row, improved)
        if row["epoch"] == 2:
            raise Killed

    rename = Path.rename

    def die_between_renames(path: Path, target: Path) -> Path:
        if path.name == "state.new" and trainer.progress.epoch == 2:
            raise Killed
        return rename(path, target)

    if where == "after the state":
        trainer._save_state = save_and_die  # type: ignore[method-assign]
    elif where == "within an epoch":
        trainer.step_loss = die_in_step  # type: ignore[method-assign]
    elif where == "before the state":
        trainer._report = report_and_die  # type: ignore[method-assign]
    elif where == "between two renames":
        patch.setattr(Path, "rename", die_between_renames)


@pytest.mark.parametrize(
    ("where", "workers"),
    [
        ("after the state", 0),
        ("within an epoch", 0),
        ("before the state", 0),
        ("between two renames", 0),
        ("within an epoch", 2),
    ],
)
def test_resume_is_exact(
    make_config: MakeConfig,
    new_process: Callable[[], None],
    unbroken: dict[str, Any],
    tmp_path: Path,
    where: str,
    workers: int,
) -> None:
    def config(folder: str) -> Config:
        return make_config(
            output=str(tmp_path / folder),
            augment=LIVELY,
            model={"dropout": 0.2},
            data={"workers": workers},
            optim={"accumulate": 3},  # does not divide the 4 batches of an epoch
        )

    if not unbroken:
        whole = PhotoTrainer(config("whole"))
        unbroken["history"] = whole.fit()
        unbroken["weights"] = {k: v.clone() for k, v in weights_of(whole).items()}
        unbroken["best"] = load_file(tmp_path / "whole/best/model.safetensors")
        unbroken["csv"] = (tmp_path / "whole/history.csv").read_text()
        new_process()

    broken = PhotoTrainer(config("broken"))
    with pytest.MonkeyPatch.context() as patch:
        break_trainer(broken, where, patch)
        with pytest.raises(Killed):
            broken.fit()
    new_process()

    resumed = PhotoTrainer(config("broken"))
    history = resumed.fit(resume=True)
    assert history == unbroken["history"]
    for name, tensor in weights_of(resumed).items():
        assert torch.equal(tensor, unbroken["weights"][name]), name
    best = load_file(tmp_path / "broken/best/model.safetensors")
    for name, tensor in best.items():
        assert torch.equal(tensor, unbroken["best"][name]), name
    assert (tmp_path / "broken/history.csv").read_text() == unbroken["csv"]
    assert [path.name for path in (tmp_path / "broken").glob("state*")] == ["state"]


def test_resume_of_a_finished_run_changes_nothing(
    make_config: MakeConfig, new_process: Callable[[], None]
) -> None:
    config = make_config(optim={"epochs": 2})
    history = PhotoTrainer(config).fit()
    before = (config.folder / "best/model.safetensors").read_bytes()
    new_process()
    assert PhotoTrainer(config).fit(resume=True) == history
    assert (config.folder / "best/model.safetensors").read_bytes() == before


def test_an_existing_run_is_not_overwritten(make_config: MakeConfig, new_process: Callable[[], None]) -> None:
    config = make_config(optim={"epochs": 1})
    scripted(config, [0.5]).fit()
    for leftover in ("state", "state.old"):
        new_process()
        with pytest.raises(FileExistsError, match="holds a run already: add --resume to go on with it"):
            scripted(config, [0.5]).fit()
        if leftover == "state":
            (config.folder / "state").rename(config.folder / "state.old")


def test_nothing_to_resume(make_config: MakeConfig) -> None:
    config = make_config()
    with pytest.raises(FileNotFoundError, match=r"nothing to resume in .*run: start without --resume"):
        PhotoTrainer(config).fit(resume=True)


def test_state_left_by_a_kill_during_clean_up(
    make_config: MakeConfig, new_process: Callable[[], None]
) -> None:
    """Killed after the second rename, a run leaves both states; the next one must get over it."""
    config = make_config(optim={"epochs": 1})
    scripted(config, [0.5]).fit()
    shutil.copytree(config.folder / "state", config.folder / "state.old")
    new_process()
    longer = make_config(optim={"epochs": 2})
    assert len(scripted(longer, [0.5, 0.6]).fit(resume=True)) == 2
    assert not (config.folder / "state.old").exists()


def test_a_stopped_run_stays_stopped(make_config: MakeConfig, new_process: Callable[[], None]) -> None:
    config = make_config(optim={"epochs": 6, "patience": 1})
    scores = [0.5, 0.4, 0.9, 0.9, 0.9, 0.9]
    history = scripted(config, scores).fit()
    new_process()
    assert len(scripted(config, scores).fit(resume=True)) == len(history) == 2
