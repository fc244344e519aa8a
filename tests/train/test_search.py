"""Searches over tiny runs on drawn photos."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.support.launching import ROOT, inline, write_toml
from train import search
from train.config import Config
from train.loops.base import Trainer
from train.search_space import SearchConfig, SpaceError, load_space

MakeSpace = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("without_plots")

RATE = {"optim.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
GRID = {
    "optim.learning_rate": {"type": "categorical", "choices": [1e-2, 1e-3]},
    "model.width": {"type": "int", "low": 2, "high": 6, "step": 2},
}
SCORES = "optim.max_norm"
"""A field that `scripted` trials take their score from."""


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def make_space(make_config: Callable[..., Config], tmp_path: Path) -> MakeSpace:
    """The file of a search over the tiny run, two epochs a trial; arguments replace its fields."""
    write_toml(make_config(optim={"epochs": 2}), tmp_path / "base.toml")

    def make(**fields: Any) -> Path:
        document = {
            "name": "tiny-search",
            "config": str(tmp_path / "base.toml"),
            "output": str(tmp_path / "search"),
            "sampler": "tpe",
            "trials": 3,
            "space": RATE,
        }
        path = tmp_path / "space.toml"
        lines = []
        for key, value in (document | fields).items():
            if isinstance(value, dict):
                value = {f'"{name}"': inner for name, inner in value.items()}
            lines.append(f"{key} = {inline(value)}")
        path.write_text("\n".join(lines))
        return path

    return make


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs that train nothing and score 1 / (field `SCORES`), the same in every epoch."""

    def validate(trainer: Trainer) -> dict[str, float]:
        score = 1 / trainer.config.optim.max_norm
        return {"val_loss": 1.0, "val_miou": score, "val_accuracy": 1.0, "learning_rate": 0.0}

    monkeypatch.setattr(Trainer, "_train_epoch", lambda trainer, epoch: 1.0)
    monkeypatch.setattr(Trainer, "_validate", validate)


def parameters(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def rows(space: SearchConfig) -> list[dict[str, str]]:
    with (space.folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_grid_is_searched_once_from_end_to_end(
    make_space: MakeSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command, with real training: every point once, a folder each, table, CSV and plots."""
    path = make_space(sampler="grid", trials=0, space=GRID)
    search.main([str(path), "--set", "optim.epochs=1"])
    space = load_space(path, ["optim.epochs=1"])
    found = {(row["optim.learning_rate"], row["model.width"]) for row in rows(space)}
    assert found == {(rate, width) for rate in ("0.01", "0.001") for width in "246"}
    assert len(rows(space)) == 6
    results = [float(row["val_miou"]) for row in rows(space)]
    assert results == sorted(results, reverse=True)
    assert {row["epochs"] for row in rows(space)} == {"1"}
    for trial in range(6):
        folder = space.trial_folder(trial)
        assert sorted(path.name for path in folder.iterdir()) == ["best", "history.csv"]
    for name in search.PLOTS:
        assert (space.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "trial 6 of 6" in said
    assert "again: accelerate launch train/train.py --config" in said
    best = rows(space)[0]
    assert f"--set 'model.width={best['model.width']}'" in said

    with pytest.raises(SystemExit, match="holds a search already: add --resume"):
        search.main([str(path), "--set", "optim.epochs=1"])
    assert len(search.search(space, resume=True).trials) == 6


@pytest.mark.usefixtures("scripted")
def test_tpe_is_decided_by_its_seed(make_space: MakeSpace, tmp_path: Path) -> None:
    def run(name: str, seed: int) -> list[dict[str, Any]]:
        space = load_space(
            make_space(
                output=str(tmp_path / name),
                seed=seed,
                startup=2,
                trials=5,
                space={SCORES: {"type": "float", "low": 1.0, "high": 9.0}},
            )
        )
        return parameters(search.search(space))

    first, again, other = run("a", 0), run("b", 0), run("c", 1)
    assert first == again
    assert first != other
    assert len({point[SCORES] for point in first}) == 5


@pytest.mark.usefixtures("scripted")
@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [{"sampler": "tpe", "startup": 2, "trials": 4}, {"sampler": "grid", "trials": 0}],
    ids=lambda fields: fields["sampler"],
)
def test_a_killed_search_goes_on_where_it_stood(
    make_space: MakeSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    fields = {**fields, "space": {SCORES: {"type": "int", "low": 1, "high": 4}}}
    unbroken = search.search(load_space(make_space(output=str(tmp_path / "whole"), **fields)))

    space = load_space(make_space(**fields))
    epochs: list[tuple[str, int]] = []
    train_epoch = Trainer._train_epoch

    def count(trainer: Trainer, epoch: int) -> float:
        epochs.append((trainer.config.folder.name, epoch))
        if len(epochs) == 4:  # the second epoch of the second trial
            raise Killed
        return train_epoch(trainer, epoch)

    monkeypatch.setattr(Trainer, "_train_epoch", count)
    with pytest.raises(Killed):
        search.search(space)
    study = search.search(space, resume=True)
    assert parameters(study) == parameters(unbroken)
    assert [trial.value for trial in study.trials] == [trial.value for trial in unbroken.trials]
    assert states(study) == [TrialState.COMPLETE] * 4
    # The second trial goes on with its second epoch; no other epoch comes twice.
    wanted = [(f"{trial:04d}", epoch) for trial in range(4) for epoch in range(2)]
    assert epochs == [*wanted[:4], *wanted[3:]]


@pytest.mark.usefixtures("scripted")
def test_a_trial_of_folds_counts_by_their_mean_and_goes_on_in_the_fold_where_it_stood(
    make_space: MakeSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[tuple[int, int]] = []

    def train_epoch(trainer: Trainer, epoch: int) -> float:
        epochs.append((trainer.config.data.fold, epoch))
        if len(epochs) == 4:  # the second epoch of the second fold
            raise Killed
        return 1.0

    figures = {"val_loss": 1.0, "val_accuracy": 1.0, "learning_rate": 0.0}
    monkeypatch.setattr(Trainer, "_train_epoch", train_epoch)
    monkeypatch.setattr(
        Trainer,
        "_validate",
        lambda trainer: figures | {"val_miou": 0.2 + 0.4 * trainer.config.data.fold + 0.1 * len(epochs)},
    )
    space = load_space(make_space(trials=1, folds=2, sampler="grid", space={SCORES: GRID["model.width"]}))
    with pytest.raises(Killed):
        search.search(space)
    study = search.search(space, resume=True)
    assert epochs == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 1)]
    assert study.trials[0].value == pytest.approx((0.4 + 1.1) / 2)
    assert sorted(study.trials[0].intermediate_values) == [1, 2, 3, 4]
    folder = space.trial_folder(0)
    assert sorted(path.name for path in folder.iterdir()) == ["fold-0", "fold-1"]
    assert not list(folder.rglob("state"))


@pytest.mark.usefixtures("scripted")
def test_more_trials_may_be_asked_for_later(make_space: MakeSpace) -> None:
    space = {SCORES: {"type": "int", "low": 1, "high": 5}}
    for sampler, count in (("grid", 2), ("grid", 4)):
        study = search.search(
            load_space(make_space(sampler=sampler, trials=count, space=space)), resume=count == 4
        )
        assert len(study.trials) == count
    assert len({trial.params[SCORES] for trial in study.trials}) == 4


@pytest.mark.usefixtures("scripted")
def test_a_trial_below_the_median_is_pruned(make_space: MakeSpace) -> None:
    space = load_space(
        make_space(
            sampler="grid",
            trials=0,
            overrides=["optim.epochs=4"],
            pruning={"startup": 2, "warmup": 1},
            space={SCORES: {"type": "categorical", "choices": [1.0, 2.0, 4.0, 8.0]}},
            seed=1,
        )
    )
    order = [point[SCORES] for point in space.grid()]
    study = search.search(space)
    for index, trial in enumerate(study.trials):
        better = [field for field in order[:index] if trial.params[SCORES] > field]
        ended = [other for other in study.trials[:index] if other.state == TrialState.COMPLETE]
        pruned = len(ended) >= 2 and len(better) > len(ended) / 2
        assert trial.state == (TrialState.PRUNED if pruned else TrialState.COMPLETE)
        # The first epoch is the warm-up, so that the second is the first that can be the last.
        assert trial.last_step == (2 if pruned else 4)
    assert TrialState.PRUNED in states(study)
    assert {row["state"] for row in rows(space)} == {"complete", "pruned"}


@pytest.mark.usefixtures("scripted")
def test_a_failed_trial_is_recorded_and_not_repeated(
    make_space: MakeSpace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[int] = []
    fit = Trainer.fit

    def fit_or_fail(trainer: Trainer, **options: Any) -> list[dict[str, float]]:
        width = trainer.config.model.width  # type: ignore[union-attr]
        started.append(width)
        if width == 4:
            raise FloatingPointError("loss is nan\nin epoch 1")
        return fit(trainer, **options)

    monkeypatch.setattr(Trainer, "fit", fit_or_fail)
    space = load_space(make_space(sampler="grid", trials=0, space={"model.width": GRID["model.width"]}))
    search.search(space)
    search.search(space, resume=True)
    assert sorted(started) == [2, 4, 6]
    failed = rows(space)[-1]
    error = "FloatingPointError: loss is nan\nin epoch 1"
    assert (failed["state"], failed["val_miou"], failed["model.width"], failed["error"]) == (
        "fail",
        "",
        "4",
        error,
    )
    text = (space.trial_folder(int(failed["trial"])) / "error.txt").read_text()
    assert text.startswith("Traceback")
    assert "failed: FloatingPointError: loss is nan" in capsys.readouterr().out


def test_a_search_without_any_result_says_so(make_space: MakeSpace) -> None:
    path = make_space(overrides=["data.root=/nowhere"])
    with pytest.raises(SystemExit, match=r"no trial of 3 gave a result: see .*trials\.csv"):
        search.main([str(path)])
    space = load_space(path)
    assert all("nowhere" in row["error"] for row in rows(space))


@pytest.mark.usefixtures("scripted")
def test_an_unknown_metric_ends_the_search(make_space: MakeSpace) -> None:
    with pytest.raises(SystemExit, match=r"'val_iou' is not among the figures of an epoch: epoch, loss"):
        search.main([str(make_space(metric="val_iou"))])


@pytest.mark.usefixtures("scripted")
def test_the_best_epoch_counts_in_either_direction(
    make_space: MakeSpace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = {"val_loss": 0.0, "val_miou": 0.5, "val_accuracy": 0.5, "learning_rate": 0.1}
    losses = [0.3, 0.2, float("nan"), 0.4]
    monkeypatch.setattr(
        Trainer, "_validate", lambda trainer: figures | {"val_loss": losses[trainer.progress.epoch]}
    )
    for direction, best in (("minimize", 0.2), ("maximize", 0.4)):
        fields = {"metric": "val_loss", "direction": direction, "output": str(tmp_path / direction)}
        study = search.search(load_space(make_space(trials=1, overrides=["optim.epochs=4"], **fields)))
        assert study.best_value == best


def test_another_space_is_no_continuation(make_space: MakeSpace, tmp_path: Path) -> None:
    search.open_study(load_space(make_space()), resume=False)
    for changed in ({"seed": 1}, {"overrides": ["optim.epochs=3"]}, {"space": GRID}):
        with pytest.raises(SpaceError, match=f"began with another {next(iter(changed))}: put it back"):
            search.open_study(load_space(make_space(**changed)), resume=True)
    (tmp_path / "base.toml").write_text((tmp_path / "base.toml").read_text().replace("0.01", "0.02"))
    with pytest.raises(SpaceError, match="began with another config"):
        search.open_study(load_space(make_space()), resume=True)


@pytest.mark.parametrize("name", ["trials.csv", "history.png"])
def test_a_file_that_is_not_the_searchs_own_stays(make_space: MakeSpace, tmp_path: Path, name: str) -> None:
    """It is refused before the first trial."""
    other = tmp_path / "search" / name
    other.parent.mkdir()
    other.write_bytes(b"somebody's")
    with pytest.raises(SystemExit, match=f"{name}' is there and no result of petseg's"):
        search.main([str(make_space())])
    assert [path.read_bytes() for path in other.parent.iterdir()] == [b"somebody's"]


def test_nothing_to_resume(make_space: MakeSpace) -> None:
    with pytest.raises(SystemExit, match=r"nothing to resume in .*search: start without --resume"):
        search.main([str(make_space()), "--resume"])


def number(kind: str = "float", **fields: Any) -> dict[str, Any]:
    return {"optim.learning_rate": {"type": kind, "low": 0.1, "high": 0.2, **fields}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sampler": "random"}, "'grid' or 'tpe'"),
        ({"trails": 3}, "trails"),
        ({"trials": 0}, 'say how many; only a "grid" ends by itself'),
        ({"space": {}}, "at least 1 item"),
        ({"space": {"optim.learning_rate": {"low": 1}}}, "discriminator 'type'"),
        ({"space": number("integer")}, "integer"),
        ({"space": number(low=0.3)}, r"low 0\.3 is above high 0\.2"),
        ({"space": number(log=True, step=0.1)}, "there must be no step"),
        ({"space": number(log=True, low=0.0)}, "low must be above 0"),
        ({"space": number("int")}, "an int range needs whole numbers"),
        ({"space": {"optim.learning_rate": {"type": "categorical", "choices": []}}}, "at least 1 item"),
        ({"space": {"optim.epochs": {"type": "categorical", "choices": [1, 1]}}}, "one of them comes twice"),
        ({"sampler": "grid", "space": RATE}, r"optim\.learning_rate: a grid needs choices or a step"),
        (
            {"space": {"optim.learning_rat": RATE["optim.learning_rate"]}},
            r"optim\.learning_rat = 0\.0001 does",
        ),
        (
            {"space": {"optim.ema": {"type": "float", "low": 0.5, "high": 1.0}}},
            r"optim\.ema = 1\.0 does not fit",
        ),
        (
            {"space": {"loss.name": {"type": "categorical", "choices": ["dice", "dise"]}}},
            'loss.name = "dise"',
        ),
        ({"space": {"output": {"type": "categorical", "choices": ["a", "b"]}}}, "are given by the search"),
        ({"space": {"optim": {"epochs": {"type": "int"}}}}, r'in quotes: "optim\.epochs" = '),
        ({"folds": 1}, "leaves nothing to train on"),
        ({"folds": 2, "pruning": {"startup": 2}}, "pruning: a trial that is trained on folds"),
        ({"folds": 2, "space": {"data.fold": {"type": "int", "low": 0, "high": 1}}}, "given by folds"),
        ({"overrides": ["optim.epochs"]}, r"must look like optim\.epochs=10"),
    ],
)
def test_a_bad_space_is_explained(make_space: MakeSpace, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=rf"space\.toml: [^Z]*{said}"):
        load_space(make_space(**fields))


def test_missing_files(make_space: MakeSpace, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        load_space(tmp_path / "nowhere.toml")
    with pytest.raises(FileNotFoundError, match=r"its base config: there is no config .elsewhere\.toml"):
        load_space(make_space(config="elsewhere.toml"))
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(SpaceError, match=r"broken\.toml. is no TOML"):
        load_space(tmp_path / "broken.toml")


def test_steps_of_a_grid_are_the_numbers_that_were_meant(make_space: MakeSpace) -> None:
    space = load_space(
        make_space(
            sampler="grid", space={"augment.flip": {"type": "float", "low": 0.1, "high": 0.45, "step": 0.1}}
        )
    )
    assert space.space["augment.flip"].values() == [0.1, 0.2, 0.3, 0.4]
    assert space.count == 3


@pytest.mark.parametrize(
    "path", sorted((ROOT / "train/configs/searches").glob("*.toml")), ids=lambda p: p.stem
)
def test_ready_searches_fit_their_configs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    space = load_space(path)
    assert space.count > 0
    if path.stem == "study_e":
        assert len({tuple(point.values()) for point in space.grid()}) == space.count == 72
        best = (0.01, 0.0, 32, 100, "dice")  # the study's, table 1
        assert best in [tuple(point.values()) for point in space.grid()]
        configs = space.trial_configs(space.grid()[0], Path("x"))
        assert [(config.data.folds, config.data.fold) for config in configs] == [(2, 0), (2, 1)]
        for config in configs:
            assert (config.data.size, config.data.share, config.data.labels) == (48, 0.2, "trimap")
