import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import ImageError, ImageWarning
from petseg.measure.datasets import read_named, read_pairs
from petseg.measure.evaluation import PhotoScore, count_false_alarms, count_named, evaluate, format_report

# Truth and prediction of three photos of 2 x 4 pixels; the photo itself holds the prediction.
TRUTH = {
    "a": [[1, 1, 0, 0], [1, 255, 0, 0]],  # a cat, found but for one pixel
    "b": [[2, 2, 2, 0], [0, 0, 0, 0]],  # a dog taken for a cat
    "c": [[0, 0, 0, 0], [0, 0, 0, 0]],  # nothing, and nothing found
    "d": [[1, 1, 255, 0], [0, 0, 0, 0]],  # a cat missed
}
PREDICTION = {
    "a": [[1, 1, 0, 0], [0, 1, 0, 0]],
    "b": [[1, 1, 1, 0], [0, 0, 0, 0]],
    "c": [[0, 0, 0, 0], [0, 0, 0, 0]],
    "d": [[0, 0, 0, 0], [0, 0, 0, 0]],
}


def write_folder(
    folder: Path, truth: dict[str, list[list[int]]], prediction: dict[str, list[list[int]]]
) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for name, labels in truth.items():
        Image.fromarray(np.array(labels, np.uint8)).save(folder / f"masks/{name}.png")
        Image.fromarray(np.array(prediction[name], np.uint8)).save(folder / f"images/{name}.png")
    return folder


def red_channel(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    assert photo.ndim == 3
    return photo[..., 0]


def test_figures_equal_those_by_hand(tmp_path: Path) -> None:
    pairs = read_pairs(write_folder(tmp_path, TRUTH, PREDICTION))
    evaluation, scores = evaluate(pairs, red_channel, progress=False)
    report = evaluation.report()
    # Rows truth, columns prediction. a: 4 background right, 2 cat right, 1 cat lost; b: 5 and 3 dog taken
    # for cat; c: 8; d: 5 and 2 cat lost.
    assert report["confusion_matrix"] == [[22, 0, 0], [3, 2, 0], [0, 3, 0]]
    assert report["photos"] == 4
    assert report["iou"] == pytest.approx({"background": 22 / 25, "cat": 2 / 8, "dog": 0.0})
    assert report["miou"] == pytest.approx((22 / 25 + 2 / 8 + 0) / 3)
    assert report["dice"] == pytest.approx({"background": 44 / 47, "cat": 4 / 10, "dog": 0.0})
    assert report["mean_dice"] == pytest.approx((44 / 47 + 4 / 10) / 3)
    assert report["pixel_accuracy"] == pytest.approx(24 / 30)
    assert report["pet_iou"] == pytest.approx(5 / 8)
    # Both border pixels become pet: a's is found, d's is not.
    assert report["pet_iou_border_as_pet"] == pytest.approx(6 / 10)
    # Per photo, border as background. a: background 4/6, cat 2/4; b: 5/5, 0, 0; c: 1; d: 6/8, 0.
    per_photo = [(4 / 6 + 2 / 4) / 2, 1 / 3, 1.0, (6 / 8) / 2]
    assert report["coursework_miou"] == pytest.approx(np.mean(per_photo))
    assert (report["animals"], report["species_confused"], report["missed"]) == (3, 1, 1)
    assert report["species_confusion"] == pytest.approx(1 / 3)
    # Each photo's own, border ignored: a: background 4/5, cat 2/3; d: background 5/7, cat 0.
    own = {"a": (4 / 5 + 2 / 3) / 2, "b": 1 / 3, "c": 1.0, "d": (5 / 7) / 2}
    assert {score.name: score.miou for score in scores} == pytest.approx(own)


def test_worst_photos_come_first_and_unlabelled_ones_last(tmp_path: Path) -> None:
    truth = {"_": [[255, 255], [255, 255]], **TRUTH, "zz": [[255, 255], [255, 255]]}
    prediction = {"_": [[1, 0], [0, 0]], **PREDICTION, "zz": [[0, 0], [0, 0]]}
    pairs = read_pairs(write_folder(tmp_path, truth, prediction))
    _, scores = evaluate(pairs, red_channel, progress=False)
    assert [score.name for score in scores] == ["b", "d", "a", "c", "_", "zz"]
    assert isinstance(scores[0], PhotoScore)
    assert np.isnan(scores[-1].miou)


def test_predictor_sees_the_upright_photo_in_rgb(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {}, {})
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right
    Image.new("RGB", (4, 2), (200, 10, 10)).save(folder / "images/a.jpg", exif=exif)
    Image.fromarray(np.ones((4, 2), np.uint8)).save(folder / "masks/a.png")
    seen: list[NDArray[np.uint8]] = []

    def predict(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seen.append(photo)
        return np.ones(photo.shape[:2], np.uint8)

    evaluation, _ = evaluate(read_pairs(folder), predict, progress=False)
    assert seen[0].shape == (4, 2, 3)
    assert seen[0][..., 0].min() > 150
    assert evaluation.report()["iou"]["cat"] == 1.0


def test_prediction_of_another_size_is_an_error(tmp_path: Path) -> None:
    pairs = read_pairs(write_folder(tmp_path, TRUTH, PREDICTION))
    with pytest.raises(ImageError, match="differ in shape"):
        evaluate(pairs, lambda photo: photo[:1, :, 0], progress=False)


def test_progress_bar_can_be_silenced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = read_pairs(write_folder(tmp_path, TRUTH, PREDICTION))
    evaluate(pairs, red_channel, progress=False)
    assert capsys.readouterr().err == ""
    evaluate(pairs, red_channel)
    assert "4/4" in capsys.readouterr().err


def test_report_as_a_table_and_as_json(tmp_path: Path) -> None:
    pairs = read_pairs(write_folder(tmp_path, TRUTH, PREDICTION))
    report = evaluate(pairs, red_channel, progress=False)[0].report()
    assert json.loads(json.dumps(report)) == report
    rows = [line.rsplit(maxsplit=1) for line in format_report(report).splitlines()[1:]]
    figures = {name.strip(): value for name, value in rows}
    assert figures["pet IoU, border ignored"] == "0.6250"
    assert figures["pet IoU, border counted as pet"] == "0.6000"
    assert figures["photos"] == "4"
    assert figures["animals given the other species"] == "0.3333"
    table = format_report(report)
    assert "cat         0.2500  0.4000" in table
    assert "mean        0.3767  0.4454" in table


def test_photos_without_pets_need_no_masks(tmp_path: Path) -> None:
    evaluation, _ = evaluate(
        read_pairs(write_folder(tmp_path, TRUTH, PREDICTION)), red_channel, progress=False
    )
    before = evaluation.report()
    Image.fromarray(np.full((4, 4), 1, np.uint8)).save(tmp_path / "sofa.png")
    count_false_alarms(evaluation, [tmp_path / "sofa.png"], red_channel, progress=False)
    report = evaluation.report()
    assert (before["photos_without_pets"], before["false_alarms"]) == (1, 0)
    assert (report["photos_without_pets"], report["false_alarms"]) == (2, 0.5)
    assert report["miou"] == before["miou"]
    assert "pet on more than 1 % of those              0.5000" in format_report(report)


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    only = {"a": TRUTH["a"]}
    evaluation, _ = evaluate(
        read_pairs(write_folder(tmp_path, only, PREDICTION)), red_channel, progress=False
    )
    table = format_report(evaluation.report())
    assert "nan" not in table.split("IoU, border ignored")[1]
    assert "pet on more than" not in table


def test_photos_of_which_only_the_species_is_known(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, value in (("a", 1), ("b", 1), ("c", 0), ("d", 2)):
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(tmp_path / f"images/{name}.png")
    index = tmp_path / "index.csv"
    index.write_text("name,species\na,cat\nb,dog\nc,cat\nd,dog\n")
    answers = count_named(read_named(tmp_path), red_channel, progress=False)
    assert answers == {"photos": 4, "found": 0.75, "named": 0.5}
    for text, message in (
        ("name,species\nz,cat\n", "z has no photo"),
        ("name,species\na,cow\n", "species of a is 'cow'"),
        ("photo\na\n", "expected columns name and species"),
    ):
        index.write_text(text)
        with pytest.raises(ImageError, match=message):
            read_named(tmp_path)
    index.unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        read_named(tmp_path)


def test_masks_in_which_pets_may_be_ignored_are_counted(tmp_path: Path) -> None:
    truth = TRUTH | {"e": [[255, 255, 0, 0], [0, 0, 0, 0]]}
    pairs = read_pairs(write_folder(tmp_path, truth, PREDICTION | {"e": truth["e"]}))
    with pytest.warns(ImageWarning, match=r"hold 255, .* no pet: 1 \(.*e\.png, say\).*classes"):
        evaluate(pairs, lambda photo: np.minimum(photo[..., 0], 1), progress=False)


@pytest.mark.parametrize("mask_is_turned", [False, True])
def test_a_mask_that_only_fits_turned_is_pointed_out(
    tmp_path: Path, mask_is_turned: bool, recwarn: pytest.WarningsRecorder
) -> None:
    """Upside down a photo has the size that it had, so that nothing else tells."""
    upright = np.array(PREDICTION["a"], np.uint8)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(upright[::-1, ::-1].copy()).save(tmp_path / "images/a.png", exif=exif)
    Image.fromarray(upright if mask_is_turned else upright[::-1, ::-1].copy()).save(tmp_path / "masks/a.png")
    evaluate(read_pairs(tmp_path), red_channel, progress=False)
    said = [str(warning.message) for warning in recwarn if warning.category is ImageWarning]
    said = [text for text in said if "black sheet" not in text]  # of values for `red_channel`
    assert [("turned: 1 (" in text and "EXIF" in text) for text in said] == [True] * (not mask_is_turned)
