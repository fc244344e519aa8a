"""Training on photos with masks: the loop of every model that finds all pets of a photo by itself."""

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from petseg.measure.metrics import FALSE_ALARM, confusion_matrix, iou, mean, pixel_accuracy
from petseg.pixels.classes import BORDER
from train.data.collage import CollageDataset
from train.data.dataset import PhotoDataset
from train.loops.base import Trainer, trains
from train.losses import presence_loss
from train.models.family import FamilyConfig
from train.models.unet import Answer

PhotoBatch: TypeAlias = tuple[Tensor, Tensor, list[str]]
"""Photos (B, 3, S, S) uint8, labels (B, S, S) int64, names."""


@trains(FamilyConfig)
class PhotoTrainer(Trainer[PhotoBatch]):
    """`Trainer` on photos with masks, for every model that has no other."""

    def build_datasets(self) -> tuple[PhotoDataset, PhotoDataset]:
        """What is trained and validated on; items end with a name, and the first has `set_epoch`."""
        config, data = self.config, self.config.data
        training, validation = self.splits()
        photos = self.filled(training)
        options: dict[str, Any] = {**data.fitting, "cache_side": data.cache_side}
        drawn = {"augment": config.augment, "seed": config.seed, **options}
        if config.collage.probability:
            train_set: PhotoDataset = CollageDataset(
                photos, data.size, config.collage, or_none=not self.all_there, **drawn
            )
        else:
            train_set = PhotoDataset(photos, data.size, **drawn)
        return train_set, PhotoDataset(validation, data.size, **options)

    def step_loss(self, batch: PhotoBatch) -> Tensor:
        """The config's loss, and that of the image-level head where there is one."""
        image, labels, _names = batch
        answer = self.answer(self.model, image, labels)
        if isinstance(answer, Answer):
            weight = self.config.loss.presence
            return self.loss(answer.logits, labels) + weight * presence_loss(answer.presence, labels)
        return self.loss(answer, labels)

    def answer(self, model: nn.Module, image: Tensor, labels: Tensor) -> Tensor | Answer:
        """What a model says about photos, (B, 3, S, S) logits; the labels are for those who are told them."""
        said: Tensor | Answer = model(image.contiguous(memory_format=torch.channels_last))
        return said

    def validate_batches(self, model: nn.Module) -> dict[str, float]:
        """Loss, mIoU and accuracy of all pixels; how many photos without pets are said to have one."""
        counts = np.zeros((3, 3), np.int64)
        alarms: list[bool] = []
        losses: list[Tensor] = []
        for image, labels, _names in self.valid_loader:
            with self.accelerator.autocast():
                logits = self.answer(model, image, labels)
            assert isinstance(logits, Tensor)  # in eval mode
            losses.append(self.loss(logits, labels).reshape(1))
            predicted, truth = self.accelerator.gather_for_metrics((logits.argmax(1), labels))
            counts += confusion_matrix(truth.cpu().numpy(), predicted.cpu().numpy())
            empty = ((truth == 0) | (truth == BORDER)).all((1, 2))
            found = ((predicted > 0) & (truth != BORDER)).float().mean((1, 2))
            alarms += (found[empty] > FALSE_ALARM).tolist()
        return {
            "val_loss": float(self.accelerator.reduce(torch.cat(losses).mean(), reduction="mean")),
            "val_miou": mean(iou(counts)),
            "val_accuracy": pixel_accuracy(counts),
            **({"val_false_alarms": float(np.mean(alarms))} if alarms else {}),
        }
