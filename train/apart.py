"""Teach a promptable model to tell animals apart by itself: `python -m train.apart CONFIG --output DIR`.

The model that the config starts from stays as it is. What it says of `prompting.photos` scenes is worked out
once, and the head `train.models.apart.Apart` learns on that: an hour's work in minutes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import get_cosine_schedule_with_warmup

from petseg.pixels.classes import BORDER
from train.checkpoint import save_checkpoint
from train.config import Config, load_config
from train.data.dataset import read_splits
from train.data.scenes import around_all
from train.data.sources import with_photos_there
from train.loops.average import ema_with_warmup
from train.loops.base import parameter_groups
from train.models import build
from train.models.apart import Apart, margins
from train.models.prompt import PromptNet
from train.models.stored import load_weights
from train.people.scene_dataset import SceneCache, SceneDataset

ASKED = 14
"""Places of a scene that are asked about in a step, of each of its animals as many as of any other."""
NUMBERS = 256
"""Of instances, with 0 for none and `BORDER`."""


class Known(NamedTuple):
    """What the model says of some scenes, and whose their places are.

    Attributes:
        coarse, fine, semantic: (B, C, h, w) as `Apart` takes them.
        instances: (B, 2h, 2w) uint8, see `train.data.scenes.Scene`.
    """

    coarse: Tensor
    fine: Tensor
    semantic: Tensor
    instances: Tensor


class Around(Dataset[tuple[Tensor, Tensor]]):
    """Photos (3, S, S) uint8 and instances (S, S) uint8: what is looked at in use, all animals of a photo."""

    def __init__(self, scenes: SceneDataset) -> None:
        self._scenes = scenes

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng([self._scenes.seed, index])
        scene, _name = self._scenes.draw(generator)
        return self._scenes.augmented(around_all(scene, generator), generator)


@torch.inference_mode()
def known(model: PromptNet, scenes: Around, config: Config) -> Known:
    """What a model says of all scenes, in half precision."""
    loader = DataLoader(scenes, config.optim.batch_size, num_workers=config.data.workers)
    parts: list[Known] = []
    for image, instances in tqdm(loader, desc="scenes", mininterval=5):
        coarse, fine, *_, semantic = model.encode(image.contiguous(memory_format=torch.channels_last))
        side = fine.shape[-1]
        semantic = F.avg_pool2d(semantic, semantic.shape[-1] // side)
        step = instances.shape[-1] // side
        middle = instances[:, step // 2 :: step, step // 2 :: step].clone()
        parts.append(Known(coarse.half(), fine.half(), semantic.half(), middle))
    return Known(*(torch.cat(values) for values in zip(*parts, strict=True)))


def loss_of(head: Apart, seen: Known, generator: torch.Generator) -> Tensor:
    """How wrongly a head tells animals apart: cross-entropy and Dice of each place's animal.

    An animal's pixels weigh half of what is asked, those of the others half, each with the root of its size.
    """
    vectors = head(seen.coarse.float(), seen.fine.float(), seen.semantic.float()).float()
    whose = seen.instances.flatten(1).long()
    pets = (whose != 0) & (whose != BORDER)
    shown = pets.any(1)
    vectors, whose, pets = vectors[shown], whose[shown], pets[shown]
    sizes = torch.zeros(len(whose), NUMBERS).scatter_add_(1, whose, torch.ones(whose.shape)).gather(1, whose)
    asked = torch.multinomial(pets / sizes, ASKED, replacement=True, generator=generator)
    same = (whose[:, None] == whose.gather(1, asked)[..., None]).float()
    weights = (pets / sizes.sqrt())[:, None]
    said = margins(vectors, asked)
    wrong = F.binary_cross_entropy_with_logits(said, same, reduction="none")
    parts = [(wrong * w).sum(-1) / w.sum(-1).clamp(min=1e-6) for w in (weights * same, weights * (1 - same))]
    overlap = said.sigmoid() * pets[:, None]
    dice = 1 - (2 * (overlap * same).sum(-1) + 1) / (overlap.sum(-1) + same.sum(-1) + 1)
    return (sum(parts) / 2 + dice).mean()


def fit(head: Apart, seen: Known, config: Config) -> Apart:
    """Train a head; returns the moving average of its weights."""
    optim, generator = config.optim, torch.Generator().manual_seed(config.seed)
    head = head.train().to(memory_format=torch.channels_last)
    average = AveragedModel(head, multi_avg_fn=ema_with_warmup(optim.ema), use_buffers=True)
    optimizer = torch.optim.AdamW(parameter_groups(head, optim), optim.learning_rate)
    steps = len(seen.instances) // optim.batch_size
    schedule = get_cosine_schedule_with_warmup(
        optimizer, round(optim.warmup_epochs * steps), optim.epochs * steps
    )
    half = optim.mixed_precision == "bf16"
    for epoch in range(optim.epochs):
        total = 0.0
        order = torch.randperm(len(seen.instances), generator=generator)[: steps * optim.batch_size]
        for chosen in tqdm(order.split(optim.batch_size), desc=f"epoch {epoch + 1}", mininterval=5):
            batch = Known(*(values[chosen] for values in seen))
            if torch.rand((), generator=generator) < config.augment.flip:
                batch = Known(*(values.flip(-1) for values in batch))
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = loss_of(head, batch, generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), optim.max_norm)
            optimizer.step()
            schedule.step()
            average.update_parameters(head)
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.4f}", flush=True)
    averaged = average.module
    assert isinstance(averaged, Apart)
    return averaged.eval()


def teach(config: Config) -> PromptNet:
    """The model that a config starts from, with a head that has learned.

    Raises:
        ValueError: the config is not of the family prompt, has no `apart`, or no `start`.
        FileNotFoundError, RuntimeError: the start is no checkpoint, or of another architecture.
    """
    torch.manual_seed(config.seed)
    model = build(config.model.without_start())
    if not isinstance(model, PromptNet) or model.apart is None or not config.start:
        raise ValueError("the config must be of the family prompt, with model.apart and a start")
    head, model.apart = model.apart, None
    load_weights(model, config.start)
    model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    training, _ = read_splits(config.data)
    scenes = SceneDataset.of(SceneCache.of(training, config), config)
    model.apart = fit(head, known(model, Around(scenes), config), config)
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m train.apart", description=__doc__)
    parser.add_argument("config", type=Path, help="with model.apart, and a start that has no such head yet")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to make")
    options = parser.parse_args(arguments)
    try:
        config = with_photos_there(load_config(options.config))
        save_checkpoint(options.output, teach(config), config, half=True)
    except (OSError, ValueError, RuntimeError) as error:
        parser.exit(1, f"cannot learn: {error}\n")


if __name__ == "__main__":
    main()
