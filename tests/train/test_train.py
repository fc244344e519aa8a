"""The command line, in this process and as `accelerate launch` starts it."""

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image

from tests.support.drawing import draw_labels, write_oxford
from tests.support.launching import ROOT, TWO_PROCESSES, launch, write_toml
from train.checkpoint import load_checkpoint
from train.config import CONFIGS, DEFAULT_CONFIG, Config
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


def test_main_trains_refuses_and_resumes(
    toml: Path, tmp_path: Path, new_process: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"output={tmp_path / 'other'}"
    main(["--config", str(toml), "--set", other])
    assert epochs_in(tmp_path / "other/history.csv") == [1]
    new_process()
    with pytest.raises(SystemExit):
        main(["--config", str(toml), "--set", other])
    assert "other holds a run already: add --resume" in capsys.readouterr().err
    new_process()
    main(["--config", str(toml), "--set", other, "--set", "optim.epochs=2", "--resume"])
    assert epochs_in(tmp_path / "other/history.csv") == [1, 2]
    assert not (tmp_path / "run").exists()


def test_nothing_named_trains_the_unet_on_the_oxford_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offline: the photos are there, and the encoder's ImageNet weights cannot be downloaded."""
    names = [f"{('Bengal', 'beagle')[index % 2]}_{index}" for index in range(12)]
    write_oxford(tmp_path / "oxford-iiit-pet", {n: draw_labels(i, 48, 48) for i, n in enumerate(names)})
    monkeypatch.setenv("PETSEG_DATA", str(tmp_path))
    made = timm.create_model

    def create_model(name: str, pretrained: bool = False, **options: object) -> object:
        if pretrained:
            raise ConnectionError("no network")
        return made(name, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    tiny = [
        "data.size=32",
        "data.workers=0",
        "optim.epochs=1",
        "optim.batch_size=2",
        f"output={tmp_path}/run",
    ]
    main([word for override in tiny for word in ("--set", override)])
    said = capsys.readouterr().out
    assert "No --config: unet.toml is trained. First round of the embedded `unet`" in said
    assert "about an hour" in said
    assert f"photos from {tmp_path} (PETSEG_DATA" in said
    assert "prompt.toml" in said
    assert "First round of the embedded `prompt`" in said
    assert "trained without: pets-extra, oxford-iiit-pet-unlabelled, no-pets" in said
    assert "tf_efficientnet_lite2.in1k cannot be downloaded (no network)" in said
    assert "random weights do instead" in said
    assert epochs_in(tmp_path / "run/history.csv") == [1]
    with pytest.raises(SystemExit):
        main(["--config", str(DEFAULT_CONFIG), "--set", "data.size=32"])
    assert (
        "cannot be downloaded (no network); check the network, set model.weights" in capsys.readouterr().err
    )


def test_a_check_trains_some_steps_and_leaves_nothing(
    toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--config", str(toml), "--set", "optim.epochs=50", "--check"])
    said = capsys.readouterr().out
    assert f"{toml} will train." in said
    assert "16 photos to train on, 8 to validate on" in said
    assert "8 show cat, 8 show dog" in said
    assert re.search(r"50 epochs of 4 steps: about \d+ \w+ on this machine", said)
    assert not (tmp_path / "run").exists()


def test_a_check_of_few_photos_tells_how_long_too(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--config", str(toml), "--set", "optim.epochs=1", "--set", "optim.batch_size=16", "--check"])
    assert re.search(r"1 epoch of 1 step: about \d+ \w+ on this machine", capsys.readouterr().out)


def test_a_check_names_photos_that_cannot_be_used(
    make_config: MakeConfig, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos / "pets", tmp_path / "pets")
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / "pets/masks/cat_a_0.png")
    toml = write_toml(make_config(data={"root": str(tmp_path)}), tmp_path / "tiny.toml")
    with pytest.raises(SystemExit):
        main(["--config", str(toml), "--check"])
    said = capsys.readouterr().err
    assert "1 of 16 photos cannot be used" in said
    assert "cat_a_0: the photo has 32 x 32 pixels, the mask 7 x 5" in said


def test_a_library_that_is_missing_is_explained(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    source = f'data.sources=[{{path="{photos / "pets"}", validation=0.3}}]'
    with pytest.raises(SystemExit):
        main(["--config", str(CONFIGS / "studies/d_clip.toml"), "--set", source, "--check"])
    assert 'pip install "petseg[openclip]"' in capsys.readouterr().err


def test_an_earlier_run_that_is_missing_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_oxford(tmp_path / "oxford-iiit-pet", {"Bengal_1": draw_labels(0), "beagle_2": draw_labels(1)})
    for name, missing in (("unet_320", "unet/best"), ("clip_mini", "clip-mini-pretrain/best")):
        with pytest.raises(SystemExit):
            main(["--config", str(CONFIGS / f"{name}.toml"), "--set", f"data.root={tmp_path}"])
        said = capsys.readouterr().err
        assert f"runs/{missing} is not a checkpoint" in said
        assert "an earlier run makes it: accelerate launch train/train.py --config train/configs/" in said


@pytest.mark.parametrize("arguments", [["--config"], ["--cfg", "x"], ["--config", "x", "--set"]])
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
