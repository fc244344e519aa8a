"""Looking into a run, and runs that follow a script."""

import torch
from torch import Tensor

from train.config import Config
from train.loops.photos import PhotoTrainer


def weights_of(trainer: PhotoTrainer) -> dict[str, Tensor]:
    own = trainer.accelerator.unwrap_model(trainer.model).state_dict()
    return {f"own.{k}": v for k, v in own.items()} | {
        f"average.{k}": v for k, v in trainer.average.state_dict().items()
    }


def scripted(config: Config, scores: list[float]) -> PhotoTrainer:
    """A trainer whose epochs only write their number into the head, and whose validation is `scores`."""
    trainer = PhotoTrainer(config)

    def train_epoch(epoch: int) -> float:
        with torch.no_grad():
            trainer.averaged_model.head.bias.fill_(epoch + 1)  # type: ignore[operator, union-attr]
        return 0.5

    def validate() -> dict[str, float]:
        figures = {"val_loss": 0.5, "val_miou": scores[trainer.progress.epoch]}
        return {**figures, "val_accuracy": 0.5, "learning_rate": 0.1}

    trainer._train_epoch = train_epoch  # type: ignore[method-assign]
    trainer._validate = validate  # type: ignore[method-assign]
    return trainer
