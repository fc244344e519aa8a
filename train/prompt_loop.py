"""Training of promptable models: a photo is encoded once, several simulated people ask about it."""

from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import Dataset

from petseg.metrics import binary_iou, species_of
from train.checkpoint import load_weights
from train.config import Config
from train.instances import HeldOutScenes, SceneCache, SceneDataset
from train.loop import Trainer
from train.models.clip import ClipConfig
from train.models.prompt import PromptConfig
from train.models.promptable import Features, Promptable
from train.prompts import Session, Target, animals, deepest, draw_target, jittered, make_target

VALIDATION_CLICKS = (1, 3)
VALIDATION_ANIMALS = 3
"""Largest animals of a held-out photo that are asked for: crowds shall not outvote the rest."""


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
        config, data = self.config, self.config.data
        training, validation = self.splits()
        sides = (data.cache_side, config.prompting.multi_cache_side)
        scenes = SceneCache(training, *sides)
        return (
            SceneDataset(scenes, data.size, config.prompting, config.augment, config.seed),
            HeldOutScenes(SceneCache(validation, *sides), data.size),
        )

    def step_loss(self, image: Tensor, instances: Tensor, species: Tensor, seeds: Tensor) -> Tensor:
        """The mean loss over the rounds of several prompts for each photo.

        Args:
            image: (B, 3, S, S) uint8.
            instances: (B, S, S) uint8.
            species: (B, 256) uint8.
            seeds: (B,) int64 of the prompts.
        """
        options = self.config.prompting
        count, background = options.prompts_per_photo, options.background
        sessions = open_sessions(instances, species, seeds, count, background, boxes=self.takes_boxes)
        labels = stack([s.target.labels for s in sessions], image.device).long()

        def correct(logits: Tensor) -> Tensor:
            # Not argmax, which takes as long as a whole encoding on channels-last logits.
            pets = torch.maximum(logits[:, 1], logits[:, 2]) > logits[:, 0]
            for session, pet in zip(sessions, pets.cpu().numpy(), strict=True):
                session.correct(pet)
            return encode_all(sessions, image.device)

        image = image.contiguous(memory_format=torch.channels_last)
        answers = self.model(image, encode_all(sessions, image.device), correct, options.rounds)
        losses = [self.loss(logits, labels) for logits in answers.chunk(options.rounds)]
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        model = self.averaged_model.eval()
        broadcast(list(model.buffers()))
        tally = Tally()
        for image, instances, species, seeds, _names in self.valid_loader:
            with self.accelerator.autocast():
                features = model.encode(image.contiguous(memory_format=torch.channels_last))
                for index, seed in enumerate(seeds.tolist()):
                    scene = (instances[index].cpu().numpy(), species[index].cpu().numpy())
                    one = tuple(map_[index : index + 1] for map_ in features)
                    self._ask(model, one, held_out_sessions(*scene, seed), tally)
        # With several processes a few photos count twice: Accelerate evens out the last batch.
        sums = self.accelerator.reduce(tally.sums.to(self.accelerator.device), reduction="sum")
        return {**tally.report(sums.cpu()), "learning_rate": self.schedule.get_last_lr()[-1]}

    def _ask(self, model: nn.Module, features: Features, sessions: list[Session], tally: "Tally") -> None:
        """Ask about each animal of one photo, all together, and count how good the answers are."""
        if not sessions:
            return
        device = features[0].device
        shared = tuple(map_.expand(len(sessions), -1, -1, -1) for map_ in features)
        labels = stack([session.target.labels for session in sessions], device).long()
        for click in range(1, max(VALIDATION_CLICKS) + 1):
            logits = model.decode(shared, encode_all(sessions, device)).float()
            answers = logits.argmax(1).cpu().numpy()
            if click in VALIDATION_CLICKS:
                loss = float(self.loss(logits, labels))
                for session, answer in zip(sessions, answers, strict=True):
                    tally.add(session.target, answer, click, loss, several=len(sessions) > 1)
            for session, answer in zip(sessions, answers, strict=True):
                session.correct(answer > 0)


class Tally:
    """Sums over the answers of a validation, by (one or several animals, number of clicks, figure)."""

    FIGURES = ("iou", "species", "loss", "count")

    def __init__(self) -> None:
        self.sums = torch.zeros(2, len(VALIDATION_CLICKS), len(self.FIGURES), dtype=torch.float64)

    def add(self, target: Target, answer: np.ndarray, click: int, loss: float, *, several: bool) -> None:
        """Count one answer, (S, S) classes."""
        valid = target.valid
        iou = binary_iou(target.inside[valid], answer[valid] > 0)
        right = species_of(answer[valid & target.inside]) == target.species
        row = self.sums[int(several), VALIDATION_CLICKS.index(click)]
        row += torch.tensor([iou, right, loss, 1.0], dtype=torch.float64)

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


def open_sessions(
    instances: Tensor,
    species: Tensor,
    seeds: Tensor,
    prompts: int,
    background: float,
    *,
    boxes: bool = True,
) -> list[Session]:
    """`prompts` started sessions for each photo, one photo after the other.

    Args:
        instances, species, seeds: as in `PromptTrainer.step_loss`.
        prompts: for each photo.
        background: share of them that point at the background.
        boxes: whether there may be boxes; without them, a session that starts with one starts with a click.
    """
    sessions = []
    arrays = (instances.cpu().numpy(), species.cpu().numpy(), seeds.tolist())
    for numbers, classes, seed in zip(*arrays, strict=True):
        generator = np.random.default_rng(seed)
        for _ in range(prompts):
            session = Session(draw_target(numbers, classes, generator, background), generator)
            session.start()
            if session.box is not None and not boxes:
                session = clicked_deep(session.target, generator)
            sessions.append(session)
    return sessions


def held_out_sessions(instances: np.ndarray, species: np.ndarray, seed: int) -> list[Session]:
    """A session for each of the photo's largest animals, started with one jittered click deep inside."""
    numbers = animals(instances)
    sizes = np.bincount(instances.ravel(), minlength=256)[numbers]
    generator = np.random.default_rng(seed)
    sessions = []
    for number in numbers[np.argsort(-sizes, kind="stable")][:VALIDATION_ANIMALS]:
        sessions.append(clicked_deep(make_target(instances, species, int(number)), generator))
    return sessions


def clicked_deep(target: Target, generator: np.random.Generator) -> Session:
    """A session that starts with one jittered click deep inside the target."""
    click = jittered(deepest(target.inside), target.inside, generator)
    return Session(target, generator, [click], [True])


def encode_all(sessions: list[Session], device: torch.device) -> Tensor:
    """(len(sessions), 2, S, S) float32."""
    return stack([session.encode() for session in sessions], device)


def stack(arrays: list[np.ndarray], device: torch.device) -> Tensor:
    """Arrays of one shape as one tensor."""
    return torch.from_numpy(np.stack(arrays)).to(device)
