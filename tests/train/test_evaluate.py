import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.card import measured
from export.graph.describe import read_metrics
from petseg.measure import report_file
from petseg.measure.metrics import Evaluation
from petseg.pixels.classes import CLASSES
from tests.support.drawing import ByColour, draw_labels, write_oxford, write_plain
from train.checkpoint import save_checkpoint
from train.config import Config
from train.evaluate import main
from train.models import build
from train.report import inference
from train.report.figures import file_name

MakeConfig = Callable[..., Config]

MASKS = {f"{('Bombay', 'beagle')[index % 2]}_{index}": draw_labels(index, 40, 30) for index in range(4)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two cats and two dogs in the Oxford layout, the list "test"."""
    return write_oxford(tmp_path / "data", MASKS, "test")


@pytest.fixture
def by_colour(make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose network goes by colour, and is right nearly everywhere."""
    config = make_config()
    save_checkpoint(tmp_path / "one", build(config.model), config)
    monkeypatch.setattr(inference, "load_checkpoint", lambda folder: (ByColour(), config))
    return tmp_path / "one"


@pytest.mark.parametrize("layout", ["oxford", "folder"])
def test_one_model_is_printed_and_written_for_its_card(
    by_colour: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    if layout == "folder":  # which has no lists, and needs no word about them
        data = write_plain(tmp_path / "plain", MASKS)
    path = tmp_path / "report.json"
    arguments = [str(by_colour), "--data", str(data), "--size", "64"]
    main([*arguments, "--worst", "2", "--json", str(path)])
    printed = capsys.readouterr().out
    ((name, report),) = report_file.read(path).items()
    assert name == str(by_colour)
    assert name in printed
    assert "pet IoU, border ignored" in printed
    assert report["photos"] == 4
    assert report["miou"] > 0.9
    assert (report["species_confused"], report["missed"]) == (0, 0)
    assert sum(line.startswith(("Bombay_", "beagle_")) for line in printed.splitlines()) == 2
    # What the model card and the export read is `Evaluation.report`, and nothing besides.
    extra = report.pop("comparison")
    assert set(report) == set(Evaluation().report())
    metrics = read_metrics(path, by_colour)
    assert metrics["miou"] == report["miou"]
    assert set(metrics) <= set(report)
    assert "comparison" not in measured.metrics(report | {"comparison": extra}, CLASSES)
    assert [row["name"] for row in extra["worst"]] == [
        line.split()[0] for line in printed.splitlines() if line.startswith(("Bombay_", "beagle_"))
    ]


def test_cats_alone_give_valid_json(by_colour: Path, tmp_path: Path) -> None:
    """What has no value, such as the IoU of dogs, is null: bare NaN is no JSON."""
    cats = write_plain(tmp_path / "cats", {"Bombay_0": draw_labels(0, 40, 30)})
    path = tmp_path / "report.json"
    main([str(by_colour), "--data", str(cats), "--split", "", "--size", "64", "--json", str(path)])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {path}")

    json.loads(path.read_text(), parse_constant=refuse)
    (report,) = report_file.read(path).values()
    assert report["iou"]["cat"] > 0.9
    assert report["false_alarms"] is None
    assert read_metrics(path, by_colour)["iou"].keys() == {"background", "cat"}


def test_on_what_the_training_held_out(by_colour: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    main([str(by_colour), "--held-out", "--json", str(path)])
    ((_, report),) = report_file.read(path).items()
    assert report["photos"] == 8  # a third of 24
    assert report["measured_on"].startswith("photos of pets that its training held out")
    assert "In float32, on photos of pets that its training held out" in measured.metrics(report, CLASSES)
    with pytest.raises(SystemExit):
        main(["unet", "--held-out"])


def test_false_alarms_stand_beside_the_quality(by_colour: Path, data: Path, tmp_path: Path) -> None:
    empty = {f"chair_{i}": np.zeros((30, 40), np.uint8) for i in range(3)}
    folder, path = write_plain(tmp_path / "empty", empty), tmp_path / "report.json"
    arguments = [str(by_colour), "--data", str(data), "--size", "64", "--json", str(path)]
    main(arguments)
    before = report_file.read(path)[str(by_colour)]
    main([*arguments, "--no-pets", str(folder)])
    report = report_file.read(path)[str(by_colour)]
    assert report["photos_without_pets"] == 3
    assert report["false_alarms"] == 0
    assert (report["miou"], report["photos"]) == (before["miou"], 4)


def test_several_models_and_their_pictures(
    by_colour: Path, model_path: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, path = tmp_path / "pictures", tmp_path / "report.json"
    models = [str(by_colour), str(model_path)]
    main([*models, "--data", str(data), "--figures", str(folder), "--worst", "1", "--json", str(path)])
    printed = capsys.readouterr().out
    reports = report_file.read(path)
    assert list(reports) == models
    for name, report in reports.items():
        assert any(line.startswith(f"{name}  ") for line in printed.splitlines())
        assert np.shape(report["confusion_matrix"]) == (3, 3)
        assert report["comparison"]["at_model_size"]["photos"] == 4
        assert set(report["comparison"]["auc"]) == set(CLASSES)
    worst = {f"worst-{file_name(name)}.png" for name in models}
    assert {file.name for file in folder.iterdir()} == {"roc.png", "confusion.png", "examples.png", *worst}
    for file in folder.iterdir():
        with Image.open(file) as image:
            assert image.format == "PNG"
    (folder / "roc.png").write_bytes(b"a drawing of somebody's")
    with pytest.raises(SystemExit, match="1"):
        main([*models, "--data", str(data), "--figures", str(folder)])
    assert "roc.png' is there and no result of petseg's" in capsys.readouterr().err


def test_a_checkpoint_runs_at_the_size_it_was_trained_at(
    make_config: MakeConfig, tmp_path: Path, photos: Path
) -> None:
    config = make_config()
    save_checkpoint(tmp_path / "one", build(config.model), config, half=True)
    arguments = [str(tmp_path / "one"), "--data", str(photos / "pets"), "--split", ""]
    main([*arguments, "--json", str(tmp_path / "r.json")])
    (report,) = report_file.read(tmp_path / "r.json").values()
    assert report["comparison"]["size"] == 32
    assert np.sum(report["confusion_matrix"]) == 24 * 32 * 32


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["MODEL", "--threads", "0"], 2, "--threads must be 1 or more"),
        (["MODEL", "--worst", "-1"], 2, "--worst and --examples 0 or more"),
        (["MODEL", "--clicks", "--figures", "there"], 2, "leave out --clicks"),
        (["MODEL", "MODEL"], 1, "given more than once"),
        (["MODEL", "--data", "nowhere"], 1, "nowhere holds no photos with masks"),
        (["unheard-of"], 1, "there is no model 'unheard-of'"),
        (["MODEL", "--json", "FOLDER"], 2, "no regular file"),
    ],
)
def test_what_is_wrong_ends_in_one_line(
    model_path: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    names = {"MODEL": str(model_path), "FOLDER": str(tmp_path)}
    with pytest.raises(SystemExit) as stopped:
        main(["--data", str(data), *(names.get(word, word) for word in arguments)])
    assert stopped.value.code == code
    assert message in capsys.readouterr().err
