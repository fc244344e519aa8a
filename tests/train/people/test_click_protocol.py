"""Simulated clicks: where they fall, what is counted, and on which animals."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from petseg.measure import report_file
from petseg.measure.datasets import read_pairs
from tests.support.drawing import draw_labels, paint, write_oxford
from tests.support.tiny_models import save_parts
from train import evaluate
from train.checkpoint import save_checkpoint
from train.config import Config
from train.data.dataset import read_splits
from train.models import build
from train.models.promptable import Promptable
from train.people import clicks
from train.people.clicked import ClickedCheckpoint
from train.people.clicks import Animal, choose, click_through, find_animals, measure, next_click, read_sets
from train.people.targets import Target

CAT, DOG = 1, 2
NOTHING = np.zeros((40, 60), np.uint8)
FREE = np.ones((40, 60), bool)


def plane(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """(40, 60) bool, True in the boxes x0, y0, x1, y1."""
    mask = np.zeros((40, 60), bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def target(*boxes: tuple[int, int, int, int], unknown: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Target:
    return Target(plane(*boxes), ~plane(unknown), DOG)


class Scripted:
    """Answers what it was told to, one answer after the other, and keeps what it was asked."""

    name, most, boxes, species = "scripted", None, True, True

    def __init__(self, *answers: np.ndarray) -> None:
        self.answers = answers
        self.clicks: list[tuple[tuple[float, float], bool]] = []
        self.asked_boxes: list[list[float]] = []

    def start(self, photo: np.ndarray) -> None:
        self.clicks.clear()

    def click(self, point: tuple[float, float], positive: bool) -> np.ndarray:
        self.clicks.append((point, positive))
        return self.answers[min(len(self.clicks), len(self.answers)) - 1]

    def box(self, corners: np.ndarray) -> np.ndarray:
        self.asked_boxes.append(corners.tolist())
        return self.answers[-1]


PHOTO = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    ("wanted", "point"),
    [
        (target((10, 10, 19, 19)), (14.5, 14.5)),
        (target((0, 0, 9, 9)), (4.5, 4.5)),  # the photo's edge is as much an edge as any
        (target((2, 2, 5, 5), (30, 10, 41, 21)), (35.5, 15.5)),  # of two pieces the deeper one
    ],
)
def test_first_click_is_deepest_inside_the_animal(wanted: Target, point: tuple[float, float]) -> None:
    found = next_click(wanted, NOTHING, FREE)
    assert found is not None
    assert found[:2] == (point, True)


def test_next_click_goes_where_the_error_is_deepest_not_largest() -> None:
    wanted = target((5, 5, 45, 15))
    # Missed: a strip of 40 x 2; falsely called pet: 5 x 5, fewer pixels but deeper.
    answer = (plane((5, 7, 45, 15), (50, 30, 55, 35)) * CAT).astype(np.uint8)
    found = next_click(wanted, answer, FREE)
    assert found is not None
    point, positive, part = found
    assert (point, positive) == ((52.5, 32.5), False)
    assert (part == plane((50, 30, 55, 35))).all()
    taken = FREE & ~plane((50, 30, 55, 35))
    found = next_click(wanted, answer, taken)
    assert found is not None
    assert found[1]
    assert wanted.inside[int(found[0][1]), int(found[0][0])]


def test_no_pixel_is_clicked_twice_and_the_unknown_is_no_error() -> None:
    wanted = target((10, 10, 20, 20), unknown=(20, 0, 60, 40))
    assert next_click(wanted, plane((10, 10, 50, 20)).astype(np.uint8), FREE) is None
    one_missed = plane((10, 10, 20, 20)) & ~plane((12, 12, 13, 13))
    found = next_click(wanted, one_missed.astype(np.uint8), FREE)
    assert found is not None
    assert found[0] == (12.5, 12.5)
    assert next_click(wanted, one_missed.astype(np.uint8), FREE & ~plane((12, 12, 13, 13))) is None


def test_iou_is_binary_and_ignores_the_unknown() -> None:
    wanted = target((10, 10, 20, 20), unknown=(20, 0, 25, 40))
    answer = plane((10, 10, 18, 20), (20, 10, 25, 20), (30, 10, 34, 15)) * CAT
    # 80 pixels hit, 20 missed, 20 false, 50 unknown.
    assert clicks.score(wanted, answer.astype(np.uint8)) == pytest.approx(80 / 120)


@pytest.mark.parametrize(
    ("shares", "limit", "expected"),
    [
        ((0.5, 0.8, 0.9), 20, [0.5, 0.8, 0.9, 0.9, 0.9]),  # all figures are known after five clicks
        ((0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9), 20, [0.5] * 6 + [0.9]),
        ((0.9, 0.5), 20, [0.9, 0.5, 0.5, 0.5, 0.5]),  # reached once is reached
        ((0.5,), 7, [0.5] * 7),  # never
        ((0.5, 1.0), 20, [0.5, 1.0]),  # nothing left to correct
        ((0.0, 0.0), 3, [0.0] * 3),  # nothing found at all
    ],
)
def test_clicks_go_on_until_all_figures_are_known(
    shares: tuple[float, ...], limit: int, expected: list[float]
) -> None:
    wanted = target((10, 10, 30, 20))
    answers = [plane((10, 10, 10 + round(20 * share), 20)).astype(np.uint8) * DOG for share in shares]
    clicked = Scripted(*answers)
    ious, right = click_through(clicked, PHOTO, wanted, limit)
    assert ious == pytest.approx(expected)
    assert right == (shares[0] > 0)
    assert len(clicked.clicks) == len(set(clicked.clicks)) == len(expected)
    assert all(positive for _, positive in clicked.clicks)


def test_species_is_that_of_the_first_answer() -> None:
    wanted, cat = target((10, 10, 20, 20)), plane((10, 10, 19, 20)).astype(np.uint8)
    assert not click_through(Scripted(cat, cat * DOG), PHOTO, wanted, 5)[1]
    assert click_through(Scripted(cat * DOG, cat), PHOTO, wanted, 5)[1]


def test_jitter_is_of_the_animals_size_and_stays_inside() -> None:
    side = 140
    wanted = Target(np.zeros((side, side), bool), np.ones((side, side), bool), CAT)
    wanted.inside[20:121, 20:121] = True
    photo, nothing = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8)
    clicked = Scripted(nothing)
    firsts = []
    for seed in range(300):
        click_through(clicked, photo, wanted, 1, np.random.default_rng(seed))
        firsts.append(clicked.clicks[0][0])
    # The root of the animal's area is 101.
    assert np.mean(firsts, 0) == pytest.approx([70.5, 70.5], abs=1)
    assert np.std(firsts, 0) == pytest.approx([0.05 * 101] * 2, rel=0.12)
    but_a_spot = wanted.inside.astype(np.uint8)
    but_a_spot[30:36, 30:36] = 0  # a step of the animal's size often leaves it
    for seed in range(20):
        clicked = Scripted(nothing, but_a_spot)
        click_through(clicked, photo, wanted, 3, np.random.default_rng(seed))
        x, y = clicked.clicks[2][0]
        assert 30 <= x < 36
        assert 30 <= y < 36


def write_scene(root: Path, name: str, instances: np.ndarray) -> None:
    """A photo of cats with a mask each."""
    for part in ("images", "masks", "instances"):
        (root / part).mkdir(parents=True, exist_ok=True)
    classes = (instances > 0).astype(np.uint8)
    Image.fromarray(paint(classes)).save(root / f"images/{name}.png")
    Image.fromarray(classes).save(root / f"masks/{name}.png")
    Image.fromarray(instances).save(root / f"instances/{name}.png")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A data root: `pets`, 6 photos of two cats each, and `test`, 4 of one pet, in the Oxford layout."""
    for index in range(6):
        instances = np.zeros((64, 64), np.uint8)
        instances[5:35, 5 : 25 + index] = 1
        instances[40:60, 35:60] = 2
        write_scene(tmp_path / "pets", f"twins_{index}", instances)
    masks = {f"{('Bombay', 'beagle')[index % 2]}_{index}": draw_labels(index, 80, 60) for index in range(4)}
    write_oxford(tmp_path / "test", masks, "test")
    return tmp_path


def test_every_animal_counts_but_specks(tmp_path: Path) -> None:
    instances = np.zeros((100, 100), np.uint8)
    instances[0:40, 0:40] = 1
    instances[60:62, 0:5] = instances[70:72, 50:55] = 2  # two pieces, 20 pixels together
    instances[90, 0:9] = 3  # 0.09 %
    instances[95:97, 0:5] = 5  # 0.1 %
    write_scene(tmp_path, "crowd", instances)
    found = find_animals(read_pairs(tmp_path))
    assert [(animal.number, animal.share) for animal in found] == [(1, 0.16), (2, 0.002), (5, 0.001)]


def test_sets_are_the_list_and_what_was_held_out(make_config: Callable[..., Config], scenes: Path) -> None:
    config = make_config(data={"root": str(scenes), "sources": [{"path": "pets", "validation": 0.34}]})
    training, held_out = ({sample.name for sample in part} for part in read_splits(config.data))
    sets = read_sets(scenes / "test", "test", config)
    assert {animal.sample.name for animal in sets["multi"]} == held_out
    assert not {animal.sample.name for animal in sets["multi"]} & training
    assert len(sets["multi"]) == 2 * len(held_out) == 4
    assert len(sets["single"]) == 4


def test_a_subset_is_drawn_by_the_seed(scenes: Path) -> None:
    animals = find_animals(read_pairs(scenes / "pets"))
    chosen = choose(animals, 5, 0)
    assert len(chosen) == 5
    assert chosen == choose(animals, 5, 0) != choose(animals, 5, 1)
    assert chosen == [animal for animal in animals if animal in chosen]
    assert set(map(id, choose(animals, 3, 0))) < set(map(id, chosen))
    assert choose(animals, None, 0) == choose(animals, 99, 0) == animals


def test_measure_gives_boxes_sizes_and_repeats_itself(scenes: Path) -> None:
    animals = find_animals(read_pairs(scenes / "pets"))[:2]
    answer = np.zeros((64, 64), np.uint8)
    answer[5:35, 5:25] = CAT  # the first animal, and nothing for the second one
    clicked = Scripted(answer)
    report = measure([clicked], animals, limit=3)
    assert clicked.asked_boxes == [[5, 5, 25, 35], [35, 40, 60, 60]]
    assert (report["photos"], report["animals"]) == (1, 2)
    figures = report["methods"]["scripted"]
    assert figures["box_iou"] == figures["exact"]["iou"]["1"] == pytest.approx(0.5)
    assert figures["exact"]["noc"] == {"85": 2, "90": 2}
    # 600 and 500 of 4096 pixels.
    sizes = {size: part["exact"]["animals"] for size, part in figures["by_size"].items()}
    assert sizes == {"over 5 %": 2, "over 10 %": 2}
    assert measure([clicked], animals, limit=3) == report


def test_an_animal_is_jittered_the_same_whoever_is_beside_it(scenes: Path) -> None:
    animals = find_animals(read_pairs(scenes / "pets"))
    twin = Animal(animals[3].sample, animals[3].number, animals[3].share)
    draws = [a.generator(0).random() for a in animals]
    assert twin.generator(0).random() == draws[3]
    assert len(set(draws)) == len(animals)
    assert twin.generator(1).random() != draws[3]


@pytest.fixture
def run(
    make_config: Callable[..., Config], scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict]:
    """Run `python -m train.evaluate MODEL --clicks` on the drawn photos, and read what it wrote."""
    config = make_config(data={"root": str(scenes), "sources": [{"path": "pets", "validation": 0.34}]})
    monkeypatch.setattr(clicks, "load_config", lambda path: config)

    def evaluate_main(model: Path, *arguments: str) -> dict:
        words = [str(model), "--clicks", "--data", str(scenes / "test"), "--json", str(tmp_path / "r.json")]
        monkeypatch.setattr("sys.argv", ["evaluate", *words, *arguments])
        evaluate.main()
        (report,) = report_file.read(tmp_path / "r.json").values()
        return report

    return evaluate_main


def test_main_evaluates_an_exported_model(
    run: Callable[..., dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(save_parts(tmp_path / "tiny"), "--limit", "3", "--seed", "4")
    assert (report["seed"], report["max_clicks"], report["animals_at_most"]) == (4, 20, 3)
    assert "deepest" in report["definitions"]["next click"]
    for name in ("single", "multi"):
        part = report["sets"][name]
        assert (part["animals"], part["animals_in_all"]) == (3, 4)
        figures = part["methods"]["tiny-prompt"]
        # It calls pet what is coloured, but only near clicks, and all of what a box shows.
        assert figures["exact"]["iou"]["1"] < figures["exact"]["iou"]["5"]
        assert figures["box_iou"] > 0.8
        assert figures["exact"]["species"] == figures["jittered"]["species"] == 1
        assert figures["exact"] != figures["jittered"]
    beside = report["nothing"]["beside pets"]
    assert (beside["photos"], list(report["nothing"])) == (3, ["beside pets"])
    assert 0 <= beside["large"] <= beside["found"] <= 1
    printed = capsys.readouterr().out
    assert "single: 3 of 4 animals, in 3 photos" in printed
    assert printed.count("tiny-prompt ") == 4


def test_main_evaluates_a_checkpoint_on_what_it_held_out(
    run: Callable[..., dict], make_config: Callable[..., Config], scenes: Path, tmp_path: Path
) -> None:
    unet = {"width": 4, "depth": 2, "upsampling": "bilinear"}
    document = make_config().model_dump()
    document["model"] = {
        "family": "prompt",
        "unet": unet,
        "widths": [8, 8],
        "blocks": [1, 1],
        "kernels": [3, 3],
    }
    document["data"] |= {"root": str(scenes), "sources": [{"path": "pets", "validation": 0.17}]}
    config = Config.model_validate(document)
    save_checkpoint(tmp_path / "own", build(config.model), config)
    report = run(tmp_path / "own", "--max-clicks", "2")
    assert report["sets"]["multi"]["animals"] == 2  # its own share is one photo, not two
    figures = report["sets"]["multi"]["methods"]["tiny, whole photo"]
    assert list(figures["exact"]["iou"]) == ["1", "2"]
    assert figures["limit"] == 2


def test_a_checkpoint_answers_as_its_export_would(make_config: Callable[..., Config]) -> None:
    """The photo is encoded once for all its animals, clicks add up, and `start` forgets them."""

    class Near(Promptable):
        """A dog where the evidence for is strong."""

        prompts, stride, encoded = ("point",), 1, 0

        def encode(self, image: Tensor) -> tuple[Tensor]:
            assert (image.shape, image.dtype) == ((1, 3, 40, 40), torch.uint8)
            self.encoded += 1
            return (image.float(),)

        def decode(self, features: tuple[Tensor], prompt: Tensor) -> Tensor:
            evidence = prompt[:, 0] - prompt[:, 1]
            return torch.stack([-evidence * 0, -evidence, evidence * 4 - 2], 1)

    model = Near()
    clicked = ClickedCheckpoint("near", model, 40)
    photo = np.zeros((80, 80, 3), np.uint8)
    clicked.start(photo)
    one = clicked.click((20.5, 20.5), True)
    two = clicked.click((60.5, 60.5), True)
    assert (one.shape, one.dtype, one[20, 20], one[60, 60]) == ((80, 80), np.uint8, DOG, 0)
    assert (two[20, 20], two[60, 60]) == (DOG, DOG)
    clicked.start(photo)
    assert not clicked.click((60.5, 60.5), True)[20, 20]
    assert model.encoded == 1
    clicked.start(photo.copy())
    assert model.encoded == 2
    assert not clicked.boxes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unet", "--clicks"], "'unet' takes no point"),
        (["unet", "--clicks", "--size", "64"], "an exported model has one size"),
        (["CHECKPOINT", "--clicks"], "takes no clicks; give a promptable model"),
        (["nowhere/at-all.onnx", "--clicks"], "nowhere/at-all.onnx"),
        (["nowhere"], "there is no model 'nowhere'"),
    ],
)
def test_bad_models_end_in_one_line(
    make_config: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    config = make_config()
    save_checkpoint(tmp_path / "CHECKPOINT", build(config.model), config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments])
    with pytest.raises(SystemExit) as stopped:
        evaluate.main()
    assert stopped.value.code == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--max-clicks", "0"], ["--limit", "x"]])
def test_bad_numbers_are_refused(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", "prompt", "--clicks", *arguments])
    with pytest.raises(SystemExit) as stopped:
        evaluate.main()
    assert stopped.value.code == 2
