import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import COLOURS, draw_labels, write_oxford, write_plain
from torch import Tensor, nn

from train import evaluate
from train.checkpoint import save_checkpoint
from train.config import Config
from train.evaluate import main, predictor
from train.models import build

MakeConfig = Callable[..., Config]


class ByColour(nn.Module):
    """Logits by how near each pixel is to the colours of the drawn photos."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = torch.tensor(COLOURS).float()[None, :, :, None, None]
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        assert image.dtype == torch.uint8
        self.shapes.append(tuple(image.shape))
        return -(image[:, None].float() - self.colours).square().sum(2) / 1000


@pytest.mark.parametrize(("width", "height"), [(100, 60), (60, 100), (64, 64), (1, 1)])
def test_predictor_answers_at_the_size_of_the_photo(width: int, height: int) -> None:
    labels = np.zeros((height, width), np.uint8)
    labels[height // 4 : height // 2, width // 4 : width // 2] = 1
    labels[height // 2 :, width // 2 :] = 2
    model = ByColour()
    answer = predictor(model, 64)(COLOURS[labels])
    assert model.shapes == [(1, 3, 64, 64)]
    assert (answer.shape, answer.dtype) == ((height, width), np.uint8)
    assert (answer == labels).mean() > 0.97


def test_predictor_resizes_logits_before_argmax() -> None:
    """What petseg does at its default: edges finer than the model's pixels."""

    class Step(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            logits = torch.zeros(1, 3, 4, 4)
            logits[:, 1, :, 2:], logits[:, 1, :, :2] = 4.0, -2.0
            return logits

    answer = predictor(Step(), 4)(np.zeros((40, 40, 3), np.uint8))
    # Between the centres of columns 1 and 2, at 15 and 25, the cat's logit rises from -2 to 4.
    assert (answer[20] == 1).argmax() == 18


@pytest.mark.parametrize("layout", ["oxford", "folder"])
def test_main_prints_a_table_and_writes_json(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layout: str,
) -> None:
    masks = {f"{('Bombay', 'beagle')[index % 2]}_{index}": draw_labels(index, 40, 30) for index in range(4)}
    if layout == "oxford":
        data, split = write_oxford(tmp_path / "data", masks, "test"), "test"
    else:
        data, split = write_plain(tmp_path / "data", masks), ""
    config = make_config()
    for name in ("one", "two"):
        save_checkpoint(tmp_path / name, build(config.model), config)
    sizes = []

    def by_colour(model: nn.Module, size: int) -> object:
        sizes.append(size)
        return predictor(ByColour(), size)

    monkeypatch.setattr(evaluate, "predictor", by_colour)
    arguments = [str(tmp_path / "one"), str(tmp_path / "two"), "--data", str(data), "--split", split]
    arguments += ["--size", "64", "--worst", "2", "--json", str(tmp_path / "report.json")]
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments])
    main()
    assert sizes == [64, 64]
    printed = capsys.readouterr().out
    reports = json.loads((tmp_path / "report.json").read_text())
    assert list(reports) == [str(tmp_path / "one"), str(tmp_path / "two")]
    for folder, report in reports.items():
        assert folder in printed
        assert report["photos"] == 4
        assert report["miou"] > 0.9
        assert (report["species_confused"], report["missed"]) == (0, 0)
    assert sum(line.startswith(("Bombay_", "beagle_")) for line in printed.splitlines()) == 4


def test_main_runs_a_checkpoint_at_the_size_it_was_trained_at(
    make_config: MakeConfig, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    save_checkpoint(tmp_path / "one", build(config.model), config, half=True)
    used = []
    monkeypatch.setattr(
        evaluate, "predictor", lambda model, size: used.append(size) or predictor(model, size)
    )
    arguments = [str(tmp_path / "one"), "--data", str(photos / "pets"), "--split", ""]
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments, "--json", str(tmp_path / "r.json")])
    main()
    assert used == [32]
    (report,) = json.loads((tmp_path / "r.json").read_text()).values()
    assert np.sum(report["confusion_matrix"]) == 24 * 32 * 32
