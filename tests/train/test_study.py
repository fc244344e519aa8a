"""The published studies re-run, tiny, on drawn photos in the Oxford layout."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from petseg.measure import report_file
from petseg.measure.perturbations import PERTURBATIONS
from tests.support.drawing import draw_labels, write_oxford
from tests.support.launching import ROOT
from train import study
from train.checkpoint import save_checkpoint
from train.config import OXFORD, Config, load_config
from train.loops.base import Trainer
from train.models import build
from train.studies import hours
from train.studies.page import page
from train.studies.results import CLICKED, kind_of, rows
from train.studies.scale import LETTERS, ScaleConfig, config_paths, load_scale, scaled

WORDS = ("a", "image", "of", "cat", "dog", "background")
VALUES = {
    "data.size": 32,
    "data.cache_side": 32,
    "data.workers": 0,
    "data.sources.0.repeat": 1,
    "data.sources.0.validation": 0.25,
    "optim.epochs": 2,
    "optim.batch_size": 4,
    "prompting.photos": 8,
}
NARROW = {
    "d_unet": {"model.width": 4, "model.depth": 2},
    "d_prompt": {"model.width": 4, "model.depth": 2, "model.heat": [4, 8]},
    "d_autoencoder": {
        "model.widths": [4] * 5,
        "model.segmentation.widths": [4] * 4,
        "reconstruction.epochs": 1,
        "reconstruction.batch_size": 4,
    },
    "e_unet": {"model.width": 4, "model.depth": 2},
    "e_fast_unet": {"model.width": 4, "model.depth": 2},
}
Captured = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("without_plots")


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the command at a tiny scale; its document."""
    monkeypatch.setattr("train.study.hours.hours", lambda config, teraflops: 1.5)
    masks = {f"{('Bengal', 'beagle')[i % 2]}_{i}": draw_labels(i, 48, 48) for i in range(12)}
    for split in ("trainval", "test"):
        write_oxford(tmp_path / "data" / OXFORD, masks, split)
    monkeypatch.setenv("PETSEG_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    text = {"family": "contrastive", "embedding": 8, "width": 8, "layers": 1, "heads": 2, "length": 8}
    dual = Config.model_validate(
        {"name": "dual", "data": {"sources": []}, "model": text | {"vocabulary": list(WORDS)}}
    )
    save_checkpoint(tmp_path / "dual", build(dual.model), dual)
    stand_in: dict[str, Any] = {"model.backend": "dual", "model.encoder": "dual", "model.maps": [0]}
    stand_in["model.architecture"] = {"family": "contrastive"}

    def run(which: str, **changes: Any) -> dict[str, Any]:
        scale = {"name": "tiny", "words": "Tiny.", "values": VALUES, "stand_in": stand_in, "models": NARROW}
        scale |= {"photos": 4, "robustness_photos": 1, "animals": 2, "max_clicks": 3, "worst": 1} | changes
        lines = [f"{key} = {_toml(value)}" for key, value in scale.items()]
        Path("tiny.toml").write_text("\n".join(lines))
        study.main([which, "--scale", "tiny.toml"])
        return dict(report_file.read(Path("runs/studies-tiny/studies.json")))

    return run


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def test_a_study_from_its_recipes_to_the_page(
    begin: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = begin("D")
    models = document["models"]
    assert list(models) == ["d_autoencoder", "d_clip", "d_prompt", "d_unet"]
    assert [model["measured_by"] for model in models.values()] == ["photos", "photos", "clicks", "photos"]
    for name, model in models.items():
        assert model["failure"] is None
        assert model["trained"] == {"epochs": 2, "photos": 8, "validated_on": 4}
        assert all(0 <= row["ours"] <= 1 for row in model["rows"])
        assert model["scale"]["data.size"] == [load_config(ROOT / _config(name)).data.size, 32]
        assert model["hours_at_full_scale"] == 1.5
    clicked = [name for name, model in models.items() if "prompting.photos" in model["scale"]]
    assert clicked == ["d_prompt"]
    assert models["d_unet"]["figures"]["photos"] == 4
    assert len(models["d_unet"]["figures"]["hardest"]) == 1
    assert models["d_prompt"]["figures"]["animals"] == 2
    assert models["d_prompt"]["robustness"] is None
    written = Path("runs/studies-tiny/studies.md").read_text()
    assert written == page(document)
    _check_pairs(written, document)
    pictures = {path.name for path in Path("runs/studies-tiny").rglob("*.png")}
    assert pictures >= {"roc.png", "confusion.png", "examples.png", "robustness.png", "clicks.png"}
    assert not list(Path("runs/studies-tiny").rglob("state"))

    def refuse(*arguments: object) -> None:
        raise AssertionError("nothing is left to do")

    for target in ("trainer_class", "evaluate.main", "robustness.main", "hours.hours"):
        monkeypatch.setattr(f"train.study.{target}", refuse)
    assert begin("D") == document


def _config(name: str) -> str:
    return f"train/configs/studies/{name}.toml"


def _check_pairs(written: str, document: dict[str, Any]) -> None:
    """All of study D's pairs stand on the page, and ours below each row."""
    curves = document["models"]["d_unet"]["robustness"]
    for source in (document["published"], curves):
        for level in range(10):
            cells = (
                f"{source[k]['miou'][level]:.3f} / {source[k]['mean_dice'][level]:.3f}" for k in PERTURBATIONS
            )
            assert f"| {' | '.join(cells)} |" in written
    assert "| 10 | 0.699 / 0.813 |" in written


def test_a_stopped_run_goes_on(
    begin: Callable[..., dict[str, Any]],
    new_process: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after the first epoch of the second model, then while it measures."""
    save, saved = Trainer._save_state, []

    def save_and_die(trainer: Trainer[Any]) -> None:
        save(trainer)
        saved.append(trainer.config.name)
        if len(saved) == 3:
            raise Killed

    monkeypatch.setattr(Trainer, "_save_state", save_and_die)
    with pytest.raises(Killed):
        begin("E")
    assert saved == ["study-e-fast-unet"] * 2 + ["study-e-unet"]
    new_process()

    def die(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("train.study.evaluate.main", die)
        with pytest.raises(Killed):
            begin("E")
    assert saved[3:] == ["study-e-unet"], "one epoch was left"
    document = begin("E")
    assert saved[4:] == []
    assert [model["trained"]["epochs"] for model in document["models"].values()] == [2, 2]
    assert 0 <= document["models"]["e_fast_unet"]["rows"][0]["ours"] <= 1
    assert "trimap_miou" in document["models"]["e_unet"]["figures"]
    written = Path("runs/studies-tiny/studies.md").read_text()
    assert "| `e_unet` | trimap_miou | none |" in written
    assert "ours, tiny" in written


def test_figures_of_another_recipe_are_not_passed_off(
    begin: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    before = begin("E")["models"]

    def changed(path: Path, scale: ScaleConfig, run: Path) -> Config:
        config = scaled(path, scale, run)
        optim = config.optim.model_copy(update={"epochs": 1})
        return config.model_copy(update={"optim": optim}) if path.stem == "e_unet" else config

    monkeypatch.setattr(study, "scaled", changed)
    with pytest.raises(SystemExit):
        begin("E")
    run = Path("runs/studies-tiny/e_unet")
    assert f"e_unet: ValueError: {run} was begun with another optim: remove it" in capsys.readouterr().err
    shutil.rmtree(run)
    after = begin("E")["models"]
    assert after["e_unet"]["trained"]["epochs"] == 1
    # Measured again, since the report knows a model of the same name that is no more.
    assert after["e_unet"]["figures"]["trimap_miou"] != before["e_unet"]["figures"]["trimap_miou"]
    assert after["e_fast_unet"]["trained"] == before["e_fast_unet"]["trained"]


def test_a_model_that_fails_is_named_and_the_others_go_on(
    begin: Callable[..., dict[str, Any]], capsys: Captured
) -> None:
    with pytest.raises(SystemExit) as stopped:
        begin("E", models=NARROW | {"e_fast_unet": {"model.depth": 6}})
    assert stopped.value.code == 1
    assert (
        "e_fast_unet: ValueError: photo of 32 x 32 does not fit a model of stride 64"
        in capsys.readouterr().err
    )
    models = report_file.read(Path("runs/studies-tiny/studies.json"))["models"]
    assert models["e_fast_unet"]["trained"] is None
    assert models["e_unet"]["figures"]
    assert "| `e_fast_unet` | - | - | not measured | ValueError: photo of 32" in page(
        report_file.read(Path("runs/studies-tiny/studies.json"))
    )
    Path("mine.md").write_text("mine")
    with pytest.raises(SystemExit):
        study.main(["E", "--scale", "tiny.toml", "--page", "mine.md"])
    assert "mine.md is no page of this command's" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        begin("E")
    assert "holds a re-run at another scale: give another --output" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["trial", "full"])
def test_every_config_is_one_at_every_scale(name: str) -> None:
    scale = load_scale(name)
    paths = config_paths(LETTERS)
    assert len(paths) == 19
    configs = {path.stem: scaled(path, scale, Path("runs") / path.stem) for path in paths}
    if name == "trial":
        assert {config.optim.epochs for config in configs.values()} != {load_config(paths[0]).optim.epochs}
        assert not any("openai" in str(getattr(c.model, "encoder", "")) for c in configs.values())
    else:
        own = {path.stem: load_config(path) for path in paths}
        assert all(c.model_copy(update={"output": ""}) == own[n] for n, c in configs.items())


def test_published_figures_meet_those_nearest_to_them() -> None:
    unet = load_config(ROOT / _config("d_unet"))
    assert unet.study is not None
    figures = {"miou": 0.5, "iou": {"background": 0.9, "cat": 0.3, "dog": 0.2}}
    found = {row["figure"]: row["ours"] for row in rows(unet.study, kind_of(unet), figures)}
    assert found == {"miou": 0.5, "iou_background": 0.9, "iou_cat": 0.3, "iou_dog": 0.2}
    prompt = load_config(ROOT / _config("a_prompt"))
    assert prompt.study is not None
    clicks = {"exact": {"iou": {"1": 0.6}}}
    assert {row["ours"] for row in rows(prompt.study, "clicks", clicks)} == {None}
    other = load_config(ROOT / _config("d_prompt"))
    assert other.study is not None
    (row,) = rows(other.study, "clicks", clicks)
    assert (row["ours"], row["as"]) == (0.6, CLICKED)
    assert rows(other.study, "clicks", None)[0]["ours"] is None


def test_hours_count_arithmetic(make_config: Callable[..., Config]) -> None:
    narrow, wide = (make_config(model={"width": width, "depth": 2}) for width in (8, 16))
    (few,), (many,) = (hours.photo_flops(config).values() for config in (narrow, wide))
    assert 3 < many / few < 4, "twice the width is nearly four times the work"
    study_c = load_config(ROOT / _config("c_unet"))
    (seen,) = hours.photos_seen(study_c).values()
    assert seen == pytest.approx(50 * 0.9 * 2 * 2492)
    once, again = (hours.hours(narrow, rate) for rate in (1.0, 2.0))
    assert once == pytest.approx(2 * again)
    stages = hours.photos_seen(load_config(ROOT / _config("c_autoencoder")))
    assert len(stages) == 2
    assert "min" in hours.table({"one": 0.5})
