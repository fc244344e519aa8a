import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from petseg.measure.metrics import confusion_matrix, iou, mean
from tests.support.trainers import scripted, weights_of
from train.checkpoint import load_checkpoint
from train.config import Config, OptimConfig
from train.loops.average import ema_with_warmup
from train.loops.base import parameter_groups
from train.loops.photos import PhotoTrainer
from train.loops.progress import Progress, write_history
from train.losses import cross_entropy
from train.report.plots import plot_history

MakeConfig = Callable[..., Config]
pytestmark = pytest.mark.usefixtures("without_plots")


def test_learns_the_drawn_photos(make_config: MakeConfig) -> None:
    config = make_config(optim={"epochs": 10, "learning_rate": 2e-2}, augment={"flip": 0})
    history = PhotoTrainer(config).fit()
    losses, scores = ([row[key] for row in history] for key in ("loss", "val_miou"))
    assert len(history) == 10
    assert losses[-1] < 0.6 * losses[0]
    assert history[-1]["val_loss"] < 0.75 * history[0]["val_loss"]
    # All background, the most frequent answer, gives less than 0.3.
    assert scores[-1] > 0.75
    assert history[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)


def test_validation_figures_are_those_of_the_averaged_model(make_config: MakeConfig) -> None:
    trainer = PhotoTrainer(make_config(optim={"epochs": 1, "batch_size": 3}))
    row = trainer.fit()[-1]
    model, config = load_checkpoint(trainer.config.folder / "best")
    assert config == trainer.config
    counts = np.zeros((3, 3), np.int64)
    losses = []
    with torch.inference_mode():
        for image, labels, _ in trainer.valid_loader:
            logits = model(image)
            losses.append(trainer.loss(logits, labels).item())
            counts += confusion_matrix(labels.numpy(), logits.argmax(1).numpy())
    assert counts.sum() == 8 * 32 * 32  # 8 photos, a batch of 3 twice and one of 2
    assert row["val_miou"] == mean(iou(counts))
    assert row["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_what_a_run_leaves_behind(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.loops.base.plot_history", plot_history)
    config = make_config()
    history = PhotoTrainer(config).fit()
    folder = config.folder
    assert sorted(path.name for path in folder.iterdir()) == ["best", "history.csv", "history.png", "state"]
    assert sorted(path.name for path in (folder / "best").iterdir()) == [
        "config.json",
        "history.csv",
        "model.safetensors",
    ]
    with (folder / "history.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert rows == history
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert (folder / "best/history.csv").read_text() == (folder / "history.csv").read_text()
    with Image.open(folder / "history.png") as plot:
        plot.load()
        assert plot.format == "PNG"
        assert min(plot.size) > 200


def test_accumulation_equals_the_larger_batch(
    make_config: MakeConfig, new_process: Callable[[], None]
) -> None:
    results = []
    for batch_size, accumulate in ((4, 1), (2, 2), (1, 4)):
        new_process()
        trainer = PhotoTrainer(
            make_config(
                output=f"{make_config().output}{batch_size}",
                model={"norm": "group"},
                optim={
                    "batch_size": batch_size,
                    "accumulate": accumulate,
                    "epochs": 2,
                    "learning_rate": 1e-3,
                },
                loss={"name": "cross_entropy"},
            )
        )
        history = trainer.fit()
        results.append((history[-1], {k: v for k, v in weights_of(trainer).items() if k.startswith("own")}))
    (row, state), *others = results
    for other_row, other_state in others:
        assert other_row == pytest.approx(row, rel=1e-3)
        for name, tensor in state.items():
            torch.testing.assert_close(other_state[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("accumulate", [1, 3, 4, 100])
def test_schedule_warms_up_and_ends_at_zero(make_config: MakeConfig, accumulate: int) -> None:
    config = make_config(
        optim={"accumulate": accumulate, "epochs": 3, "learning_rate": 0.1, "warmup_epochs": 1}
    )
    trainer = PhotoTrainer(config)
    rates: list[float] = []
    optimizer = trainer.optimizer.optimizer
    optimizer.register_step_pre_hook(lambda *_: rates.append(optimizer.param_groups[-1]["lr"]))
    trainer.fit()
    steps = -(-4 // accumulate)
    assert len(rates) == 3 * steps
    assert rates[0] == 0
    assert max(rates) == rates[steps] == pytest.approx(0.1)
    assert all(high > low for high, low in zip(rates[steps:], rates[steps + 1 :], strict=False))
    assert trainer.schedule.get_last_lr()[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "epochs"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 2, 0.0, 6),
        ([0.5, 0.4, 0.4, 0.9, 0.9, 0.9], 2, 0.0, 3),
        ([0.5, 0.4, 0.6, 0.6, 0.6, 0.9], 2, 0.0, 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 0, 0.0, 6),
        ([0.5, 0.505, 0.509, 0.9, 0.9, 0.9], 2, 0.01, 3),
        # Each gain is small, two together are not.
        ([0.5, 0.508, 0.516, 0.524, 0.532, 0.54], 2, 0.01, 6),
    ],
)
def test_early_stopping(
    make_config: MakeConfig, scores: list[float], patience: int, min_delta: float, epochs: int
) -> None:
    config = make_config(optim={"epochs": 6, "patience": patience, "min_delta": min_delta})
    history = scripted(config, scores).fit()
    assert [row["val_miou"] for row in history] == scores[:epochs]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_best_checkpoint_is_that_of_the_best_epoch(make_config: MakeConfig, ema: float) -> None:
    config = make_config(optim={"epochs": 4, "ema": ema})
    scripted(config, [0.3, 0.7, 0.7, 0.6]).fit()
    model, _ = load_checkpoint(config.folder / "best")
    assert model.head.bias.tolist() == [2.0, 2.0, 2.0]  # type: ignore[operator, union-attr]
    with (config.folder / "best/history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4


def test_nan_names_the_photos_of_its_batch(make_config: MakeConfig) -> None:
    trainer = PhotoTrainer(make_config())
    trainer.train_loader.set_epoch(0)
    batches = [names for _, _, names in trainer.train_loader]
    calls = 0

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return logits.sum() * (float("nan") if calls == 3 else 1e-6)

    trainer.loss = loss
    before = weights_of(trainer)["own.head.weight"].clone()
    expected = rf"loss is nan in epoch 1 on the batch {', '.join(batches[2])}$"
    with pytest.raises(FloatingPointError, match=expected):
        trainer.fit()
    assert calls == 3
    after = weights_of(trainer)["own.head.weight"]
    assert after.isfinite().all()
    assert not torch.equal(before, after)
    assert not trainer.config.folder.joinpath("best").exists()


def test_the_data_set_learns_its_epoch_from_the_loop(make_config: MakeConfig) -> None:
    """With several processes Accelerate tells the epoch to the sampler only."""
    trainer = PhotoTrainer(make_config())
    trainer.train_loader.set_epoch = lambda epoch: None
    trainer._train_epoch(5)
    assert trainer.train_loader.dataset.epoch == 5


def test_seed_decides_about_start_and_order(make_config: MakeConfig, new_process: Callable[[], None]) -> None:
    def first(seed: int) -> tuple[list[list[str]], Tensor]:
        new_process()
        trainer = PhotoTrainer(make_config(seed=seed))
        trainer.train_loader.set_epoch(0)
        return [names for _, _, names in trainer.train_loader], weights_of(trainer)["own.head.weight"]

    (order, weight), (order_again, weight_again), (order_other, weight_other) = map(first, (1, 1, 2))
    assert order == order_again
    assert torch.equal(weight, weight_again)
    assert order != order_other
    assert not torch.equal(weight, weight_other)


def test_fine_tuning_starts_from_a_checkpoint(
    make_config: MakeConfig, new_process: Callable[[], None]
) -> None:
    first = make_config(optim={"epochs": 1})
    PhotoTrainer(first).fit()
    new_process()
    second = make_config(start=str(first.folder / "best"), output=f"{first.output}2", seed=9)
    start = load_file(first.folder / "best/model.safetensors")
    for name, tensor in PhotoTrainer(second).model.state_dict().items():
        assert torch.equal(tensor, start[name]), name


def test_fine_tuning_needs_no_pretrained_encoder(
    make_config: MakeConfig, new_process: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("train.loops.base.load_weights", lambda model, folder: seen.append(folder))
    gone = {"encoder": "mobilenet_v2", "weights": "/nowhere/x.safetensors", "decoder": [8, 8, 8, 8]}
    PhotoTrainer(make_config(model=gone, start="checkpoint"))
    assert seen == ["checkpoint"]
    new_process()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        PhotoTrainer(make_config(model=gone))


def test_mixed_precision_keeps_the_averaged_model_apart(make_config: MakeConfig) -> None:
    """Accelerate wraps `forward`; the copy for the average must not go on calling the original."""
    trainer = PhotoTrainer(make_config(optim={"mixed_precision": "bf16", "epochs": 1}))
    trainer.fit()
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    average = trainer.averaged_model.eval()
    with torch.no_grad():
        before = average(image)
        for parameter in trainer.model.parameters():
            parameter.zero_()
        torch.testing.assert_close(average(image), before)
        assert before.abs().sum() > 0
    assert before.dtype == torch.float32


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_averaged_model(make_config: MakeConfig, ema: float) -> None:
    trainer = PhotoTrainer(make_config(optim={"ema": ema, "epochs": 1}))
    trainer.fit()
    own = trainer.accelerator.unwrap_model(trainer.model)
    assert (trainer.averaged_model is own) == (ema == 0)
    if ema:
        assert int(trainer.average.n_averaged) == 4
        averaged = trainer.averaged_model.state_dict()
        for name, tensor in own.state_dict().items():
            # Statistics of the normalisations are averaged like weights.
            if name.endswith(("weight", "running_mean")):
                assert not torch.equal(averaged[name], tensor), name


def test_moving_average_by_hand() -> None:
    update = ema_with_warmup(0.5)
    averaged = [torch.tensor([1.0]), torch.tensor([10.0])]
    update(averaged, [torch.tensor([2.0]), torch.tensor([20.0])], torch.tensor(1))  # decay 2/11
    torch.testing.assert_close(averaged, [torch.tensor([20 / 11]), torch.tensor([200 / 11])])
    averaged = [torch.tensor([1.0])]
    update(averaged, [torch.tensor([2.0])], torch.tensor(1000))  # decay 0.5
    torch.testing.assert_close(averaged, [torch.tensor([1.5])])


def test_groups_of_parameters() -> None:
    model = nn.ModuleDict(
        {"encoder": nn.Conv2d(1, 2, 1), "head": nn.Conv2d(2, 3, 1), "frozen": nn.Linear(1, 1)}
    )
    model["frozen"].requires_grad_(False)
    groups = parameter_groups(model, OptimConfig(learning_rate=0.1, encoder_scale=0.5, weight_decay=0.01))
    found = {
        (group["lr"], group["weight_decay"]): {id(parameter) for parameter in group["params"]}
        for group in groups
    }
    assert found == {
        (0.05, 0.01): {id(model["encoder"].weight)},
        (0.05, 0.0): {id(model["encoder"].bias)},
        (0.1, 0.01): {id(model["head"].weight)},
        (0.1, 0.0): {id(model["head"].bias)},
    }


def test_progress_of_an_older_state_is_understood() -> None:
    """Runs begun before `reference` was kept can still be resumed."""
    progress = Progress()
    progress.load_state_dict({"history": [{"val_miou": 0.5}], "best": 0.5, "stale": 0})
    assert progress.epoch == 1
    assert not progress.record({"val_miou": 0.5}, 0.0)
    assert (progress.best, progress.stale) == (0.5, 1)


def test_a_score_that_is_no_number_is_no_improvement() -> None:
    progress = Progress()
    assert not progress.record({"val_miou": float("nan")}, 0.0)
    assert progress.stale == 1
    assert progress.record({"val_miou": 0.1}, 0.0)


def test_history_file(tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", [{"epoch": 1, "loss": 0.25}, {"epoch": 2, "loss": 1 / 3}])
    assert (tmp_path / "h.csv").read_text() == f"epoch,loss\n1,0.25\n2,{1 / 3!r}\n"


def test_no_validation_photos(make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match="no validation photos: set `validation`"):
        PhotoTrainer(make_config(data={"sources": [{"path": "pets"}]}))


def test_fewer_photos_than_a_batch_come_more_often(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = PhotoTrainer(make_config(optim={"batch_size": 17, "epochs": 1}))
    assert "16 photos do not fill a batch: each comes 2 times" in capsys.readouterr().out
    assert len(trainer.train_loader.dataset) == 32
    assert len(trainer.fit()) == 1


def test_a_size_that_does_not_fit_is_refused_before_photos_are_read(make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match="stride 4; the nearest size that does is 32 x 32"):
        PhotoTrainer(make_config(data={"size": 34, "root": "/nowhere"}))


def test_loss_of_a_step_is_that_of_the_config(make_config: MakeConfig) -> None:
    trainer = PhotoTrainer(make_config(loss={"name": "cross_entropy"}))
    batch = image, labels, _ = next(iter(trainer.train_loader))
    trainer.model.eval()
    expected = cross_entropy(trainer.model(image), labels)
    torch.testing.assert_close(trainer.step_loss(batch), expected)
