import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from export import card
from export.card import check, make, names
from export.card.facts import ROOT
from export.errors import CardError
from petseg.measure.metrics import Evaluation
from petseg.measure.perturbations import PERTURBATIONS
from tests.support.tiny_models import manifest

REPORT = Evaluation().report() | {
    "photos": 305,
    "miou": 0.95678,
    "iou": {"background": 0.97, "cat": 0.95, "dog": float("nan")},
    "mean_dice": 0.9,
    "animals": 300,
    "species_confused": 4,
    "missed": 1,
    "clicks": {"iou_1": 0.91, "noc_85": 1.5},
}
WORDS = (
    'title = "tiny: a test"\nsummary = "Reddish is cat."\nlimits = ["It is tiny."]\ntrain = ["train it"]\n'
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one embedded model, evaluated and nothing else, and one without weights."""
    (tmp_path / "model_cards").mkdir()
    (tmp_path / "model_cards" / "tiny.toml").write_text(WORDS)
    unpublished = 'published = false\nhow = "With patience."\n' + WORDS.replace("tiny", "later")
    (tmp_path / "model_cards" / "later.toml").write_text(unpublished)
    (tmp_path / "model_cards" / "planned.toml").write_text(WORDS)
    files = [{"path": "tiny.onnx", "sha256": "ab" * 32, "bytes": 1_234_567}]
    metrics = {key: value for key, value in REPORT.items() if key in ("miou", "mean_dice", "photos")}
    entry = {"files": files, "manifest": manifest(metrics=metrics, training_data="Oxford-IIIT Pet (subset)")}
    write(tmp_path / "petseg" / "weights" / "index.json", {"models": {"tiny": entry}, "default": "tiny"})
    checkpoint = tmp_path / "train" / "checkpoints" / "tiny"
    write(checkpoint / "metrics.json", {"train/checkpoints/tiny": REPORT})
    sources = [{"path": "oxford-iiit-pet"}, {"path": "my-cats"}]
    config = {"data": {"sources": sources}, "model": {"family": "unet", "encoder": "mobilenet_v2"}}
    write(checkpoint / "config.json", config)
    return tmp_path


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def measure(root: Path) -> None:
    """Put the measurements there that may be missing."""
    folder = root / "train" / "checkpoints" / "tiny"
    curves = {
        kind: {"strengths": [each.strengths[0], each.strengths[-1]], "miou": [0.95, 0.7], "kept": 0.7368}
        for kind, each in PERTURBATIONS.items()
    }
    write(folder / "robustness.json", {"tiny": curves, "other": {}})
    (folder / "robustness.png").write_bytes(b"")
    latency = {
        "petseg": {"median": 12.34, "p95": 15.0},
        "peer": {"median": 17.0, "p95": 19.0},
        "ratio": 0.726,
    }
    run = {"photo": "500 x 375", "threads": 2, "rounds": 100, "machine": "A CPU, 2 cores, Linux"}
    write(folder / "speed.json", run | {"latency": latency})
    write(folder / "parity.json", {"photos": 32, "agreement": 0.99998, "max_difference": 0.0075})
    found = {"photos_per_second": {"1": 210.0, "64": 3456.7}, "equal": 0.99991}
    models = {"tiny": {"float32": found, "float16": found | {"equal": 0.9995}}}
    write(folder.parent / "gpu.json", {"card": "A card", "models": models})


def test_what_the_hub_reads(root: Path) -> None:
    data = ModelCard(make("tiny", root)).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "other",
        "petseg",
        "image-segmentation",
    )
    assert data.datasets == ["timm/oxford-iiit-pet"]
    assert [(result.metric_name, result.metric_value) for result in data.eval_results] == [
        ("mIoU", 0.9568),
        ("Dice", 0.9),
    ]
    assert {result.dataset_split for result in data.eval_results} == {"test"}


def test_sections(root: Path) -> None:
    made = make("tiny", root)
    heads = [line for line in made.splitlines() if line.startswith("#")]
    assert heads == [
        "# tiny: a test",
        "## What it is",
        "## Use",
        "## Training data and its terms",
        "## Metrics",
        "## Robustness",
        "## Speed",
        "## On a GPU",
        "## Limits",
        "### Failures seen",
        "## How to reproduce",
    ]
    for said in (
        "Reddish is cat.",
        f"| `tiny.onnx` | 1.23 MB | `{'ab' * 32}` |",
        "unet with mobilenet_v2, 12 parameters",
        'petseg.segment("photo.jpg", model="tiny")',
        "CC BY-SA 4.0",
        "| my-cats | those of its owner |",
        "for research and evaluation",
        "| mIoU | 0.9568 | mean IoU of background",
        "| cat | 0.9500 | - |",
        "| dog | - | - |",
        "| clicks.iou_1 | 0.9100 |",
        "305 photos",
        "- It is tiny.",
        "Of 300 animals of the test list: 4 with the other species, 1 not found at all.",
        "train it\npython -m train.evaluate train/checkpoints/tiny",
        "petseg/weights/tiny.onnx",
    ):
        assert said in made
    assert made.count("Not measured.") == 3, "robustness, speed, parity"
    assert "Not measured; `python -m benchmarks.gpu`" in made


def test_everything_measured(root: Path) -> None:
    measure(root)
    made = make("tiny", root)
    assert "Not measured" not in made
    for said in (
        "(../train/checkpoints/tiny/robustness.png)",
        "| Gaussian noise | 0.9500 | 18",
        "0.7000 | 73.7% |",
        "A CPU, 2 cores, Linux; petseg, in float32, takes\n0.73 times as long",
        "| 12.3 ms | 15.0 ms |",
        "99.9980% of the pixels",
        "A card, its network alone",
        "| float32 | 210 at 1, 3457 at 64 | 99.991% |",
    ):
        assert said in made


def test_int8(root: Path) -> None:
    path, folder = root / "petseg" / "weights" / "index.json", root / "train" / "checkpoints" / "tiny"
    index = json.loads(path.read_text())
    file = {"path": "tiny.int8.onnx", "sha256": "cd" * 32, "bytes": 654_321}
    index["models"]["tiny"]["int8"] = {"files": [file], "manifest": manifest(precision="int8")}
    write(path, index)
    with pytest.raises(CardError, match=r"int8\.json is missing, or not about.*export\.quantize"):
        make("tiny", root)
    report = {
        "files": {"model.int8.onnx": "cd" * 32},
        "calibration_photos": 48,
        "machine": "A CPU",
        "photos": 305,
        "float32": {"miou": 0.9},
        "int8": {"miou": 0.8975},
        "agreement": 0.9971,
        "speedup": 1.8,
        "threads": 2,
    }
    write(folder / "int8.json", report)
    made = make("tiny", root)
    for said in (
        "ONNX, in float32 and in int8.",
        f"| `tiny.int8.onnx` | 0.65 MB | `{'cd' * 32}` |",
        "In float32, on the test list",
        "## In int8",
        "48 photos of its training",
        "99.71% of the pixels",
        "1.80 times as fast, 2 threads, both in turns, on A CPU.",
        "| mIoU | 0.9000 | 0.8975 |",
        "python -m export.quantize train/checkpoints/tiny --embed --json train/checkpoints/tiny/int8.json",
    ):
        assert said in made
    del index["models"]["tiny"]["int8"]
    write(path, index)
    assert "int8" not in make("tiny", root), "of weights that are no more"


def test_a_promptable_model(root: Path) -> None:
    path = root / "petseg" / "weights" / "index.json"
    index = json.loads(path.read_text())
    index["models"]["tiny"]["manifest"] |= {"prompts": ["point", "box"]}
    write(path, index)
    made = make("tiny", root)
    assert 'petseg.segment("photo.jpg", (120, 80), model="tiny")' in made
    assert "a point or a box" in made
    assert "petseg/weights/tiny --json" in made


def test_without_weights(root: Path) -> None:
    made = make("later", root)
    assert "## No weights are published yet" in made
    assert "With patience." in made
    assert ModelCard(made).data.eval_results is None


def test_check(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--root", str(root)]
    assert names(root) == ["later", "tiny"], (
        "planned has no weights, and does not say that there will be some"
    )
    assert [problem.rsplit("/")[-1] for problem in check(root)] == [
        "later.md is missing",
        "tiny.md is missing",
    ]
    assert card.main(where) == 0
    assert card.main([*where, "--check"]) == 0
    assert "up to date: later, tiny" in capsys.readouterr().out
    (root / "model_cards" / "other.md").write_text("")
    path = root / "model_cards" / "tiny.md"
    path.write_text(path.read_text().replace("0.9568", "0.9999"))
    assert card.main([*where, "--check"]) == 1
    said = capsys.readouterr().err
    assert "tiny.md differs" in said
    assert "other.md is the card of no model" in said


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda text: text.replace("value: 0.9568", "value: 0.9999"), True),
        (lambda text: text.replace("| 0.9568 |", "| 0.9999 |"), True),
        (
            lambda text: text.replace("library_name: petseg\n", "").replace(
                "---\n", "---\nlibrary_name: petseg\n", 1
            ),
            False,
        ),
    ],
)
def test_a_card_that_was_edited(root: Path, change: Callable[[str], str], differs: bool) -> None:
    (root / "model_cards" / "later.md").write_text(make("later", root))
    (root / "model_cards" / "tiny.md").write_text(change(make("tiny", root)))
    assert bool(check(root)) == differs


def test_numbers_that_moved(root: Path) -> None:
    (root / "model_cards" / "tiny.md").write_text(make("tiny", root))
    write(root / "train" / "checkpoints" / "tiny" / "metrics.json", {"tiny": REPORT | {"mean_dice": 0.91}})
    with pytest.raises(CardError, match=r"mean_dice is 0\.9 in the model and 0\.91 in .*metrics\.json"):
        make("tiny", root)
    assert any("mean_dice" in problem for problem in check(root))


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("train/checkpoints/tiny/metrics.json", None, "is missing; measure first"),
        ("train/checkpoints/tiny/metrics.json", "{", "cannot be read"),
        ("train/checkpoints/tiny/metrics.json", "[]", "no JSON object"),
        ("train/checkpoints/tiny/metrics.json", '{"a": {}, "b": {}}', "is about a, b, not about tiny"),
        ("train/checkpoints/tiny/config.json", None, "is missing"),
        ("petseg/weights/index.json", None, "embed it"),
        ("petseg/weights/index.json", "{", r"index\.json cannot be read"),
        ("model_cards/tiny.toml", None, "cannot be read"),
        ("model_cards/tiny.toml", 'title = "only"', "needs a title and a summary"),
    ],
)
def test_sources_that_do_not_do(root: Path, file: str, content: str | None, problem: str) -> None:
    if content is None:
        (root / file).unlink()
    else:
        (root / file).write_text(content)
    with pytest.raises(CardError, match=problem):
        make("tiny", root)


def test_the_cards_of_this_repository() -> None:
    """What `.ci/run` checks as well: every card says what was measured."""
    assert check(ROOT) == []
    assert "clip" in names(ROOT)
    assert "No weights are published yet" in (ROOT / "model_cards" / "clip.md").read_text()
