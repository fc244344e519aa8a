"""The command line, in this process and as `accelerate launch` starts it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.launching import ROOT, TWO_PROCESSES, launch, write_toml
from train.checkpoint import load_checkpoint
from train.config import Config
from train.train import main

MakeConfig = Callable[..., Config]

OBSERVED = """
import json, sys
sys.path.insert(0, {root!r})
import torch
from train.config import load_config
from train.loops.photos import PhotoTrainer

trainer = PhotoTrainer(load_config({config!r}))
stop = {stop!r}
if stop:
    save = trainer._save_state
    trainer._save_state = lambda: (save(), sys.exit(0))
seen = []
step_loss = trainer.step_loss

def record(batch):
    seen.append(batch[0].float().mean().item())
    return step_loss(batch)

trainer.step_loss = record
history = trainer.fit(resume={resume!r})
facts = {{
    "processes": trainer.accelerator.num_processes,
    "history": history,
    "epoch": trainer.train_loader.dataset.epoch,
    "rate": trainer.schedule.get_last_lr()[-1],
    "average": sum(t.double().abs().sum().item() for t in trainer.average.module.state_dict().values()),
    "seen": seen,
}}
open({output!r} + f"/facts{{trainer.accelerator.process_index}}.json", "w").write(json.dumps(facts))
"""


def epochs_in(path: Path) -> list[int]:
    with path.open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


@pytest.fixture
def toml(make_config: MakeConfig, tmp_path: Path) -> Path:
    return write_toml(make_config(optim={"epochs": 1}), tmp_path / "tiny.toml")


def test_main_trains_refuses_and_resumes(toml: Path, tmp_path: Path, new_process: Callable[[], None]) -> None:
    other = f"output={tmp_path / 'other'}"
    main(["--config", str(toml), "--set", other])
    assert epochs_in(tmp_path / "other/history.csv") == [1]
    new_process()
    with pytest.raises(FileExistsError, match="add --resume"):
        main(["--config", str(toml), "--set", other])
    new_process()
    main(["--config", str(toml), "--set", other, "--set", "optim.epochs=2", "--resume"])
    assert epochs_in(tmp_path / "other/history.csv") == [1, 2]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--cfg", "x"], ["--config", "x", "--set"]])
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.slow
def test_accelerate_launch(toml: Path, tmp_path: Path) -> None:
    done = launch(ROOT / "train/train.py", "--config", str(toml))
    assert done.returncode == 0, done.stderr
    assert "val_miou" in done.stdout + done.stderr
    assert epochs_in(tmp_path / "run/history.csv") == [1]
    assert (tmp_path / "run/history.png").is_file()
    load_checkpoint(tmp_path / "run/best")


@pytest.mark.slow
def test_two_processes(make_config: MakeConfig, tmp_path: Path) -> None:
    def run(folder: str, *, stop: bool = False, resume: bool = False) -> list[dict[str, object]]:
        output = tmp_path / folder
        # Five batches for two processes, three validation batches, an odd number of photos to accumulate.
        config = make_config(
            output=str(output),
            augment={"flip": 0.5, "noise": 0.5},
            optim={"batch_size": 3, "accumulate": 2, "epochs": 3},
        )
        script = tmp_path / "script.py"
        toml = write_toml(config, tmp_path / "tiny.toml")
        script.write_text(
            OBSERVED.format(root=str(ROOT), config=str(toml), output=str(tmp_path), stop=stop, resume=resume)
        )
        done = launch(script, options=TWO_PROCESSES)
        assert done.returncode == 0, done.stderr
        assert stop == (epochs_in(output / "history.csv") == [1])
        load_checkpoint(output / "best")
        paths = [tmp_path / f"facts{rank}.json" for rank in range(2)]
        return [] if stop else [json.loads(path.read_text()) for path in paths]

    first, second = run("whole")
    for facts in (first, second):
        assert facts["processes"] == 2
        assert facts["epoch"] == 2  # other augmentations in each epoch
        assert facts["rate"] == pytest.approx(0, abs=1e-9)
    # Each process has its own photos, and both agree about everything that is decided on.
    assert not set(first["seen"]) & set(second["seen"])  # type: ignore[call-overload]
    assert first["history"] == second["history"]
    assert first["average"] == second["average"]

    run("broken", stop=True)
    resumed, _ = run("broken", resume=True)
    assert resumed["history"] == first["history"]
    assert resumed["average"] == first["average"]


def test_a_typo_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text, said in (
        ("unett.toml", None, "there is no config"),
        ("typo.toml", 'name = "x"\nlearning_rat = 1', "learning_rat"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(SystemExit, match="1"):
            main(["--config", str(tmp_path / name)])
        errors = capsys.readouterr().err
        assert errors.startswith(f"cannot train {tmp_path / name}: ")
        assert said in errors
