from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg import Segmenter
from petseg.errors import ImageError
from petseg.measure import report_file
from petseg.measure.datasets import read_pairs
from petseg.measure.metrics import Evaluation
from petseg.measure.pair import Pair
from petseg.measure.perturbations import PERTURBATIONS, perturb
from train.checkpoint import save_checkpoint
from train.config import Config
from train.models import build
from train.report import published
from train.report.inference import open_model
from train.robustness import format_curves, main, measure


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Red squares, which the tiny model calls cats, on grey; the second one is paler, and sooner lost."""
    folder = tmp_path / "data"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    truth = np.zeros((80, 80), np.uint8)
    truth[20:60, 20:60] = 1
    for name, red in {"a": (250, 20, 20), "b": (160, 70, 70)}.items():
        photo = np.full((80, 80, 3), 128, np.uint8)
        photo[truth == 1] = red
        Image.fromarray(photo).save(folder / f"images/{name}.png")
        Image.fromarray(truth).save(folder / f"masks/{name}.png")
    return folder


@pytest.fixture
def pairs(data: Path) -> list[Pair]:
    return read_pairs(data)


def test_each_kind_is_measured_at_its_strengths(model_path: Path, pairs: list[Pair]) -> None:
    model = open_model(str(model_path))
    (curves,) = measure([model], pairs, [1, 2, 10]).values()
    assert list(curves) == list(PERTURBATIONS)
    for kind, row in curves.items():
        strengths = PERTURBATIONS[kind].strengths
        assert row["strengths"] == [strengths[0], strengths[1], strengths[9]]
        assert len(row["miou"]) == len(row["mean_dice"]) == 3
        assert row["miou"][0] > 0.9, "the clean photo is easy"
        assert row["kept"] == pytest.approx(row["miou"][2] / row["miou"][0])
        assert row["kept_dice"] == pytest.approx(row["mean_dice"][2] / row["mean_dice"][0])
        before, after = row["worst"]["miou"]
        assert (row["worst"]["photo"] in "ab", row["worst"]["level"]) == (True, 10)
        assert before >= after or row["kept"] >= 1
    # Colours fade away; a black square of 45 pixels covers a part.
    assert curves["contrast_down"]["kept"] < 0.7
    assert curves["occlusion"]["kept"] < 1


def test_figures_are_those_of_petseg_on_the_damaged_photo(model_path: Path, pairs: list[Pair]) -> None:
    """The noise of each photo is seeded by its place."""
    kind, segmenter, scores = "salt_and_pepper", Segmenter(model_path, device="cpu"), []
    expected = Evaluation()
    for seed, pair in enumerate(pairs):
        damaged = perturb(pair.read_image(), kind, 10, seed)
        scores.append(expected.add(pair.read_mask(), segmenter(damaged).mask))
    (curves,) = measure([open_model(str(model_path))], pairs, [1, 10]).values()
    row = curves[kind]
    assert row["miou"][1] == expected.report()["miou"]
    assert row["mean_dice"][1] == expected.report()["mean_dice"]
    assert row["worst"]["miou"][1] == scores["ab".index(row["worst"]["photo"])]


def test_the_worst_photo_is_the_one_that_lost_most(model_path: Path, pairs: list[Pair]) -> None:
    (curves,) = measure([open_model(str(model_path))], pairs, [1, 8]).values()
    worst = curves["contrast_down"]["worst"]
    assert (worst["photo"], worst["level"]) == ("a", 8)
    assert worst["miou"][0] > 0.9 > 0.5 > worst["miou"][1]


@pytest.mark.parametrize(
    ("levels", "message"), [([2, 10], "begin with 1"), ([], "begin with 1"), ([1, 11], "must be 1 to 10")]
)
def test_bad_levels_are_refused(model_path: Path, pairs: list[Pair], levels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure([open_model(str(model_path))], pairs, levels)


def test_a_mask_that_does_not_fit_is_named(model_path: Path, pairs: list[Pair]) -> None:
    Image.fromarray(np.zeros((80, 81), np.uint8)).save(pairs[1].mask)
    with pytest.raises(ImageError, match=r"b\.png does not fit its photo"):
        measure([open_model(str(model_path))], pairs, [1, 10])


def test_all_published_pairs_are_there() -> None:
    """Study D's 80: one clean photo's figures for all kinds, and no figure grows much with the damage."""
    rows = published.robustness()
    assert list(rows) == list(PERTURBATIONS)
    for row in rows.values():
        assert (row["miou"][0], row["mean_dice"][0]) == (0.7771, 0.8692)
        for figure in ("miou", "mean_dice"):
            assert len(row[figure]) == len(row["strengths"]) == 10
            assert np.diff(row[figure]).max() < 0.001
        # Of one matrix: Dice = 2 IoU / (1 + IoU) of each class, and so at least that of the mean.
        assert all(
            iou < dice < 2 * iou / (1 + iou) + 0.001
            for iou, dice in zip(row["miou"], row["mean_dice"], strict=True)
        )


def test_table_tells_the_relative_drop() -> None:
    row = {"strengths": [0, 9], "miou": [0.8, 0.6], "mean_dice": [0.9, 0.81], "kept": 0.75, "kept_dice": 0.9}
    lines = format_curves({"unet": {"gaussian_blur": row}}).splitlines()
    assert lines[1].split()[:3] == ["unet", "gaussian_blur", "9"]
    assert lines[1].split()[3:] == ["0.8000", "0.6000", "25.0%", "0.9000", "0.8100", "10.0%"]


def test_main_measures_models_of_every_kind(
    model_path: Path,
    data: Path,
    make_config: Callable[..., Config],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = make_config()
    save_checkpoint(tmp_path / "one", build(config.model), config)
    models = [str(model_path), str(tmp_path / "one")]
    out = tmp_path / "out"
    arguments = [*models, "--data", str(data), "--split", "", "--levels", "1", "10"]
    outputs = ["--json", str(out / "r.json"), "--figure", str(out / "curves.png"), "--worst", str(out)]
    main([*arguments, *outputs])
    curves = report_file.read(out / "r.json")
    assert list(curves) == models
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * len(PERTURBATIONS)
    pictures = sorted(out.glob("*.png"))
    assert [path.name.startswith(("curves", "robustness-worst-")) for path in pictures] == [True] * 3
    for path in pictures:
        with Image.open(path) as image:
            assert min(image.size) > 400
    with pytest.raises(SystemExit) as stopped:
        main([*models, "--data", str(data), "--split", "", "--levels", "3"])
    assert stopped.value.code == 1
    assert "begin with 1" in capsys.readouterr().err
