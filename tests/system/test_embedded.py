"""The models that come with the package, on real photos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import chelsea

import petseg
from export.verify import main as verify
from petseg.engine.precision import Precision
from petseg.measure.animals import AnimalEvaluation
from petseg.measure.datasets import read_pairs
from petseg.measure.evaluation import evaluate
from petseg.measure.metrics import binary_iou, species_of
from petseg.measure.pair import Pair
from petseg.models import catalog
from petseg.pixels.classes import BORDER
from petseg.segmenter import Segmenter
from train.data.scenes import read_scene
from train.people.targets import deepest

ROOT = Path(__file__).parents[2]
OXFORD = ROOT / "../shared/data/oxford-iiit-pet"
EXTRA = ROOT / "../shared/data/pets-extra"

FLOORS = {
    "autoencoder": {"miou": 0.61},
    "clip-mini": {"miou": 0.93},
    "unet": {"miou": 0.945, "pet_iou": 0.94},
}
"""Model -> the least it reaches on the test list, border ignored."""


def test_default_model_finds_the_cat() -> None:
    photo = chelsea()
    result = petseg.segment(photo)
    assert result.mask.shape == photo.shape[:2]
    assert result.label == "cat"
    assert result.score > 0.9
    # The face lies in the middle, the cloth in the upper left corner.
    assert (result.mask[100:200, 200:260] == 1).all()
    assert 0.3 < (result.mask == 1).mean() < 0.9
    assert np.asarray(result.cutout())[150, 230, 3] == 255


def test_int8_agrees_with_float32() -> None:
    photo = chelsea()
    float32, int8 = (petseg.segment(photo, device="cpu", precision=each) for each in ("float32", "int8"))
    assert (float32.precision, int8.precision) == ("float32", "int8")
    assert (float32.mask == int8.mask).mean() > 0.99
    assert int8.score == pytest.approx(float32.score, abs=0.02)
    assert not (float32.probabilities == int8.probabilities).all(), "they are not the same graph"


def test_int8_is_of_the_embedded_checkpoint() -> None:
    for name in catalog.quantised():
        float32, int8 = (
            Segmenter(name, device="cpu", precision=each).manifest for each in ("float32", "int8")
        )
        assert replace(int8, precision="float32", metrics=float32.metrics) == float32
        assert int8.metrics["miou"] >= float32.metrics["miou"] - 0.003


def test_a_photo_turned_by_exif_gives_the_turned_mask(tmp_path: Path) -> None:
    upright = Image.fromarray(chelsea())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise, so it is stored turned the other way
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    turned = petseg.segment(tmp_path / "turned.png")
    assert (turned.mask == petseg.segment(upright).mask).all()


@pytest.fixture(scope="session")
def test_list() -> list[Pair]:
    if not OXFORD.is_dir():
        pytest.skip(f"{OXFORD} is not here: the photos are not part of the repository")
    return read_pairs(OXFORD, "test")


@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "precision"), [*((name, "float32") for name in sorted(FLOORS)), ("unet", "int8")]
)
def test_accuracy_on_the_test_list(model: str, precision: Precision, test_list: list[Pair]) -> None:
    segmenter = Segmenter(model, device="cpu", precision=precision)
    report = evaluate(test_list, lambda photo: segmenter(photo).mask, progress=False)[0].report()
    published = segmenter.manifest.metrics
    for figure, floor in FLOORS[model].items():
        assert report[figure] >= floor
        assert report[figure] == pytest.approx(published[figure], abs=0.002), "the metadata tell the truth"


def test_a_click_finds_one_of_two_cats() -> None:
    photo = chelsea()
    twins = np.concatenate([photo, photo[:, ::-1]], axis=1)
    for x, mine in ((220, slice(0, 451)), (682, slice(451, 902))):
        result = petseg.segment(twins, (x, 150))
        assert (result.model, result.label) == ("prompt", "cat")
        assert np.count_nonzero(result.mask[:, mine]) > 0.98 * np.count_nonzero(result.mask)
        assert np.count_nonzero(result.mask[:, mine]) > 0.5 * 300 * 451
    assert petseg.segment(twins, (451, 150)).label == "background"


def test_two_cats_that_touch_are_two_animals() -> None:
    photo = chelsea()
    twins = np.concatenate([photo, photo[:, ::-1]], axis=1)
    found = petseg.segment(twins)
    asked = petseg.segment(twins, points=[(225, 150), (660, 150)])  # which says nothing of whose they are
    for result in (found, asked):
        left, right = sorted(result.pets, key=lambda pet: pet.box[0])
        assert not (left.mask & right.mask).any()
        np.testing.assert_array_equal(left.mask | right.mask, result.mask != 0)
        for pet, mine in ((left, slice(0, 451)), (right, slice(451, 902))):
            assert pet.label == "cat"
            assert np.count_nonzero(pet.mask[:, mine]) > 0.98 * pet.area
            assert pet.area > 0.5 * 300 * 451
    assert len(petseg.segment(photo).pets) == 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("count", "least_iou", "least_found"), [(range(2, 5), 0.48, 0.55), (range(5, 99), 0.38, 0.44)]
)
def test_animals_of_held_out_photos(count: range, least_iou: float, least_found: float) -> None:
    if not EXTRA.is_dir():
        pytest.skip(f"{EXTRA} is not here: the photos are not part of the repository")
    benchmark = pytest.importorskip("benchmarks.pets", reason="it needs the peer's runtime")
    animals, regions = AnimalEvaluation(), AnimalEvaluation()
    contest = benchmark.Contest(Segmenter("unet", device="cpu"), None)
    for sample in benchmark.held_out(EXTRA, count, ("unet", "prompt")):
        scene = read_scene(sample)
        truth = [scene.instances == number for number in scene.numbers]
        answers = contest.answers(scene.image)
        animals.add(truth, answers["pets"])
        regions.add(truth, answers["regions"])
    report = animals.report()
    assert report["iou"] > least_iou
    assert report["found"] > least_found
    assert report["iou"] > regions.report()["iou"] + 0.1


@pytest.mark.data
def test_one_click_on_the_test_list(test_list: list[Pair]) -> None:
    segmenter = Segmenter("prompt")
    ious, right = [], 0
    for pair in test_list[::6]:
        photo, truth = pair.read_image(), pair.read_mask()
        animal = np.isin(truth, (1, 2))
        answer = segmenter(photo, deepest(animal)).mask
        known = truth != BORDER
        ious.append(binary_iou(animal[known], answer[known] > 0))
        right += species_of(answer) == species_of(truth[animal])
    assert np.mean(ious) > 0.9
    assert right >= 0.97 * len(ious)


@pytest.mark.data
@pytest.mark.parametrize("model", [*sorted(FLOORS), "prompt"])
def test_export_agrees_with_its_checkpoint(model: str, test_list: list[Pair]) -> None:
    weights = ROOT / "petseg" / "weights" / ("prompt" if model == "prompt" else f"{model}.onnx")
    arguments = [str(ROOT / "train" / "checkpoints" / model), str(weights), "--data", str(OXFORD)]
    assert verify([*arguments, "--photos", "32"]) == 0
