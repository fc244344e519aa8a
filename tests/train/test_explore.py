from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError
from petseg.measure import report_file
from petseg.measure.datasets import read_pairs
from petseg.measure.pair import Pair
from tests.support.drawing import Labels, write_oxford, write_plain
from train.explore import centre, main, measure, measure_all, summarise

OXFORD = Path(__file__).parents[3] / "shared" / "data" / "oxford-iiit-pet"


def drawn() -> dict[str, Labels]:
    """Four masks that can be counted by hand."""
    cat = np.zeros((20, 40), np.uint8)
    cat[5:15, 10:30] = 1  # 200 pixels around (20, 10)
    cat[4, 10:30] = 255  # 20 pixels
    ring = np.zeros((20, 20), np.uint8)
    ring[2:18, 2:18] = 2
    ring[6:14, 6:14] = 0  # 256 - 64 = 192 pixels, and nothing in the middle
    unsure = np.zeros((40, 20), np.uint8)
    unsure[:20] = 255
    return {"Bombay_1": cat, "beagle_7": unsure, "pug_1": ring, "pug_2": np.zeros((20, 20), np.uint8)}


@pytest.fixture(params=["oxford", "plain"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return (write_oxford if request.param == "oxford" else write_plain)(tmp_path / "pets", drawn())


def run(folder: Path, output: Path, *arguments: str) -> dict[str, object]:
    main([str(folder), "--output", str(output), *arguments])
    return report_file.read(output / "explore.json")


def test_every_number_against_a_count_by_hand(folder: Path, tmp_path: Path) -> None:
    report = run(folder, tmp_path / "seen", "--size", "20")
    assert report == {
        "folder": str(folder),
        "split": None,
        "model_size": 20,
        "broken": {},
        "photos": 4,
        "sizes": {
            "width": {"min": 20, "median": 20, "mean": 25, "max": 40},
            "height": {"min": 20, "median": 20, "mean": 25, "max": 40},
            "aspect_ratio": {"min": 0.5, "median": 1, "mean": 1.125, "max": 2},
            "most_common": [
                {"width": 20, "height": 20, "photos": 2},
                {"width": 40, "height": 20, "photos": 1},
                {"width": 20, "height": 40, "photos": 1},
            ],
        },
        "species": {"cat": 1, "dog": 1, "both": 0, "none": 2},
        "breeds": {"Bombay": 1, "beagle": 1, "pug": 2},
        "pixels": {
            "native": {
                "background": {"pixels": 580 + 400 + 208 + 400, "share": 1588 / 2400},
                "cat": {"pixels": 200, "share": 200 / 2400},
                "dog": {"pixels": 192, "share": 192 / 2400},
                "ignored": {"pixels": 20 + 400, "share": 420 / 2400},
            },
            # The cat's photo and the unsure one are halved: every other row and column, from the first.
            "model": {
                "background": {"pixels": 140 + 100 + 208 + 400, "share": 848 / 1600},
                "cat": {"pixels": 5 * 10, "share": 50 / 1600},
                "dog": {"pixels": 192, "share": 192 / 1600},
                "ignored": {"pixels": 10 + 100, "share": 110 / 1600},
                "padding": {"pixels": 200 + 200, "share": 400 / 1600},
            },
        },
        "all_background": ["pug_2"],
        "no_animal": ["beagle_7"],
        "centroid_beneath": {"background": 1, "cat": 1, "dog": 0, "ignored": 0},
        "centroid_outside": ["pug_1"],
    }


def test_photos_of_both_species(tmp_path: Path) -> None:
    labels = np.zeros((10, 20), np.uint8)
    labels[2:5, 2:5], labels[2:5, 12:18] = 1, 2
    report = summarise(measure_all(read_pairs(write_plain(tmp_path, {"two_1": labels})), 16)[0])
    assert report["species"] == {"cat": 0, "dog": 0, "both": 1, "none": 0}
    assert report["pixels"]["native"]["dog"]["pixels"] == 18


def test_one_split(tmp_path: Path) -> None:
    masks = drawn()
    write_oxford(tmp_path / "pets", {"pug_1": masks.pop("pug_1")}, "test")
    write_oxford(tmp_path / "pets", masks)
    assert run(tmp_path / "pets", tmp_path / "seen", "--split", "test")["breeds"] == {"pug": 1}


@pytest.mark.parametrize(
    ("middle", "beneath", "outside"), [(0, "background", True), (255, "ignored", False), (2, "dog", False)]
)
def test_what_lies_under_the_centroid(tmp_path: Path, middle: int, beneath: str, outside: bool) -> None:
    labels = drawn()["pug_1"]
    labels[6:14, 6:14] = middle
    facts = measure(read_pairs(write_plain(tmp_path, {"pug_1": labels}))[0], 16)
    assert (facts.centroid, facts.beneath, facts.centroid_outside) == ((10, 10), beneath, outside)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [([(0, 0)], (0.5, 0.5)), ([(3, 4)], (4.5, 3.5)), ([(0, 0), (0, 4), (3, 2)], (2.5, 1.5)), ([], None)],
)
def test_centre(pixels: list[tuple[int, int]], expected: tuple[float, float] | None) -> None:
    region = np.zeros((4, 5), bool)
    for row, column in pixels:
        region[row, column] = True
    assert centre(region) == expected


def broken(folder: Path) -> dict[str, str]:
    """Damage three of the four pairs; what is to be said of each."""
    Image.fromarray(np.full((20, 40), 7, np.uint8)).save(folder / "masks/Bombay_1.png")
    Image.new("L", (19, 40)).save(folder / "masks/beagle_7.png")
    (folder / "images/pug_1.png").write_bytes(b"no photo")
    return {
        "Bombay_1": "Bombay_1.png holds the label 7, which no class has",
        "beagle_7": "the photo has 20 x 40 pixels, the mask 19 x 40",
        "pug_1": "pug_1.png",
    }


def test_broken_pairs_are_named_and_the_others_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_plain(tmp_path / "pets", drawn())
    expected = broken(folder)
    report = run(folder, tmp_path / "seen")
    assert (report["photos"], report["breeds"]) == (1, {"pug": 1})
    assert list(report["broken"]) == list(expected)
    for name, message in expected.items():
        assert message in report["broken"][name]
    assert "photos 1  breeds 1  broken 3" in capsys.readouterr().out


def test_nothing_to_explore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_plain(tmp_path / "pets", drawn())
    broken(folder)
    (folder / "masks/pug_2.png").unlink()
    with pytest.raises(ImageError, match=r"no photo can be used; Bombay_1: .* holds the label 7"):
        measure_all(read_pairs(folder), 16)
    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path / "nowhere"), "--output", str(tmp_path / "seen")])
    assert exit_.value.code == 1
    assert "cannot explore" in (error := capsys.readouterr().err)
    assert "nowhere holds no photos with masks" in error
    assert not (tmp_path / "seen").exists()


def colour_share(path: Path, red: int, green: int, blue: int) -> float:
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return float((np.abs(pixels - (red, green, blue)).max(2) < 3).mean())


def test_pictures(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "seen", "--size", "20")
    pictures = {path.stem: path for path in (tmp_path / "seen").glob("*.png")}
    assert sorted(pictures) == ["breeds", "oddities", "pixels", "sizes"]
    orange, blue = (255, 127, 14), (31, 119, 180)
    cats, dogs = (colour_share(pictures["breeds"], *colour) for colour in (orange, blue))
    assert cats > 0.01
    assert dogs == pytest.approx(cats, rel=0.1)  # one photo of each
    assert colour_share(pictures["sizes"], *blue) > 0.01
    assert colour_share(pictures["pixels"], 222, 222, 222) > 0.05  # padding, a quarter transparent
    assert 1e-4 < colour_share(pictures["oddities"], 255, 0, 0) < 0.02  # the cross at the ring's centre
    assert not plt.get_fignums()


def test_no_picture_of_oddities_without_any(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "pets", {"Bombay_1": drawn()["Bombay_1"]})
    run(folder, tmp_path / "seen")
    assert not (tmp_path / "seen/oddities.png").exists()


@pytest.mark.data
def test_species_and_breeds_of_real_photos() -> None:
    if not OXFORD.is_dir():
        pytest.skip(f"{OXFORD} is not here: the photos are not part of the repository")
    rows = [line.split() for line in (OXFORD / "annotations/list.txt").read_text().splitlines()]
    listed = {row[0]: ("", "cat", "dog")[int(row[2])] for row in rows if not row[0].startswith("#")}
    pairs: list[Pair] = read_pairs(OXFORD, "trainval")[::12]
    facts, wrong = measure_all(pairs, 128)
    assert wrong == {}
    assert [fact.species for fact in facts] == [listed[pair.name] for pair in pairs]
    report = summarise(facts)
    assert report["sizes"]["width"]["max"] <= 640
    assert sum(row["pixels"] for row in report["pixels"]["model"].values()) == len(pairs) * 128**2
