"""The training loop: Accelerate, AdamW with warm-up and cosine, EMA, exact resume, best checkpoint."""

import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedType,
    ProjectConfiguration,
    broadcast,
    set_seed,
)
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup

from train.checkpoint import HISTORY, save_checkpoint, without_start
from train.config import Config, OptimConfig
from train.data.dataset import read_splits
from train.data.samples import AnySample, Sample
from train.data.sources import say, with_photos_there
from train.loops.average import Gathered, ema_with_warmup
from train.loops.pace import Pace
from train.loops.progress import SCORE, Progress, write_history
from train.losses import build_loss
from train.models import build
from train.models.family import FamilyConfig
from train.models.stored import load_weights
from train.models.unet import check_size
from train.report.plots import plot_history

BEST = "best"

OnEpoch = Callable[[dict[str, float]], None]


class Fits(Protocol):
    """A training that can be run."""

    def fit(self, resume: bool = False, on_epoch: OnEpoch | None = None) -> list[dict[str, float]]:
        """See `Trainer.fit`."""


_TRAINERS: dict[type[FamilyConfig], Callable[[Config], Fits]] = {}

Batch = TypeVar("Batch", bound=tuple[Any, ...])
"""What the loader collates of items; the names of the photos come last."""
Made = TypeVar("Made", bound=Callable[[Config], Fits])


def trains(*families: type[FamilyConfig]) -> Callable[[Made], Made]:
    """Register the decorated trainer for models with these options, and with options derived from them."""

    def register(trainer: Made) -> Made:
        _TRAINERS.update(dict.fromkeys(families, trainer))
        return trainer

    return register


def trainer_class(options: FamilyConfig) -> Callable[[Config], Fits]:
    """The trainer of a model with these options: that of the nearest class that has one."""
    return next(_TRAINERS[kind] for kind in type(options).__mro__ if kind in _TRAINERS)


class Trainer(ABC, Generic[Batch]):
    """One run of one config; what is trained on, and how it is scored, is said by the class derived from it.

    Everything it writes lies in `config.folder`: `state/` (the last whole epoch, for `--resume`), `best/`
    (the averaged weights of the epoch with the best validation mIoU so far), `history.csv`, `history.png`.

    Attributes:
        score: figure of the history that the best epoch and patience go by; higher is better.
        pace: how fast it is.
        all_there: whether every source of the config is, the optional ones too.
    """

    score = SCORE

    def __init__(self, config: Config) -> None:
        if not config.start:  # which is resolved
            config = config.model_copy(update={"model": config.model.resolved()})
        sources = len(config.data.sources)
        self.config = config = with_photos_there(config)
        self.all_there = len(config.data.sources) == sources
        optim = config.optim
        self.accelerator = open_accelerator(config)
        set_seed(config.seed)
        model = self.build_model()
        if isinstance(stride := getattr(model, "stride", None), int):
            check_size(torch.empty(0, 3, config.data.size, config.data.size), stride)
        train_set, valid_set = self.build_datasets()
        data = config.data
        train_loader = DataLoader(
            train_set, optim.batch_size, shuffle=True, drop_last=True, num_workers=data.workers
        )
        valid_loader = DataLoader(valid_set, optim.batch_size, num_workers=data.workers)
        optimizer = torch.optim.AdamW(parameter_groups(model, optim), optim.learning_rate)
        kind = self.accelerator.distributed_type
        self.sharded = kind == DistributedType.FSDP
        if self.sharded and not optim.ema:
            raise ValueError("FSDP leaves no process a whole model but the average: set optim.ema above 0")
        if kind not in (DistributedType.FSDP, DistributedType.DEEPSPEED):  # they do not take it
            model = model.to(memory_format=torch.channels_last)
        # Before the model is wrapped or sharded: the average is a whole model on every process.
        self.average = AveragedModel(model, multi_avg_fn=ema_with_warmup(optim.ema), use_buffers=True).to(
            self.accelerator.device
        )
        (self.model, self.optimizer, self.train_loader, self.valid_loader) = self.accelerator.prepare(
            model, optimizer, train_loader, valid_loader
        )
        processes = self.accelerator.num_processes
        if not len(self.train_loader):
            raise ValueError(
                f"an epoch of {len(self.train_loader.dataset)} items does not fill one batch of "
                f"{optim.batch_size} on each of {processes} processes"
            )
        # Accelerate moves the schedule on once for each process at every step.
        steps = math.ceil(len(self.train_loader) / optim.accumulate) * processes
        warm_up = round(optim.warmup_epochs * steps)
        self.schedule = self.accelerator.prepare_scheduler(
            get_cosine_schedule_with_warmup(optimizer, warm_up, optim.epochs * steps)
            if optim.schedule == "cosine"
            else get_constant_schedule_with_warmup(optimizer, warm_up)
        )
        self.loss = build_loss(config.loss)
        self.progress = Progress()
        self.pace = Pace()
        self.accelerator.register_for_checkpointing(self.average, self.progress)

    def build_model(self) -> nn.Module:
        """The model at its start."""
        config = self.config
        model = build((without_start(config) if config.start else config).model)
        borrowed = config.model.borrowed
        if config.start:
            load_weights(model, config.start)
        elif borrowed:
            load_weights(model.get_submodule(borrowed.part), borrowed.checkpoint, borrowed.source)
        return model

    def splits(self) -> tuple[list[Sample], list[Sample]]:
        """What `train.data.dataset.read_splits` gives, whose validation part may not be empty."""
        training, validation = read_splits(self.config.data)
        if not validation:
            raise ValueError("no validation photos: set `validation` of at least one source")
        return training, validation

    def filled(self, training: Sequence[AnySample]) -> Sequence[AnySample]:
        """Training photos that fill a batch of every process: all again and again where they are too few."""
        wanted = self.config.optim.batch_size * self.accelerator.num_processes
        if len(training) >= wanted:
            return training
        times = -(-wanted // len(training))
        say(f"{len(training)} photos do not fill a batch: each comes {times} times an epoch, augmented anew")
        return [*training] * times

    @abstractmethod
    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """What is trained and validated on; items end with a name, and the first has `set_epoch`."""

    @abstractmethod
    def step_loss(self, batch: Batch) -> Tensor:
        """The loss of one batch of the first dataset, names included."""

    @abstractmethod
    def validate_batches(self, model: nn.Module) -> dict[str, float]:
        """Figures of all batches of `valid_loader`, `score` among them.

        Args:
            model: the weights that are validated, in eval mode; no gradients are kept.
        """

    def fit(self, resume: bool = False, on_epoch: OnEpoch | None = None) -> list[dict[str, float]]:
        """Train to the end, or until patience runs out; returns the history, one row an epoch.

        Args:
            resume: go on from the last whole epoch.
            on_epoch: is shown the row of each epoch once its state is saved; what it raises ends the run.
        """
        if resume:
            self._load_state()
        elif state_folder(self.config.folder):
            raise FileExistsError(
                f"{self.config.folder} holds a run already: add --resume to go on with it, "
                "or set output to another folder"
            )
        optim = self.config.optim
        for epoch in range(self.progress.epoch, optim.epochs):
            if optim.patience and self.progress.stale >= optim.patience:
                self.accelerator.print(f"no improvement for {optim.patience} epochs: stopping")
                break
            row = {"epoch": epoch + 1, "loss": self._train_epoch(epoch), **self._validate()}
            watched = -row["val_loss"] if optim.patience_by == "loss" else None
            improved = self.progress.record(row, optim.min_delta, self.score, watched)
            if self.accelerator.is_main_process:
                self._report(row, improved)
            self._save_state()
            if on_epoch:
                on_epoch(row)
        return self.progress.history

    def _train_epoch(self, epoch: int) -> float:
        self.model.train()
        self.train_loader.set_epoch(epoch)
        # With several processes, Accelerate tells the sampler only.
        self.train_loader.dataset.set_epoch(epoch)
        total, count = torch.zeros((), device=self.accelerator.device), 0
        hidden = not self.accelerator.is_main_process
        with tqdm(self.train_loader, desc=f"epoch {epoch + 1}", disable=hidden, mininterval=5) as bar:
            for batch in bar:
                with self.accelerator.accumulate(self.model):
                    loss = self.step_loss(batch)
                    if not torch.isfinite(loss):
                        raise FloatingPointError(
                            f"loss is {loss.item()} in epoch {epoch + 1} on the batch {', '.join(batch[-1])}"
                        )
                    self.accelerator.backward(loss)
                    if self.accelerator.sync_gradients and self.config.optim.max_norm:
                        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.optim.max_norm)
                    self.optimizer.step()
                    self.schedule.step()
                    self.optimizer.zero_grad()
                if self.accelerator.sync_gradients:
                    self._update_average()
                total += loss.detach()
                count += 1
                epochs = self.config.optim.epochs - epoch
                self.pace.step(epochs * len(self.train_loader) - count)
                bar.set_postfix(loss=f"{total.item() / count:.4f}", refresh=False)
        return float(self.accelerator.reduce(total / count, reduction="mean"))

    def _update_average(self) -> None:
        if self.config.optim.ema:
            own = self.accelerator.unwrap_model(self.model)
            self.average.update_parameters(Gathered(own) if self.sharded else own)

    @property
    def averaged_model(self) -> nn.Module:
        """The weights that are validated and kept: the moving average, or the model's own without one."""
        own: nn.Module = self.accelerator.unwrap_model(self.model)
        return self.average.module if self.config.optim.ema else own

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        model = self.averaged_model.eval()
        # Each process has normalised its own photos; what is saved is the first one's.
        broadcast(list(model.buffers()))
        return {**self.validate_batches(model), "learning_rate": self.schedule.get_last_lr()[-1]}

    def _report(self, row: dict[str, float], improved: bool) -> None:
        folder = self.config.folder
        folder.mkdir(parents=True, exist_ok=True)
        if improved:
            save_checkpoint(folder / BEST, self.averaged_model, self.config)
        for path in (folder / HISTORY, folder / BEST / HISTORY):
            write_history(path, self.progress.history)
        plot_history(self.progress.history, folder / "history.png", self.score)
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in row.items()) + "  best" * improved)

    def _save_state(self) -> None:
        self.accelerator.wait_for_everyone()
        folder = self.config.folder
        fresh, final = folder / "state.new", folder / "state"
        self.accelerator.save_state(str(fresh))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            old = folder / "state.old"
            if final.exists():
                shutil.rmtree(old, ignore_errors=True)  # left by a run that was killed here
                final.rename(old)
            fresh.rename(final)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _load_state(self) -> None:
        found = state_folder(self.config.folder)
        if not found:
            raise FileNotFoundError(f"nothing to resume in {self.config.folder}: start without --resume")
        self.accelerator.load_state(str(found))


def open_accelerator(config: Config) -> Accelerator:
    """Accelerate as the config asks for it, with all threads of the CPU if that is what it runs on."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    accelerator = Accelerator(
        # Else each of several processes without a GPU takes itself for the only one.
        cpu=several and not torch.accelerator.is_available(),
        mixed_precision=config.optim.mixed_precision,
        gradient_accumulation_steps=config.optim.accumulate,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
        project_config=ProjectConfiguration(project_dir=str(config.folder)),
    )
    if accelerator.device.type == "cpu":
        # `accelerate launch` allows one thread a process unless told otherwise.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // accelerator.num_processes))
    return accelerator


def state_folder(run: Path) -> Path | None:
    """A run's last whole epoch; "state.old" alone is what a kill between two renames leaves."""
    return next((place for name in ("state", "state.old") if (place := run / name).is_dir()), None)


def parameter_groups(model: nn.Module, optim: OptimConfig) -> list[dict[str, Any]]:
    """AdamW groups: the encoder at its own rate; no decay on biases and normalisation (vectors)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # A promptable model holds a whole U-Net: the photo stage counts as its encoder.
            key = (name.startswith(("encoder.", "unet.")), parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": optim.learning_rate * (optim.encoder_scale if encoder else 1.0),
            "weight_decay": optim.weight_decay if decay else 0.0,
        }
        for (encoder, decay), parameters in groups.items()
    ]
