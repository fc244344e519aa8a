"""Training of promptable models: a photo is encoded once, several simulated people ask about it."""

from typing import Any

import torch
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import Dataset

from petseg.metrics import BORDER
from train.checkpoint import load_weights
from train.config import Config
from train.conversation import Asked, Conversation
from train.instances import HeldOutScenes, SceneCache, SceneDataset
from train.loop import Trainer
from train.models.clip import ClipConfig
from train.models.prompt import PromptConfig
from train.models.promptable import Promptable

VALIDATION_CLICKS = (1, 3)
VALIDATION_ANIMALS = 3


class PromptTrainer(Trainer):
    """`Trainer` for a `Promptable` of any family.

    As with `ClipTrainer`, the checkpoint of one with a frozen encoder knows that encoder's sizes.
    """

    def __init__(self, config: Config) -> None:
        if isinstance(config.model, ClipConfig) and not config.start:
            config = config.model_copy(update={"model": config.model.resolved()})
        super().__init__(config)

    def build_model(self) -> nn.Module:
        """The model, its photo stage from `model.unet_checkpoint` where there is such an option."""
        model = super().build_model()
        assert isinstance(model, Promptable)
        self.takes_boxes = "box" in model.prompts
        options = self.config.model
        if isinstance(options, PromptConfig) and options.unet_checkpoint and not self.config.start:
            load_weights(model.unet, options.unet_checkpoint)
        return model

    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Scenes of one and of several animals; the split is that of every other model."""
        config, data, prompting = self.config, self.config.data, self.config.prompting
        training, validation = self.splits()
        sides = (data.cache_side, prompting.multi_cache_side)
        scenes, held_out = SceneCache(training, *sides), SceneCache(validation, *sides)
        return (
            SceneDataset(scenes, data.size, prompting, config.augment, config.seed, boxes=self.takes_boxes),
            HeldOutScenes(held_out, data.size, VALIDATION_ANIMALS, max(VALIDATION_CLICKS) - 1),
        )

    def step_loss(self, image: Tensor, instances: Tensor, species: Tensor, asked: Asked) -> Tensor:
        """The mean loss over the rounds of several prompts for each photo.

        Args:
            image: (B, 3, S, S) uint8.
            instances: (B, S, S) uint8.
            species: (B, 256) uint8.
            asked: what people ask.
        """
        rounds = self.config.prompting.rounds
        talk = Conversation(instances, species, asked)
        image = image.contiguous(memory_format=torch.channels_last)
        answers = self.model(image, talk.prompt(), talk.correct, rounds)
        return torch.stack([self.loss(logits, talk.labels) for logits in answers.chunk(rounds)]).mean()

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        model = self.averaged_model.eval()
        broadcast(list(model.buffers()))
        tally = Tally(self.accelerator.device)
        for image, instances, species, asked, _names in self.valid_loader:
            talk = Conversation(instances, species, asked)
            if not talk.exists.any():
                continue
            prompt = talk.prompt()
            with self.accelerator.autocast():
                features = model.encode(image.contiguous(memory_format=torch.channels_last))
                features = tuple(map_.repeat_interleave(VALIDATION_ANIMALS, 0) for map_ in features)
            for click in range(1, max(VALIDATION_CLICKS) + 1):
                with self.accelerator.autocast():
                    logits = model.decode(features, prompt)
                if click in VALIDATION_CLICKS:
                    tally.add(talk, logits, click, self.loss(logits, talk.labels))
                if click < max(VALIDATION_CLICKS):
                    prompt = talk.correct(logits)
        # With several processes a few photos count twice: Accelerate evens out the last batch.
        sums = self.accelerator.reduce(tally.sums, reduction="sum")
        return {**tally.report(sums.cpu()), "learning_rate": self.schedule.get_last_lr()[-1]}


class Tally:
    """Sums over the answers of a validation, by (one or several animals, number of clicks, figure)."""

    FIGURES = ("iou", "species", "loss", "count")

    def __init__(self, device: torch.device) -> None:
        shape = (2, len(VALIDATION_CLICKS), len(self.FIGURES))
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)

    def add(self, talk: Conversation, logits: Tensor, click: int, loss: Tensor) -> None:
        """Count the (N, 3, S, S) answers to one click each, and their loss."""
        labels, classes = talk.labels, logits.argmax(1)
        pet, inside, valid = classes > 0, (labels > 0) & (labels != BORDER), labels != BORDER
        shared = (pet & inside).sum((1, 2))
        iou = shared / ((pet & valid) | inside).sum((1, 2)).clamp(min=1)
        cats, dogs = (((classes == kind) & inside).sum((1, 2)) for kind in (1, 2))
        found = torch.where(shared == 0, 0, torch.where(cats >= dogs, 1, 2))
        wanted = labels.masked_fill(~valid, 0).amax((1, 2))
        rows = torch.stack([iou, found == wanted, loss.expand(len(iou)), torch.ones_like(iou)], 1)
        asked = talk.exists.reshape(-1, VALIDATION_ANIMALS)
        several = (asked.sum(1) > 1).repeat_interleave(VALIDATION_ANIMALS)
        for kind, chosen in enumerate((talk.exists & ~several, talk.exists & several)):
            self.sums[kind, VALIDATION_CLICKS.index(click)] += rows[chosen].double().sum(0)

    def report(self, sums: Tensor) -> dict[str, float]:
        """Means of all processes' sums; `val_miou` weighs photos of one and of several animals the same."""
        means = sums[..., :-1] / sums[..., -1:]
        present = sums[..., -1] > 0
        iou, species, loss = means.unbind(-1)
        row = {
            "val_loss": float(loss[present].mean()),
            "val_miou": float(iou[present].mean()),
            "val_species": float(species[present].mean()),
        }
        for several, name in enumerate(("single", "multi")):
            for index, click in enumerate(VALIDATION_CLICKS):
                row[f"val_{name}_iou_{click}"] = float(iou[several, index])
        return row
