"""Models with the classes of a trimap are measured by them, under names of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from petseg.measure import report_file
from petseg.measure.datasets import read_pairs
from petseg.pixels.classes import BORDER
from tests.support.drawing import write_oxford
from train import evaluate
from train.checkpoint import save_checkpoint
from train.config import Config, load_config
from train.models import build
from train.report import trimap

STUDY = Path(__file__).parents[3] / "train/configs/studies/e_unet.toml"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    masks = {}
    for index in range(4):
        mask = np.zeros((24, 36), np.uint8)
        mask[4:20, 4:20] = BORDER
        mask[6:18, 6:18] = 1 + index % 2
        masks[f"{('Cat', 'dog')[index % 2]}_{index}"] = mask
    return write_oxford(tmp_path / "oxford-iiit-pet", masks, "test")


def narrow() -> Config:
    config = load_config(STUDY, ["model.width=4", "model.depth=2", "data.size=32"])
    return Config.model_validate(config.model_dump())


def test_a_perfect_answer(data: Path) -> None:
    result = trimap.TrimapResult()
    for pair in read_pairs(data, "test"):
        truth = np.select([pair.read_mask() == BORDER, pair.read_mask() > 0], [2, 1], 0)
        result.add(truth.astype(np.uint8), (np.eye(3, dtype=np.float32)[truth] * 20).transpose(2, 0, 1))
    report = result.report()
    assert report["photos"] == 4
    assert report["trimap_miou"] == report["trimap_iou"]["border"] == report["trimap_pixel_accuracy"] == 1
    assert report["trimap_auc"]["pet"] == pytest.approx(1)
    assert "miou" not in report


def test_evaluation_from_the_command_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, torch_model = narrow(), tmp_path / "e"
    model = build(config.model)
    assert isinstance(model, nn.Module)
    with torch.no_grad():  # it calls everything a border
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 0.0, 9.0]))
    save_checkpoint(torch_model, model, config)
    evaluate.main([str(torch_model), "--data", str(data), "--json", str(tmp_path / "e.json")])
    assert "border" in capsys.readouterr().out
    (report,) = report_file.read(tmp_path / "e.json").values()
    share = (16 * 16 - 12 * 12) / (24 * 36)
    assert report["trimap_iou"] == pytest.approx({"background": 0, "pet": 0, "border": share})
    with pytest.raises(SystemExit) as caught:
        evaluate.main([str(torch_model), "unet", "--data", str(data)])
    assert caught.value.code == 1
    assert "unet has other classes than a trimap" in capsys.readouterr().err
