"""A drawn data set, a tiny config, and quiet surroundings for Accelerate."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from tests.support.drawing import draw_labels, write_plain
from train.config import Config


def reset_accelerate() -> None:
    """Forget the last Accelerator: its state belongs to the whole process."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, the CPU, and a fresh Accelerate."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # the loop takes as many threads as there are
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    reset_accelerate()
    yield
    reset_accelerate()


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plot takes longer than an epoch of a tiny run."""
    monkeypatch.setattr("train.loops.base.plot_history", lambda *arguments: None)


@pytest.fixture
def new_process() -> Callable[[], None]:
    """What a run that was killed and started again finds: no Accelerate state, other random numbers."""

    def forget() -> None:
        reset_accelerate()
        random.seed(99)
        np.random.seed(99)  # noqa: NPY002 (the generator that Accelerate saves)
        torch.manual_seed(99)

    return forget


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one folder `pets`: 12 cats and 12 dogs of 32 x 32 pixels, two breeds each."""
    masks = {}
    for index in range(24):
        labels = draw_labels(index)
        masks[f"{('cat', 'dog')[index % 2]}_{'ab'[index // 2 % 2]}_{index}"] = labels
    return write_plain(tmp_path_factory.mktemp("data") / "pets", masks).parent


@pytest.fixture
def make_config(photos: Path, tmp_path: Path) -> Callable[..., Config]:
    """A tiny run over `photos`, a third for validation; arguments such as `optim={...}` are merged in."""

    def make(**tables: object) -> Config:
        document: dict[str, object] = {
            "name": "tiny",
            "output": str(tmp_path / "run"),
            "data": {
                "root": str(photos),
                "sources": [{"path": "pets", "validation": 0.33}],
                "size": 32,
                "cache_side": 32,
                "workers": 0,
            },
            "model": {"width": 4, "depth": 2},
            "augment": dict.fromkeys(
                ("crop", "affine", "elastic", "colour", "grayscale", "blur", "noise"), 0
            ),
            "optim": {
                "epochs": 3,
                "batch_size": 4,
                "learning_rate": 1e-2,
                "mixed_precision": "no",
                "warmup_epochs": 0.5,
                "ema": 0.9,
            },
        }
        for key, value in tables.items():
            old = document.get(key)
            document[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        return Config.model_validate(document)

    return make
