"""Training of promptable models: a photo is encoded once, several simulated people ask about it."""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from petseg.pixels.classes import BORDER
from train.data.scenes import Scene
from train.data.sources import say
from train.loops.base import Trainer, trains
from train.models.promptable import Promptable, PromptableConfig
from train.people.conversation import Asked, Conversation
from train.people.scene_dataset import CLOSE_UP, HeldOutScenes, SceneCache, SceneDataset
from train.people.targets import barycentre, covers

VALIDATION_CLICKS = (1, 3)
VALIDATION_ANIMALS = 3

SceneBatch: TypeAlias = tuple[Tensor, Tensor, Tensor, Asked, list[str]]
"""Photos (B, 3, S, S), instances (B, S, S) and their species (B, 256), all uint8; what is asked; names."""


@trains(PromptableConfig)
class PromptTrainer(Trainer[SceneBatch]):
    """`Trainer` for a `Promptable` of any family."""

    def build_model(self) -> nn.Module:
        """The model at its start.

        Raises:
            ValueError: a loss is asked for of semantic logits that the model has not.
        """
        model = super().build_model()
        assert isinstance(model, Promptable)
        if self.config.prompting.semantic and not model.semantic:
            raise ValueError(f"prompting.semantic: a {self.config.model.family} model has no semantic logits")
        self.takes_boxes = "box" in model.prompts
        return model

    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Scenes of one and of several animals; the split is that of every other model."""
        config, data, prompting = self.config, self.config.data, self.config.prompting
        training, validation = self.splits()
        scenes, held_out = (SceneCache.of(samples, config) for samples in (training, validation))
        if prompting.first == "barycentre" and (gone := scenes.keep(surrounds_its_barycentre)):
            say(f"{gone} photos left out: no animal in the mask, or its barycentre is not on it")
        return (
            SceneDataset.of(scenes, config, boxes=self.takes_boxes),
            HeldOutScenes(
                held_out, data.size, VALIDATION_ANIMALS, max(VALIDATION_CLICKS) - 1, **data.fitting
            ),
        )

    def step_loss(self, batch: SceneBatch) -> Tensor:
        """The mean loss over the rounds of several prompts for each photo, and that of its own logits."""
        image, instances, species, asked, _names = batch
        rounds, weight = self.config.prompting.rounds, self.config.prompting.semantic
        talk = Conversation(instances, species, asked)
        image = image.contiguous(memory_format=torch.channels_last)
        answers, semantic = self.model(image, talk.prompt(), talk.correct, rounds)
        loss = torch.stack([self.loss(logits, talk.labels) for logits in answers.chunk(rounds)]).mean()
        return loss + weight * self.loss(semantic, talk.pets) if weight else loss

    def validate_batches(self, model: nn.Module) -> dict[str, float]:
        """Overlap and species after some numbers of clicks, for each kind of photo."""
        assert isinstance(model, Promptable)
        tally = Tally(self.accelerator.device)
        for image, instances, species, asked, names in self.valid_loader:
            talk = Conversation(instances, species, asked)
            if not talk.exists.any():
                continue
            closer = torch.tensor([name.startswith(CLOSE_UP) for name in names], device=image.device)
            prompt = talk.prompt()
            with self.accelerator.autocast():
                features = model.encode(image.contiguous(memory_format=torch.channels_last))
                features = tuple(map_.repeat_interleave(VALIDATION_ANIMALS, 0) for map_ in features)
            for click in range(1, max(VALIDATION_CLICKS) + 1):
                with self.accelerator.autocast():
                    logits = model.decode(features, prompt)
                if click in VALIDATION_CLICKS:
                    tally.add(talk, logits, click, self.loss(logits, talk.labels), closer)
                if click < max(VALIDATION_CLICKS):
                    prompt = talk.correct(logits)
        # With several processes a few photos count twice: Accelerate evens out the last batch.
        sums = self.accelerator.reduce(tally.sums, reduction="sum")
        return tally.report(sums.cpu())


def surrounds_its_barycentre(scene: Scene) -> bool:
    """Whether a scene shows animals, each with its barycentre on itself."""
    insides = [scene.instances == number for number in scene.numbers]
    return bool(insides) and all(covers(inside, barycentre(inside)) for inside in insides)


class Tally:
    """Sums over the answers of a validation, by (what the photo shows, number of clicks, figure)."""

    KINDS = ("single", "multi", "closeup")
    """A whole photo of one animal or several, a close-up of any number."""
    FIGURES = ("iou", "species", "loss", "count")

    def __init__(self, device: torch.device) -> None:
        shape = (len(self.KINDS), len(VALIDATION_CLICKS), len(self.FIGURES))
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)

    def add(self, talk: Conversation, logits: Tensor, click: int, loss: Tensor, closer: Tensor) -> None:
        """Count the (N, 3, S, S) answers to one click each, and their loss; `closer` (B,) bool."""
        labels, classes = talk.labels, logits.argmax(1)
        pet, inside, valid = classes > 0, (labels > 0) & (labels != BORDER), labels != BORDER
        shared = (pet & inside).sum((1, 2))
        iou = shared / ((pet & valid) | inside).sum((1, 2)).clamp(min=1)
        cats, dogs = (((classes == kind) & inside).sum((1, 2)) for kind in (1, 2))
        found = torch.where(shared == 0, 0, torch.where(cats >= dogs, 1, 2))
        wanted = labels.masked_fill(~valid, 0).amax((1, 2))
        rows = torch.stack([iou, found == wanted, loss.expand(len(iou)), torch.ones_like(iou)], 1)
        asked = talk.exists.reshape(-1, VALIDATION_ANIMALS)
        several = asked.sum(1) > 1
        for kind, chosen in enumerate((~closer & ~several, ~closer & several, closer)):
            chosen = chosen.repeat_interleave(VALIDATION_ANIMALS) & talk.exists
            self.sums[kind, VALIDATION_CLICKS.index(click)] += rows[chosen].double().sum(0)

    def report(self, sums: Tensor) -> dict[str, float]:
        """Means of all processes' sums; `val_miou` weighs all kinds of photos that there are the same."""
        means = sums[..., :-1] / sums[..., -1:]
        present = sums[..., -1] > 0
        iou, species, loss = means.unbind(-1)
        row = {
            "val_loss": float(loss[present].mean()),
            "val_miou": float(iou[present].mean()),
            "val_species": float(species[present].mean()),
        }
        for kind, name in enumerate(self.KINDS):
            for index, click in enumerate(VALIDATION_CLICKS):
                row[f"val_{name}_iou_{click}"] = float(iou[kind, index])
        return row
