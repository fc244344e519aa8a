"""Training of the CLIP family: the loop of every model, and the leaky mode of two published studies."""

import torch
from torch import Tensor, nn

from train.config import Config
from train.loops.base import trains
from train.loops.photos import PhotoTrainer
from train.models.clip import ClipConfig
from train.models.unet import Answer
from train.oracle import PREFIX

LEAKED = ("val_miou", "val_accuracy")
"""Figures that are renamed where the model was told the answer."""


@trains(ClipConfig)
class ClipTrainer(PhotoTrainer):
    """`PhotoTrainer` for a `Clip`.

    Its checkpoint holds the frozen encoder too and its config the encoder's sizes, so that the folder alone
    gives the model back, with no Hub and no text tower.

    Attributes:
        told: whether the model is told the answer.
    """

    def __init__(self, config: Config) -> None:
        self.told = "true species" in config.model.needs
        if self.told and "oracle" not in config.name:
            raise ValueError(
                f"name {config.name!r} must contain 'oracle': with oracle_text the model is told the answer"
            )
        if self.told:
            self.score = PREFIX + PhotoTrainer.score
        super().__init__(config)

    def answer(self, model: nn.Module, image: Tensor, labels: Tensor) -> Tensor | Answer:
        """Logits; the true species is told with `oracle_text` only."""
        if not self.told:
            return super().answer(model, image, labels)
        said: Tensor = model(image.contiguous(memory_format=torch.channels_last), species_of(labels))
        return said

    def validate_batches(self, model: nn.Module) -> dict[str, float]:
        """As every model's, under other names where the model is told the answer."""
        row = super().validate_batches(model)
        if not self.told:
            return row
        return {PREFIX + name if name in LEAKED else name: value for name, value in row.items()}


def species_of(labels: Tensor) -> Tensor:
    """The pet class that covers most of each photo, 0 where there is none: (B, S, S) -> (B,) int64."""
    cats, dogs = ((labels == number).sum((1, 2)) for number in (1, 2))
    return torch.where(cats + dogs == 0, 0, torch.where(cats >= dogs, 1, 2))
