from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from train.average import average, main
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import Config
from train.models import build

MakeConfig = Callable[..., Config]


def saved(folder: Path, config: Config, value: float) -> Path:
    """A checkpoint whose weights and statistics all are `value`."""
    model = build(config.model)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)
    save_checkpoint(folder, model, config)
    return folder


def test_the_mean_of_two(tmp_path: Path, make_config: MakeConfig) -> None:
    folders = [saved(tmp_path / str(value), make_config(name=f"of {value}"), value) for value in (1, 4)]
    main([*map(str, folders), "--output", str(tmp_path / "mean")])
    model, config = load_checkpoint(tmp_path / "mean")
    assert config.name == "of 4"
    for name, tensor in model.state_dict().items():
        assert (tensor == (2.5 if tensor.is_floating_point() else 1)).all(), name


def test_who_is_named_twice_counts_twice(tmp_path: Path, make_config: MakeConfig) -> None:
    one, other = (saved(tmp_path / str(value), make_config(), value) for value in (1, 4))
    mean = average([one, one, other])
    assert all((tensor == 2).all() for tensor in mean.values() if tensor.is_floating_point())


def test_other_architectures_are_refused(
    tmp_path: Path, make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    one = saved(tmp_path / "one", make_config(), 1)
    other = saved(tmp_path / "other", make_config(model={"separable": True}), 1)
    with pytest.raises(ValueError, match="other is of another architecture than"):
        average([one, other])
    with pytest.raises(ValueError, match="no checkpoints"):
        average([])
    with pytest.raises(SystemExit) as left:
        main([str(one), str(tmp_path / "nothing"), "--output", str(tmp_path / "mean")])
    assert left.value.code == 1
    assert "cannot average" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()
